package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

type events struct {
	Events  []json.RawMessage `json:"events"`
	LastSeq string            `json:"lastSeq"`
	HasMore bool              `json:"hasMore"`
	Reset   bool              `json:"reset"`
}

var (
	historyOperation = define[struct {
		History events `json:"history"`
	}](`query History($hub: String!, $id: String!, $after: Long!, $first: Int!) {
	done: orchestration(hub: $hub, instanceId: $id) { history(after: $after, first: $first) { ...H } }
}`, historyFields, valueFields, failureFields)
	followOperation = define[events](`subscription Follow($hub: String!, $id: String!, $after: Long!) {
	done: history(hub: $hub, instanceId: $id, after: $after) { ...H }
}`, historyFields, valueFields, failureFields)
)

// historyFields are those of events that tell most; each type's own stand beside what all have.
const historyFields = `fragment H on HistoryPage {
	events {
		seq at type
		... on ExecutionStarted { name version generation input { ...V } }
		... on ExecutionCompleted { status result { ...V } failure { ...F } leftOpen }
		... on ExecutionTerminated { reason }
		... on ExecutionSuspended { reason by }
		... on ExecutionResumed { reason by }
		... on ExecutionRewound { reason }
		... on ExecutionCancelRequested { reason by }
		... on TaskScheduled { taskId name version input { ...V } }
		... on TaskCompleted { taskId result { ...V } attempts worker }
		... on TaskFailed { taskId error: failure { ...F } attempts worker }
		... on TaskCanceled { taskId }
		... on TimerCreated { taskId fireAt }
		... on TimerFired { taskId fireAt }
		... on SubOrchestrationInstanceCreated { taskId name instanceId input { ...V } }
		... on SubOrchestrationInstanceCompleted { taskId result { ...V } }
		... on SubOrchestrationInstanceFailed { taskId error: failure { ...F } }
		... on EventSent { taskId name instanceId payload { ...V } }
		... on EventRaised { name payload { ...V } }
		... on PatchRecorded { taskId change }
		... on EntityOperationSignaled { taskId operation entityId input { ...V } }
		... on EntityOperationCalled { taskId operation entityId input { ...V } }
		... on EntityOperationCompleted { taskId result { ...V } }
		... on EntityOperationFailed { taskId error: failure { ...F } }
		... on EntityLockRequested { taskId entities }
		... on EntityLockGranted { taskId }
		... on EntityUnlockSent { taskId entities }
	}
	lastSeq hasMore reset
}`

func historyCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var (
		p      paging
		after  int64
		follow bool
	)
	flags.IntVar(&p.limit, "limit", 500, "how many events to print, at most 100000")
	flags.Int64Var(&after, "after", 0, "the number of the event after which to begin")
	flags.BoolVar(&follow, "follow", false, "print what is added, until the instance ends; JSON is one event a line")
	return func(ctx context.Context, c *call) error {
		switch {
		case p.limit < 1 || p.limit > maxListed:
			return Usage(fmt.Sprintf("--limit: is %d, allowed are 1 to %d", p.limit, maxListed))
		case after < 0:
			return Usage(fmt.Sprintf("--after: is %d, must not be negative", after))
		case follow:
			return c.followHistory(ctx, strconv.FormatInt(after, 10))
		}
		return c.history(ctx, strconv.FormatInt(after, 10), p.limit)
	}
}

func (c *call) history(ctx context.Context, from string, limit int) error {
	found := []json.RawMessage{}
	for left := limit; left > 0; {
		i, err := historyOperation.need(ctx, c, c.vars("id", c.args[0], "after", from, "first", min(left, 500)), c.instance())
		if err != nil {
			return err
		}
		h := i.History
		if h.Reset {
			found = found[:0]
		}
		found = append(found, h.Events...)
		left -= len(h.Events)
		if from = h.LastSeq; !h.HasMore {
			break
		}
	}
	if c.json {
		raw, err := json.Marshal(found)
		if err != nil {
			return err
		}
		return c.emitRaw(raw)
	}
	t := table{head: []string{"EVENT", "AT", "TYPE", "WHAT"}}
	for _, raw := range found {
		cells, err := eventCells(raw)
		if err != nil {
			return err
		}
		t.add(cells[:]...)
	}
	t.print(c.out)
	return nil
}

func (c *call) followHistory(ctx context.Context, from string) error {
	id := c.args[0]
	return c.stream(ctx, followOperation.text, func() map[string]any { return c.vars("id", id, "after", from) }, func(raw json.RawMessage) error {
		h, err := followOperation.read(c, raw)
		if err != nil {
			return err
		}
		ended := false
		for _, raw := range h.Events {
			if c.json {
				c.sayf("%s", raw)
			}
			cells, err := eventCells(raw)
			if err != nil {
				return err
			}
			if !c.json {
				c.sayf("%6s  %-20s  %s  %s", cells[0], cells[1], cells[2], cells[3])
			}
			ended = cells[2] == "ExecutionCompleted" && !strings.HasPrefix(cells[3], "CONTINUED_AS_NEW")
		}
		from = h.LastSeq
		if ended && !h.HasMore {
			return errEnough
		}
		return nil
	})
}

// eventCells is an event for a table: its number, time, type, and what its other fields say, in the order of their names.
func eventCells(raw json.RawMessage) (cells [4]string, err error) {
	var head struct {
		Seq  string `json:"seq"`
		At   string `json:"at"`
		Type string `json:"type"`
	}
	var rest map[string]any
	if err := errors.Join(json.Unmarshal(raw, &head), json.Unmarshal(raw, &rest)); err != nil {
		return cells, err
	}
	var words []string
	status, _ := rest["status"].(string)
	name, _ := rest["name"].(string)
	if w := first(status, name); w != "" {
		words = append(words, w)
	}
	for _, k := range slices.Sorted(maps.Keys(rest)) {
		switch v := rest[k].(type) {
		case nil:
		case string:
			if !slices.Contains([]string{"seq", "at", "type", "name", "status"}, k) {
				words = append(words, k+"="+v)
			}
		case float64:
			words = append(words, fmt.Sprintf("%s=%v", k, v))
		case []any:
			if len(v) > 0 {
				words = append(words, fmt.Sprintf("%s=%v", k, v))
			}
		case map[string]any:
			if t, ok := v["text"].(string); ok {
				words = append(words, k+"="+cut(t, 60))
			}
			if m, ok := v["message"].(string); ok {
				words = append(words, fmt.Sprintf("%s=%v: %s", k, v["type"], m))
			}
		}
	}
	return [4]string{head.Seq, at(&head.At), head.Type, printable(strings.Join(words, " "))}, nil
}
