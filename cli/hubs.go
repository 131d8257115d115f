package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// What the commands on hubs, entities, workers, limits, dead letters, operations on many and retention ask for.

type hub struct {
	Name string `json:"name"`
}

type worker struct {
	No             int          `json:"no"`
	Name           string       `json:"name"`
	Build          string       `json:"build"`
	State          string       `json:"state"`
	StartedAt      string       `json:"startedAt"`
	HeartbeatAt    string       `json:"heartbeatAt"`
	EndedAt        *string      `json:"endedAt"`
	Slots          int          `json:"slots"`
	Orchestrations []definition `json:"orchestrations"`
	Activities     []definition `json:"activities"`
	Entities       []string     `json:"entities"`
}

type definition struct {
	Name    string  `json:"name"`
	Version *string `json:"version"`
}

type entity struct {
	EntityID   string   `json:"entityId"`
	Name       string   `json:"name"`
	Key        string   `json:"key"`
	State      *payload `json:"state"`
	Backlog    int      `json:"backlog"`
	CreatedAt  string   `json:"createdAt"`
	ModifiedAt string   `json:"modifiedAt"`
	LockedBy   *struct {
		InstanceID string `json:"instanceId"`
		Since      string `json:"since"`
	} `json:"lockedBy"`
	Held *struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
	} `json:"held"`
}

const entityFields = "fragment Ent on Entity { entityId name key state { ...V } backlog createdAt modifiedAt lockedBy { instanceId since } held { kind message } }"

type limit struct {
	Name        string  `json:"name"`
	Defined     bool    `json:"defined"`
	Concurrency *int    `json:"concurrency"`
	Rate        *int    `json:"rate"`
	Period      *string `json:"period"`
	Burst       *int    `json:"burst"`
	Holding     int     `json:"holding"`
	Waiting     int     `json:"waiting"`
}

const limitFields = "fragment L on Limit { name defined concurrency rate period burst holding waiting }"

type changedLimit struct {
	outcome

	Limit *limit `json:"limit"`
}

type letter struct {
	InstanceID string  `json:"instanceId"`
	Name       string  `json:"name"`
	TaskID     *int    `json:"taskId"`
	Activity   *string `json:"activity"`
	Deaths     int     `json:"deaths"`
	Worker     string  `json:"worker"`
	LastAt     string  `json:"lastAt"`
	HeldAt     string  `json:"heldAt"`
}

type batch struct {
	OperationID string          `json:"operationId"`
	Kind        string          `json:"kind"`
	State       string          `json:"state"`
	Filter      json.RawMessage `json:"filter"`
	Reason      string          `json:"reason"`
	Recursive   bool            `json:"recursive"`
	PerSecond   *int            `json:"perSecond"`
	Matched     *string         `json:"matched"`
	Examined    string          `json:"examined"`
	Done        string          `json:"done"`
	Refused     string          `json:"refused"`
	Error       *string         `json:"error"`
	CreatedAt   string          `json:"createdAt"`
	FinishedAt  *string         `json:"finishedAt"`
	Refusals    []struct {
		InstanceID string `json:"instanceId"`
		Code       string `json:"code"`
		Message    string `json:"message"`
	} `json:"refusals"`
}

const batchFields = `fragment B on BatchOperation {
	operationId kind state filter reason recursive perSecond matched examined done refused error createdAt finishedAt
	refusals { instanceId code message }
}`

type changedBatch struct {
	outcome

	Operation *batch `json:"operation"`
}

type rule struct {
	Name      *string `json:"name"`
	Status    *string `json:"status"`
	Keep      *string `json:"keep"`
	UpdatedAt string  `json:"updatedAt"`
}

const ruleFields = "name status keep updatedAt"

type changedRules struct {
	outcome

	Rules []rule `json:"rules"`
}

