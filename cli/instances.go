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
	"time"
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

// page is where to read on.
type page struct {
	HasNextPage bool    `json:"hasNextPage"`
	EndCursor   *string `json:"endCursor"`
}

const pageFields = "pageInfo { hasNextPage endCursor }"

// nodes is a page of a list.
type nodes[N any] struct {
	Nodes    []N  `json:"nodes"`
	PageInfo page `json:"pageInfo"`
}

// outcome is what every answer to a change has.
type outcome struct {
	Errors    []APIError `json:"errors"`
	RequestID string     `json:"requestId"`
}

type changedInstance struct {
	outcome

	Orchestration *row `json:"orchestration"`
	Existing      bool `json:"existing"`
}

type delta struct {
	Seq     int      `json:"seq"`
	Reset   bool     `json:"reset"`
	Upserts []row    `json:"upserts"`
	Leaves  []string `json:"leaves"`
}

type events struct {
	Events  []json.RawMessage `json:"events"`
	LastSeq string            `json:"lastSeq"`
	HasMore bool              `json:"hasMore"`
	Reset   bool              `json:"reset"`
}

var (
	listOperation = define[nodes[row]](`query List($hub: String!, $filter: OrchestrationFilter, $first: Int!, $after: String) {
	done: orchestrations(hub: $hub, filter: $filter, first: $first, after: $after) { nodes { ...Row } `+pageFields+` }
}`, rowFields)
	getOperation = define[full](`query Get($hub: String!, $id: String!) {
	done: orchestration(hub: $hub, instanceId: $id) { ...Full }
}`, fullFields, rowFields, valueFields, failureFields)
	watchOperation = define[row](`subscription Watch($hub: String!, $id: String!) {
	done: orchestration(hub: $hub, instanceId: $id) { ...Row }
}`, rowFields)
	changesOperation = define[delta](`subscription Changes($hub: String!, $filter: OrchestrationFilter, $first: Int!) {
	done: orchestrationChanges(hub: $hub, filter: $filter, first: $first) { seq reset upserts { ...Row } leaves }
}`, rowFields)
	historyOperation = define[struct {
		History events `json:"history"`
	}](`query History($hub: String!, $id: String!, $after: Long!, $first: Int!) {
	done: orchestration(hub: $hub, instanceId: $id) { history(after: $after, first: $first) { ...H } }
}`, historyFields, valueFields, failureFields)
	followOperation = define[events](`subscription Follow($hub: String!, $id: String!, $after: Long!) {
	done: history(hub: $hub, instanceId: $id, after: $after) { ...H }
}`, historyFields, valueFields, failureFields)

	startOperation     = change("startOrchestration", "StartOrchestrationInput")
	raiseOperation     = change("raiseEvent", "RaiseEventInput")
	suspendOperation   = change("suspendOrchestration", "SuspendOrchestrationInput")
	resumeOperation    = change("resumeOrchestration", "ResumeOrchestrationInput")
	cancelOperation    = change("cancelOrchestration", "CancelOrchestrationInput")
	terminateOperation = change("terminateOrchestration", "TerminateOrchestrationInput")
	rewindOperation    = change("rewindOrchestration", "RewindOrchestrationInput")
	restartOperation   = change("restartOrchestration", "RestartOrchestrationInput")
	redriveOperation   = change("redriveOrchestration", "RedriveOrchestrationInput")

	purgeOperation = define[purged](`mutation Purge($input: PurgeOrchestrationsInput!) {
	done: purgeOrchestrations(input: $input) { deleted refused { instanceId code message } refusedCount complete ` + errorFields + ` }
}`)
)

// change is a mutation that answers with an instance.
func change(field, input string) operation[changedInstance] {
	return define[changedInstance]("mutation Change($input: "+input+"!) {\n\tdone: "+field+"(input: $input) { orchestration { ...Row } existing "+errorFields+" }\n}", rowFields)
}

type purged struct {
	outcome

	Deleted int `json:"deleted"`
	Refused []struct {
		InstanceID string `json:"instanceId"`
		Code       string `json:"code"`
		Message    string `json:"message"`
	} `json:"refused"`
	RefusedCount int  `json:"refusedCount"`
	Complete     bool `json:"complete"`
}

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

