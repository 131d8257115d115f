package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
)

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

var (
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
)

func batchChange(field, input string) operation[changedBatch] {
	return define[changedBatch]("mutation Change($input: "+input+"!) {\n\tdone: "+field+"(input: $input) { operation { ...B } "+errorFields+" }\n}", batchFields)
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
		c.sayOne(batchHead, p.Operation.cells())
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