var (
	hubsOperation = define[nodes[hub]](`query Hubs($first: Int!, $after: String) {
	done: hubs(first: $first, after: $after) { nodes { name } ` + pageFields + ` }
}`)
	workersOperation = define[struct {
		Workers []worker `json:"workers"`
	}](`query Workers($hub: String!) {
	done: hub(name: $hub) {
		workers { no name build state startedAt heartbeatAt endedAt slots orchestrations { name version } activities { name version } entities }
	}
}`)
	entitiesOperation = define[nodes[entity]](`query Entities($hub: String!, $filter: EntityFilter, $first: Int!, $after: String) {
	done: entities(hub: $hub, filter: $filter, first: $first, after: $after) { nodes { ...Ent } `+pageFields+` }
}`, entityFields, valueFields)
	entityOperation = define[entity](`query Entity($hub: String!, $name: String!, $key: String!) {
	done: entity(hub: $hub, name: $name, key: $key) { ...Ent }
}`, entityFields, valueFields)
	signalOperation = define[struct {
		outcome

		Entity *entity `json:"entity"`
	}](`mutation Signal($input: SignalEntityInput!) {
	done: signalEntity(input: $input) { entity { ...Ent } `+errorFields+` }
}`, entityFields, valueFields)
	limitsOperation = define[nodes[limit]](`query Limits($hub: String!, $first: Int!, $after: String) {
	done: limits(hub: $hub, first: $first, after: $after) { nodes { ...L } `+pageFields+` }
}`, limitFields)
	limitOperation = define[limit](`query Limit($hub: String!, $name: String!) {
	done: limit(hub: $hub, name: $name) { ...L }
}`, limitFields)
	putLimitOperation = define[changedLimit](`mutation PutLimit($input: PutLimitInput!) {
	done: putLimit(input: $input) { limit { ...L } `+errorFields+` }
}`, limitFields)
	deleteLimitOperation = define[changedLimit](`mutation DeleteLimit($input: DeleteLimitInput!) {
	done: deleteLimit(input: $input) { limit { ...L } `+errorFields+` }
}`, limitFields)
	lettersOperation = define[nodes[letter]](`query Letters($hub: String!, $first: Int!, $after: String) {
	done: deadLetters(hub: $hub, first: $first, after: $after) { nodes { instanceId name taskId activity deaths worker lastAt heldAt } ` + pageFields + ` }
}`)
	redriveAllOperation = define[struct {
		outcome

		Redriven int `json:"redriven"`
	}](`mutation RedriveAll($input: RedriveDeadLettersInput!) {
	done: redriveDeadLetters(input: $input) { redriven ` + errorFields + ` }
}`)
	batchesOperation = define[nodes[batch]](`query Batches($hub: String!, $states: [BatchOperationState!], $first: Int!, $after: String) {
	done: batchOperations(hub: $hub, states: $states, first: $first, after: $after) { nodes { ...B } `+pageFields+` }
}`, batchFields)
	batchOperation = define[batch](`query Batch($hub: String!, $id: String!) {
	done: batchOperation(hub: $hub, operationId: $id) { ...B }
}`, batchFields)
	previewOperation = define[struct {
		Matched struct {
			Value int  `json:"value"`
			Exact bool `json:"exact"`
		} `json:"matched"`
		Sample []reference `json:"sample"`
	}](`query Preview($input: PreviewBatchOperationInput!) {
	done: previewBatchOperation(input: $input) { matched { value exact } sample { instanceId name } }
}`)
	startBatchOperation  = batchChange("startBatchOperation", "StartBatchOperationInput")
	pauseBatchOperation  = batchChange("pauseBatchOperation", "PauseBatchOperationInput")
	resumeBatchOperation = batchChange("resumeBatchOperation", "ResumeBatchOperationInput")
	cancelBatchOperation = batchChange("cancelBatchOperation", "CancelBatchOperationInput")

	retentionOperation = define[[]rule](`query Retention($hub: String!) {
	done: retention(hub: $hub) { ` + ruleFields + ` }
}`)
	setRetentionOperation    = ruleChange("setRetention", "SetRetentionInput")
	deleteRetentionOperation = ruleChange("deleteRetention", "DeleteRetentionInput")
)

func batchChange(field, input string) operation[changedBatch] {
	return define[changedBatch]("mutation Change($input: "+input+"!) {\n\tdone: "+field+"(input: $input) { operation { ...B } "+errorFields+" }\n}", batchFields)
}

func ruleChange(field, input string) operation[changedRules] {
	return define[changedRules]("mutation Change($input: " + input + "!) {\n\tdone: " + field + "(input: $input) { rules { " + ruleFields + " } " + errorFields + " }\n}")
}

func hubsCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var p paging
	p.declare(flags)
	return func(ctx context.Context, c *call) error {
		return all(ctx, c, &p, hubsOperation, map[string]any{}, []string{"HUB"}, func(h *hub) []string { return []string{h.Name} })
	}
}

func workersCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		h, err := workersOperation.need(ctx, c, c.vars(), fmt.Sprintf("hub %q", c.hub))
		if err != nil {
			return err
		}
		if c.json {
			var raw struct {
				Workers json.RawMessage `json:"workers"`
			}
			if err := json.Unmarshal(c.raw, &raw); err != nil {
				return err
			}
			return c.emitRaw(raw.Workers)
		}
		t := table{head: []string{"NO", "WORKER", "BUILD", "STATE", "SINCE", "HEARD", "SLOTS", "ORCHESTRATIONS"}}
		for _, w := range h.Workers {
			var names []string
			for _, o := range w.Orchestrations {
				if o.Version != nil {
					o.Name += "@" + *o.Version
				}
				names = append(names, o.Name)
			}
			t.add(strconv.Itoa(w.No), w.Name, w.Build, w.State, at(&w.StartedAt), at(&w.HeartbeatAt), strconv.Itoa(w.Slots), strings.Join(names, ", "))
		}
		t.print(c.out)
		return nil
	}
}

var entityHead = []string{"ENTITY", "BACKLOG", "MODIFIED", "LOCKED BY", "STATE"}

func (e *entity) cells() []string {
	lock := ""
	if e.LockedBy != nil {
		lock = e.LockedBy.InstanceID
	}
	return []string{e.EntityID, strconv.Itoa(e.Backlog), at(&e.ModifiedAt), lock, e.State.short()}
}

func entitiesListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var (
		p        paging
		from, to moment
		name     = flags.String("name", "", "of this name")
		prefix   = flags.String("prefix", "", "whose key begins so; needs --name")
		locked   = flags.Bool("locked", false, "only those that are locked")
	)
	p.declare(flags)
	flags.Var(&from, "modified-from", "modified at this time or later: a time, or how long ago")
	flags.Var(&to, "modified-to", "modified before this time, likewise")
	return func(ctx context.Context, c *call) error {
		f := map[string]any{}
		for field, v := range map[string]string{"name": *name, "keyPrefix": *prefix, "modifiedFrom": from.text, "modifiedTo": to.text} {
			if v != "" {
				f[field] = v
			}
		}
		if *locked {
			f["locked"] = true
		}
		return all(ctx, c, &p, entitiesOperation, c.vars("filter", f), entityHead, (*entity).cells)
	}
}

func entitiesGetCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		e, err := entityOperation.need(ctx, c, c.vars("name", c.args[0], "key", c.args[1]), fmt.Sprintf("entity @%s@%s in hub %q", c.args[0], c.args[1], c.hub))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		lock, held := "", ""
		if e.LockedBy != nil {
			lock = e.LockedBy.InstanceID + " since " + at(&e.LockedBy.Since)
		}
		if e.Held != nil {
			held = e.Held.Kind + ": " + e.Held.Message
		}
		fields(c, "entity", e.EntityID, "state", e.State.short(), "backlog", strconv.Itoa(e.Backlog), "locked by", lock, "held", held,
			"created", at(&e.CreatedAt), "modified", at(&e.ModifiedAt))
		return nil
	}
}

func signalCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	when := moment{future: true}
	flags.Var(&when, "at", "not to be carried out before this time, or so long from now")
	key := flags.String("key", "", "of several signals with the same key only the first counts")
	return func(ctx context.Context, c *call) error {
		input, err := c.third("INPUT", 3)
		if err != nil {
			return err
		}
		p, err := signalOperation.ask(ctx, c, c.input("name", c.args[0], "key", c.args[1], "operation", c.args[2], "input", input, "at", when.text, "idempotencyKey", *key))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		if p.Entity != nil {
			t := table{head: entityHead}
			t.add(p.Entity.cells()...)
			t.print(c.out)
		}
		return nil
	}
}

var limitHead = []string{"LIMIT", "CONCURRENCY", "RATE", "HOLDING", "WAITING"}

func (l *limit) cells() []string {
	concurrency, rate := "", ""
	if l.Concurrency != nil {
		concurrency = strconv.Itoa(*l.Concurrency)
	}
	if l.Rate != nil && l.Burst != nil {
		rate = fmt.Sprintf("%d in %s, %d at once", *l.Rate, text(l.Period), *l.Burst)
	}
	if !l.Defined {
		concurrency = "not put"
	}
	return []string{l.Name, concurrency, rate, strconv.Itoa(l.Holding), strconv.Itoa(l.Waiting)}
}

func limitsListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var p paging
	p.declare(flags)
	return func(ctx context.Context, c *call) error {
		return all(ctx, c, &p, limitsOperation, c.vars(), limitHead, (*limit).cells)
	}
}

func (c *call) sayLimit(l *limit) error {
	if done, err := c.emit(); done {
		return err
	}
	if l == nil {
		c.sayf("Limit %q is deleted.", c.args[0])
		return nil
	}
	t := table{head: limitHead}
	t.add(l.cells()...)
	t.print(c.out)
	return nil
}

func limitsGetCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		l, err := limitOperation.need(ctx, c, c.vars("name", c.args[0]), fmt.Sprintf("limit %q in hub %q", c.args[0], c.hub))
		if err != nil {
			return err
		}
		return c.sayLimit(l)
	}
}

func limitsPutCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	concurrency := flags.Int("concurrency", 0, "how many calls at once, for each key")
	rate := flags.Int("rate", 0, "how many calls in each period, for each key")
	period := flags.String("period", "", "the period of the rate, such as 1s")
	burst := flags.Int("burst", 0, "how many calls at once after a pause")
	return func(ctx context.Context, c *call) error {
		vars := c.input("name", c.args[0], "period", *period)
		in := vars["input"].(map[string]any)
		flags.Visit(func(f *flag.Flag) {
			switch f.Name {
			case "concurrency":
				in[f.Name] = *concurrency
			case "rate":
				in[f.Name] = *rate
			case "burst":
				in[f.Name] = *burst
			}
		})
		p, err := putLimitOperation.ask(ctx, c, vars)
		if err != nil {
			return err
		}
		return c.sayLimit(p.Limit)
	}
}

func limitsDeleteCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		p, err := deleteLimitOperation.ask(ctx, c, c.input("name", c.args[0]))
		if err != nil {
			return err
		}
		return c.sayLimit(p.Limit)
	}
}

func lettersListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var p paging
	p.declare(flags)
	return func(ctx context.Context, c *call) error {
		return all(ctx, c, &p, lettersOperation, c.vars(), []string{"INSTANCE", "NAME", "ACTIVITY", "DEATHS", "SINCE", "LAST WORKER"}, func(l *letter) []string {
			activity := "(its turn)"
			if l.Activity != nil && l.TaskID != nil {
				activity = fmt.Sprintf("%s (%d)", *l.Activity, *l.TaskID)
			}
			return []string{l.InstanceID, l.Name, activity, strconv.Itoa(l.Deaths), at(&l.HeldAt), l.Worker}
		})
	}
}

func lettersRedriveCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	every := flags.Bool("all", false, "all that the hub has")
	task := flags.Int("task", -1, "one activity, by its number; without it all there is of the instance")
	return func(ctx context.Context, c *call) error {
		switch {
		case *every && len(c.args) == 0:
			p, err := redriveAllOperation.ask(ctx, c, c.input())
			if err != nil {
				return err
			}
			if done, err := c.emit(); done {
				return err
			}
			c.sayf("%d redriven.", p.Redriven)
			return nil
		case *every || len(c.args) == 0:
			return Usage("name an instance, or say --all")
		}
		vars := c.input("instanceId", c.args[0])
		if *task >= 0 {
			vars["input"].(map[string]any)["taskId"] = *task
		}
		return c.changed(ctx, redriveOperation, vars, false)
	}
}

var (
	batchHead  = []string{"OPERATION", "KIND", "STATE", "DONE", "REFUSED", "MATCHED", "CREATED", "REASON"}
	batchKinds = []string{"PURGE", "TERMINATE", "CANCEL", "SUSPEND", "RESUME", "REWIND"}
)

func (b *batch) cells() []string {
	return []string{b.OperationID, b.Kind, b.State, b.Done, b.Refused, text(b.Matched), at(&b.CreatedAt), b.Reason}
}

func batchListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var (
		p      paging
		states = enums{allowed: []string{"RUNNING", "PAUSED", "DONE", "CANCELED", "FAILED"}}
	)
	p.declare(flags)
	flags.Var(&states, "state", "in this state; may be repeated")
	return func(ctx context.Context, c *call) error {
		return all(ctx, c, &p, batchesOperation, c.vars("states", append([]string{}, states.values...)), batchHead, (*batch).cells)
	}
}

func batchGetCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		b, err := batchOperation.need(ctx, c, c.vars("id", c.args[0]), fmt.Sprintf("operation %q in hub %q", c.args[0], c.hub))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		rate := ""
		if b.PerSecond != nil {
			rate = strconv.Itoa(*b.PerSecond) + " a second"
		}
		fields(c, "operation", b.OperationID, "kind", b.Kind, "state", b.State, "matched", text(b.Matched), "examined", b.Examined, "done", b.Done,
			"refused", b.Refused, "rate", rate, "reason", b.Reason, "filter", string(b.Filter), "created", at(&b.CreatedAt), "finished", at(b.FinishedAt), "error", text(b.Error))
		if len(b.Refusals) > 0 {
			c.sayf("")
			t := table{head: []string{"INSTANCE", "CODE", "WHY NOT"}}
			for _, r := range b.Refusals {
				t.add(r.InstanceID, r.Code, r.Message)
			}
			t.print(c.out)
		}
		return nil
	}
}