var (
	anyStatus   = []string{"PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "FAILED", "CANCELED", "TERMINATED"}
	finalStatus = anyStatus[3:]
)

// selection are the flags that select instances.
type selection struct {
	json                                                   string
	statuses                                               enums
	names, versions, ids                                   list
	prefix, parent, longer, shorter, failureType, failText string
	tags                                                   tags
	roots                                                  bool
	createdFrom, createdTo, endedFrom, endedTo             moment
	updatedFrom, updatedTo                                 moment
	input, output                                          string
}

func (s *selection) declare(flags *flag.FlagSet) {
	s.statuses.allowed = anyStatus
	flags.Var(&s.statuses, "status", "in this status; may be repeated")
	flags.Var(&s.names, "name", "of this orchestration; may be repeated")
	flags.Var(&s.versions, "version", "of this version; may be repeated")
	flags.Var(&s.ids, "id", "with this id; may be repeated")
	flags.StringVar(&s.prefix, "prefix", "", "whose id begins so")
	flags.StringVar(&s.parent, "parent", "", "children of this instance")
	flags.BoolVar(&s.roots, "roots", false, "only those that no other waits for")
	flags.Var(&s.tags, "tag", "with this tag, NAME=VALUE; may be repeated")
	flags.Var(&s.createdFrom, "created-from", "created at this time or later: a time, or how long ago, such as 7d")
	flags.Var(&s.createdTo, "created-to", "created before this time, likewise")
	flags.Var(&s.updatedFrom, "updated-from", "changed last at this time or later")
	flags.Var(&s.updatedTo, "updated-to", "changed last before this time")
	flags.Var(&s.endedFrom, "ended-from", "ended at this time or later")
	flags.Var(&s.endedTo, "ended-to", "ended before this time")
	flags.StringVar(&s.longer, "longer-than", "", "having run so long at least, such as 10m")
	flags.StringVar(&s.shorter, "shorter-than", "", "having run less than so long")
	flags.StringVar(&s.failureType, "failure-type", "", "failed with this class of error")
	flags.StringVar(&s.failText, "failure-text", "", "with this text in the message of the failure")
	flags.StringVar(&s.input, "where-input", "", "an SQL/JSON path predicate on the input, such as '$.total > 100'")
	flags.StringVar(&s.output, "where-output", "", "likewise on the output")
	flags.StringVar(&s.json, "filter", "", "an OrchestrationFilter in JSON; other flags go before its fields")
}

// filter is what the flags say. Errors: Usage.
func (s *selection) filter(c *call) (map[string]any, error) {
	f := map[string]any{}
	raw, err := c.value("--filter", s.json)
	if err != nil {
		return nil, err
	}
	if raw != nil {
		var all map[string]json.RawMessage
		if err := json.Unmarshal(raw, &all); err != nil || all == nil {
			return nil, Usage("--filter: want an object of JSON")
		}
		for k, v := range all {
			f[k] = v
		}
	}
	for field, values := range map[string][]string{"statuses": s.statuses.values, "names": s.names, "versions": s.versions, "instanceIds": s.ids} {
		if values != nil {
			f[field] = values
		}
	}
	for field, v := range map[string]string{
		"instanceIdPrefix": s.prefix, "parentInstanceId": s.parent, "longerThan": s.longer, "shorterThan": s.shorter, "failureType": s.failureType,
		"failureText": s.failText, "createdFrom": s.createdFrom.text, "createdTo": s.createdTo.text, "completedFrom": s.endedFrom.text,
		"completedTo": s.endedTo.text, "updatedFrom": s.updatedFrom.text, "updatedTo": s.updatedTo.text, "input": s.input, "output": s.output,
	} {
		if v != "" {
			f[field] = v
		}
	}
	if s.tags != nil {
		f["tags"] = s.tags
	}
	if s.roots {
		f["rootsOnly"] = true
	}
	return f, nil
}

const (
	// perPage is how many rows are asked for at once, maxListed how many a list may have.
	perPage   = 200
	maxListed = 100_000
)

// paging are the flags of lists.
type paging struct{ limit int }

func (p *paging) declare(flags *flag.FlagSet) {
	flags.IntVar(&p.limit, "limit", 50, "how many to print, at most 100000")
}

// all reads a list page by page, and prints it: rows of a table, or an array of JSON.
func all[N any](ctx context.Context, c *call, p *paging, o operation[nodes[N]], vars map[string]any, head []string, cells func(*N) []string) error {
	if p.limit < 1 || p.limit > maxListed {
		return Usage(fmt.Sprintf("--limit: is %d, allowed are 1 to %d", p.limit, maxListed))
	}
	t := table{head: head}
	raws := []json.RawMessage{}
	vars = maps.Clone(vars)
	for left := p.limit; left > 0; {
		vars["first"] = min(left, perPage)
		got, err := o.need(ctx, c, vars, fmt.Sprintf("hub %q", c.hub))
		if err != nil {
			return err
		}
		var raw struct {
			Nodes []json.RawMessage `json:"nodes"`
		}
		if err := json.Unmarshal(c.raw, &raw); err != nil {
			return err
		}
		raws = append(raws, raw.Nodes...)
		for i := range got.Nodes {
			t.add(cells(&got.Nodes[i])...)
		}
		left -= len(got.Nodes)
		if !got.PageInfo.HasNextPage || got.PageInfo.EndCursor == nil {
			break
		}
		if vars["after"] = *got.PageInfo.EndCursor; left <= 0 && !c.json {
			sayf(c.notes, "There are more than %d: see --limit.", p.limit)
		}
	}
	if c.json {
		raw, err := json.Marshal(raws)
		if err != nil {
			return err
		}
		return c.emitRaw(raw)
	}
	t.print(c.out)
	return nil
}

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

// errEnough ends a stream in good order.
var errEnough = errors.New("enough")

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

const (
	reconnectFirst = 250 * time.Millisecond
	reconnectMost  = 5 * time.Second
	// reconnectFor is how long a server may be away.
	reconnectFor = 2 * time.Minute
)

// stream follows a subscription. When the connection breaks off it connects again, and vars say from where on.
func (c *call) stream(ctx context.Context, text string, vars func() map[string]any, fn func(json.RawMessage) error) error {
	var (
		lost time.Time // when the connection broke off; zero while it stands
		wait = reconnectFirst
	)
	for {
		err := c.client.frames(ctx, text, vars(), func(raw json.RawMessage) error {
			lost, wait = time.Time{}, reconnectFirst
			return fn(raw)
		})
		var exit *Exit
		switch {
		case err == nil, errors.Is(err, errEnough):
			return nil
		case errors.Is(err, errStreamLost):
			if lost.IsZero() {
				lost = time.Now()
				sayf(c.notes, "The connection broke off; connecting again.")
			}
		case errors.As(err, &exit) && exit.Code == ExitUnreachable && !lost.IsZero() && time.Since(lost) < reconnectFor:
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
			wait = min(2*wait, reconnectMost)
		}
	}
}

func watchCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var (
		s selection
		n int
	)
	s.declare(flags)
	flags.IntVar(&n, "limit", 50, "how many instances to begin with, 1 to 200")
	return func(ctx context.Context, c *call) error {
		if len(c.args) == 1 {
			return c.watchOne(ctx, c.args[0])
		}
		if n < 1 || n > perPage {
			return Usage(fmt.Sprintf("--limit: is %d, allowed are 1 to %d", n, perPage))
		}
		f, err := s.filter(c)
		if err != nil {
			return err
		}
		return c.stream(ctx, changesOperation.text, func() map[string]any { return c.vars("filter", f, "first", n) }, func(raw json.RawMessage) error {
			d, err := changesOperation.read(c, raw)
			if err != nil {
				return err
			}
			if c.json {
				c.sayf("%s", raw)
				return nil
			}
			slices.Reverse(d.Upserts) // the newest last, next to what comes
			for _, r := range d.Upserts {
				c.sayRow(&r)
			}
			return nil
		})
	}
}

