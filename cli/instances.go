package cli

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// What the commands on instances ask for. Each answer is under the alias "done".
const (
	errorFields   = "errors { code message path retryable } requestId"
	valueFields   = "fragment V on Payload { size encoding text truncated }"
	rowFields     = "fragment Row on Orchestration { instanceId name version status createdAt startedAt lastEventAt finishedAt doingNow }"
	failureFields = "fragment F on Failure { type message nonRetriable }"
	fullFields    = `fragment Full on Orchestration {
	...Row executionId generation scheduledAt priority lastSeq firstSeq
	waiting { kind text since until subject }
	held { kind message step expected actual stack build }
	tags { key value } customStatus { ...V } input { ...V } output { ...V } failure { ...F } parent { instanceId name }
	pendingTasks { taskId name state attempt startedAt nextAttemptAt lastError worker }
	allowedActions
}`
)

type row struct {
	InstanceID  string  `json:"instanceId"`
	Name        string  `json:"name"`
	Version     *string `json:"version"`
	Status      string  `json:"status"`
	CreatedAt   string  `json:"createdAt"`
	StartedAt   *string `json:"startedAt"`
	LastEventAt string  `json:"lastEventAt"`
	FinishedAt  *string `json:"finishedAt"`
	DoingNow    *string `json:"doingNow"`
}

type payload struct {
	Size      int    `json:"size"`
	Encoding  string `json:"encoding"`
	Text      string `json:"text"`
	Truncated bool   `json:"truncated"`
}

type failure struct {
	Type         string `json:"type"`
	Message      string `json:"message"`
	NonRetriable bool   `json:"nonRetriable"`
}

type reference struct {
	InstanceID string `json:"instanceId"`
	Name       string `json:"name"`
}

type full struct {
	row

	ExecutionID string  `json:"executionId"`
	Generation  int     `json:"generation"`
	ScheduledAt *string `json:"scheduledAt"`
	Priority    int     `json:"priority"`
	LastSeq     string  `json:"lastSeq"`
	FirstSeq    string  `json:"firstSeq"`
	Waiting     struct {
		Kind    string  `json:"kind"`
		Text    string  `json:"text"`
		Since   *string `json:"since"`
		Until   *string `json:"until"`
		Subject *string `json:"subject"`
	} `json:"waiting"`
	Held *struct {
		Kind     string  `json:"kind"`
		Message  string  `json:"message"`
		Step     *int    `json:"step"`
		Expected *string `json:"expected"`
		Actual   *string `json:"actual"`
		Stack    *string `json:"stack"`
		Build    *string `json:"build"`
	} `json:"held"`
	Tags         []tag      `json:"tags"`
	CustomStatus *payload   `json:"customStatus"`
	Input        *payload   `json:"input"`
	Output       *payload   `json:"output"`
	Failure      *failure   `json:"failure"`
	Parent       *reference `json:"parent"`
	PendingTasks []struct {
		TaskID        int     `json:"taskId"`
		Name          string  `json:"name"`
		State         string  `json:"state"`
		Attempt       int     `json:"attempt"`
		StartedAt     *string `json:"startedAt"`
		NextAttemptAt *string `json:"nextAttemptAt"`
		LastError     *string `json:"lastError"`
		Worker        *string `json:"worker"`
	} `json:"pendingTasks"`
	AllowedActions []string `json:"allowedActions"`
}

// outcome is what every answer to a change has.
type outcome struct {
	Errors    []APIError `json:"errors"`
	RequestID string     `json:"requestId"`
}

var (
	listOperation = define[nodes[row]](`query List($hub: String!, $filter: OrchestrationFilter, $first: Int!, $after: String) {
	done: orchestrations(hub: $hub, filter: $filter, first: $first, after: $after) { nodes { ...Row } `+pageFields+` }
}`, rowFields)
	getOperation = define[full](`query Get($hub: String!, $id: String!) {
	done: orchestration(hub: $hub, instanceId: $id) { ...Full }
}`, fullFields, rowFields, valueFields, failureFields)
)

var instanceHead = []string{"INSTANCE", "NAME", "STATUS", "CREATED", "CHANGED", "DOING"}

func (r *row) cells() []string {
	name := r.Name
	if r.Version != nil {
		name += "@" + *r.Version
	}
	return []string{r.InstanceID, name, r.Status, at(&r.CreatedAt), at(&r.LastEventAt), text(r.DoingNow)}
}

func listCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var (
		s selection
		p paging
	)
	s.declare(flags)
	p.declare(flags)
	return func(ctx context.Context, c *call) error {
		f, err := s.filter(c)
		if err != nil {
			return err
		}
		return all(ctx, c, &p, listOperation, c.vars("filter", f), instanceHead, (*row).cells)
	}
}

func getCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		i, err := getOperation.need(ctx, c, c.vars("id", c.args[0]), c.instance())
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		i.print(c)
		return nil
	}
}

func (c *call) instance() string { return fmt.Sprintf("instance %q in hub %q", c.args[0], c.hub) }

// fields prints names with values, those without a value left out.
func fields(c *call, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			c.sayf("%-12s %s", pairs[i], printable(pairs[i+1]))
		}
	}
}

func (i *full) print(c *call) {
	var tags []string
	for _, t := range i.Tags {
		tags = append(tags, t.Key+"="+t.Value)
	}
	parent := ""
	if i.Parent != nil {
		parent = i.Parent.InstanceID + " (" + i.Parent.Name + ")"
	}
	failed := ""
	if i.Failure != nil {
		failed = i.Failure.Type + ": " + i.Failure.Message
	}
	generation := ""
	if i.Generation > 0 {
		generation = strconv.Itoa(i.Generation)
	}
	fields(c, "instance", i.InstanceID, "name", i.Name, "version", text(i.Version), "status", i.Status, "reason", i.Waiting.Text,
		"parent", parent, "generation", generation, "created", at(&i.CreatedAt), "scheduled", at(i.ScheduledAt), "started", at(i.StartedAt),
		"changed", at(&i.LastEventAt), "finished", at(i.FinishedAt), "priority", strconv.Itoa(i.Priority), "tags", strings.Join(tags, " "),
		"events", i.LastSeq, "says", i.CustomStatus.short(), "input", i.Input.short(), "output", i.Output.short(), "failure", failed,
		"may", strings.ToLower(strings.Join(i.AllowedActions, ", ")))
	if h := i.Held; h != nil {
		fields(c, "held", h.Kind+": "+h.Message, "expected", text(h.Expected), "actual", text(h.Actual), "build", text(h.Build))
	}
	if len(i.PendingTasks) > 0 {
		c.sayf("")
		t := table{head: []string{"TASK", "NAME", "STATE", "ATTEMPT", "NEXT", "WORKER", "LAST ERROR"}}
		for _, p := range i.PendingTasks {
			t.add(strconv.Itoa(p.TaskID), p.Name, p.State, strconv.Itoa(p.Attempt), at(p.NextAttemptAt), text(p.Worker), text(p.LastError))
		}
		t.print(c.out)
	}
}

// short is a value on a line.
func (p *payload) short() string {
	switch {
	case p == nil:
		return ""
	case p.Truncated:
		return fmt.Sprintf("%s (%d bytes)", cut(p.Text, 200), p.Size)
	}
	return cut(p.Text, 200)
}