// kind is the first word of a command: what is to be done. Errors: Usage.
func (c *call) kind() (string, error) {
	e := enum{allowed: batchKinds}
	if err := e.Set(c.args[0]); err != nil {
		return "", Usage(fmt.Sprintf("%q: %v", c.args[0], err))
	}
	return e.value, nil
}

func batchPreviewCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var s selection
	s.declare(flags)
	return func(ctx context.Context, c *call) error {
		kind, err := c.kind()
		if err != nil {
			return err
		}
		f, err := s.filter(c)
		if err != nil {
			return err
		}
		p, err := previewOperation.ask(ctx, c, c.input("kind", kind, "filter", f))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		more := ""
		if !p.Matched.Exact {
			more = "more than "
		}
		c.sayf("%s%s", more, instances(int64(p.Matched.Value)))
		for _, r := range p.Sample {
			c.sayf("  %s (%s)", printable(r.InstanceID), printable(r.Name))
		}
		return nil
	}
}

func batchStartCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var s selection
	s.declare(flags)
	why := flags.String("reason", "", "why, for the record")
	recursive := flags.Bool("recursive", false, "of purge and terminate: their children, too, and theirs")
	perSecond := flags.Int("per-second", 0, "how many a second, at most")
	operationID := flags.String("operation-id", "", "names the operation; without it one is made up")
	by := flags.String("by", "", "who asks, for the record")
	every := flags.Bool("all", false, "all instances that the kind is made for: needed where nothing selects some")
	return func(ctx context.Context, c *call) error {
		kind, err := c.kind()
		if err != nil {
			return err
		}
		f, err := s.filter(c)
		if err != nil {
			return err
		}
		if len(f) == 0 && !*every {
			return Usage("nothing selects instances: say --all if it is to be all of them")
		}
		vars := c.input("kind", kind, "filter", f, "reason", *why, "recursive", *recursive, "operationId", *operationID, "by", *by)
		in := vars["input"].(map[string]any)
		in["reason"] = *why
		flags.Visit(func(f *flag.Flag) {
			if f.Name == "per-second" {
				in["perSecond"] = *perSecond
			}
		})
		return c.changedBatch(ctx, startBatchOperation, vars)
	}
}

func (c *call) changedBatch(ctx context.Context, o operation[changedBatch], vars map[string]any) error {
	p, err := o.ask(ctx, c, vars)
	if err != nil {
		return err
	}
	if done, err := c.emit(); done {
		return err
	}
	if p.Operation != nil {
		t := table{head: batchHead}
		t.add(p.Operation.cells()...)
		t.print(c.out)
	}
	return nil
}

func batchControl(o operation[changedBatch]) func(*flag.FlagSet) func(context.Context, *call) error {
	return func(*flag.FlagSet) func(context.Context, *call) error {
		return func(ctx context.Context, c *call) error {
			return c.changedBatch(ctx, o, c.input("operationId", c.args[0]))
		}
	}
}

func (c *call) sayRules(rules []rule) {
	t := table{head: []string{"NAME", "STATUS", "KEEP", "SET"}}
	for _, r := range rules {
		name, status, keep := "any", "any", "for ever"
		if r.Name != nil {
			name = *r.Name
		}
		if r.Status != nil {
			status = *r.Status
		}
		if r.Keep != nil {
			keep = *r.Keep
		}
		t.add(name, status, keep, at(&r.UpdatedAt))
	}
	t.print(c.out)
}

func retentionListCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		rules, err := retentionOperation.need(ctx, c, c.vars(), fmt.Sprintf("hub %q", c.hub))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		c.sayRules(*rules)
		return nil
	}
}

// ruleCommand sets a rule, or takes one back.
func ruleCommand(o operation[changedRules], set bool) func(*flag.FlagSet) func(context.Context, *call) error {
	return func(flags *flag.FlagSet) func(context.Context, *call) error {
		status := enum{allowed: finalStatus}
		name := flags.String("name", "", "of this orchestration; without it of any")
		flags.Var(&status, "status", "that ended so: completed, failed, canceled or terminated; without it in any way")
		keep, ever := new(string), new(bool)
		if set {
			keep = flags.String("keep", "", "how long, such as 72h or 30d")
			ever = flags.Bool("for-ever", false, "for ever")
		}
		return func(ctx context.Context, c *call) error {
			if set && (*keep == "") != *ever {
				return Usage("say either --keep or --for-ever")
			}
			p, err := o.ask(ctx, c, c.input("name", *name, "status", status.value, "keep", *keep))
			if err != nil {
				return err
			}
			if done, err := c.emit(); done {
				return err
			}
			c.sayRules(p.Rules)
			return nil
		}
	}
}