// watchOne follows an instance until it ends. Errors: *Exit if it does not end well.
func (c *call) watchOne(ctx context.Context, id string) error {
	var last *row
	err := c.stream(ctx, watchOperation.text, func() map[string]any { return c.vars("id", id) }, func(raw json.RawMessage) error {
		r, err := watchOperation.read(c, raw)
		if err != nil {
			return err
		}
		if r == nil {
			return nil
		}
		if last = r; c.json {
			c.sayf("%s", raw)
		} else {
			c.sayRow(r)
		}
		if slices.Contains(finalStatus, r.Status) {
			return errEnough
		}
		return nil
	})
	if err == nil && last != nil && last.Status != "COMPLETED" {
		return &Exit{ExitFailed, fmt.Errorf("instance %q has ended as %s", id, last.Status)}
	}
	return err
}

func (c *call) sayRow(r *row) {
	line := fmt.Sprintf("%s  %-10s %s (%s)  %s", at(&r.LastEventAt), r.Status, printable(r.InstanceID), printable(r.Name), printable(text(r.DoingNow)))
	c.sayf("%s", strings.TrimSpace(line))
}

func startCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var (
		id, version, input, delay string
		at                        moment
		t                         tags
		priority                  int
		replace                   = enums{allowed: anyStatus}
		existing, wait            bool
	)
	flags.StringVar(&id, "id", "", "the instance's id; without it one is made up")
	flags.StringVar(&version, "version", "", "the version of the code to run")
	flags.StringVar(&input, "input", "", "JSON; @FILE reads a file, - the standard input")
	flags.StringVar(&delay, "delay", "", "not to be started before so long from now, such as 90s or 1h30m")
	at.future = true
	flags.Var(&at, "at", "not to be started before this time, as 2026-11-27T09:00:00Z, or how long from now, such as 36h")
	flags.Var(&t, "tag", "a tag NAME=VALUE; may be repeated")
	flags.IntVar(&priority, "priority", 2, "1 goes first, 4 last")
	flags.Var(&replace, "replace", "a status in which an instance with this id gives way; may be repeated")
	flags.BoolVar(&existing, "return-existing", false, "take an instance with this id that does not give way for the answer")
	flags.BoolVar(&wait, "wait", false, "follow it until it ends, as watch does")
	return func(ctx context.Context, c *call) error {
		raw, err := c.value("--input", input)
		if err != nil {
			return err
		}
		vars := c.input("name", c.args[0], "instanceId", id, "version", version, "input", raw, "delay", delay, "startAt", at.text, "priority", priority)
		in := vars["input"].(map[string]any)
		if t != nil {
			in["tags"] = t
		}
		if existing || replace.values != nil {
			in["reuse"] = map[string]any{"replace": append([]string{}, replace.values...), "returnExisting": existing}
		}
		return c.changed(ctx, startOperation, vars, wait)
	}
}

