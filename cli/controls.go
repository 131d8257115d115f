package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"strings"
)

type changedInstance struct {
	outcome

	Orchestration *row `json:"orchestration"`
	Existing      bool `json:"existing"`
}

var (
	startOperation     = change("startOrchestration", "StartOrchestrationInput")
	raiseOperation     = change("raiseEvent", "RaiseEventInput")
	suspendOperation   = change("suspendOrchestration", "SuspendOrchestrationInput")
	resumeOperation    = change("resumeOrchestration", "ResumeOrchestrationInput")
	cancelOperation    = change("cancelOrchestration", "CancelOrchestrationInput")
	terminateOperation = change("terminateOrchestration", "TerminateOrchestrationInput")
	rewindOperation    = change("rewindOrchestration", "RewindOrchestrationInput")
	restartOperation   = change("restartOrchestration", "RestartOrchestrationInput")
	redriveOperation   = change("redriveOrchestration", "RedriveOrchestrationInput")
	purgeOperation     = define[purged](`mutation Purge($input: PurgeOrchestrationsInput!) {
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
	c.sayOne(instanceHead, p.Orchestration.cells())
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