// changed sends a change and prints the instance as it is afterwards.
func (c *call) changed(ctx context.Context, o operation[changedInstance], vars map[string]any, wait bool) error {
	p, err := o.ask(ctx, c, vars)
	if err != nil {
		return err
	}
	if wait && p.Orchestration != nil {
		return c.watchOne(ctx, p.Orchestration.InstanceID)
	}
	if done, err := c.emit(); done {
		return err
	}
	if p.Orchestration == nil {
		return nil
	}
	t := table{head: instanceHead}
	t.add(p.Orchestration.cells()...)
	t.print(c.out)
	if p.Existing {
		sayf(c.notes, "It was there already.")
	}
	return nil
}

// control is a command that changes one instance.
func control(o operation[changedInstance], more func(*flag.FlagSet, map[string]any) func()) func(*flag.FlagSet) func(context.Context, *call) error {
	return func(flags *flag.FlagSet) func(context.Context, *call) error {
		extra := map[string]any{}
		fill := func() {}
		if more != nil {
			fill = more(flags, extra)
		}
		return func(ctx context.Context, c *call) error {
			fill()
			vars := c.input("instanceId", c.args[0])
			maps.Copy(vars["input"].(map[string]any), extra)
			return c.changed(ctx, o, vars, false)
		}
	}
}

// reason is the flag of most controls.
func reason(flags *flag.FlagSet, in map[string]any) func() {
	why := flags.String("reason", "", "why, for the record")
	return func() { in["reason"] = *why }
}

func terminateFlags(flags *flag.FlagSet, in map[string]any) func() {
	why := reason(flags, in)
	recursive := flags.Bool("recursive", false, "end its children, too, and theirs")
	return func() { why(); in["recursive"] = *recursive }
}

func rewindFlags(flags *flag.FlagSet, in map[string]any) func() {
	why := reason(flags, in)
	step := flags.Int("step", -1, "the number of the step whose result is taken back; without it what the instance failed of")
	return func() {
		if why(); *step >= 0 {
			in["step"] = *step
		}
	}
}

func restartFlags(flags *flag.FlagSet, in map[string]any) func() {
	asNew := flags.Bool("as-new", false, "start another instance like it")
	id := flags.String("new-id", "", "the id of the other instance")
	return func() {
		in["asNew"] = *asNew
		if *id != "" {
			in["newInstanceId"] = *id
		}
	}
}

func raiseCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	key := flags.String("key", "", "of several raises with the same key only the first counts")
	return func(ctx context.Context, c *call) error {
		payload, err := c.third("PAYLOAD", 2)
		if err != nil {
			return err
		}
		return c.changed(ctx, raiseOperation, c.input("instanceId", c.args[0], "name", c.args[1], "payload", payload, "idempotencyKey", *key), false)
	}
}

// third is the value of a word that may be left out.
func (c *call) third(name string, n int) (json.RawMessage, error) {
	if len(c.args) <= n {
		return nil, nil
	}
	return c.value(name, c.args[n])
}

func purgeCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	recursive := flags.Bool("recursive", false, "delete their children, too, and theirs")
	return func(ctx context.Context, c *call) error {
		in := map[string]any{"hub": c.hub, "instanceIds": c.args, "recursive": *recursive}
		deleted := 0
		for {
			p, err := purgeOperation.ask(ctx, c, map[string]any{"input": in})
			if err != nil {
				return err
			}
			deleted += p.Deleted
			if !p.Complete {
				continue
			}
			if err := c.emitRaw(c.raw); err != nil {
				return err
			}
			if !c.json {
				c.sayf("%d purged, %d refused.", deleted, p.RefusedCount)
			}
			if p.RefusedCount == 0 {
				return nil
			}
			r := p.Refused[0]
			why := r.Message
			if !strings.Contains(why, r.InstanceID) {
				why = fmt.Sprintf("instance %q: %s", r.InstanceID, why)
			}
			return refused(&APIError{Code: r.Code, Message: why})
		}
	}
}
