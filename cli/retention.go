package cli

import (
	"context"
	"flag"
	"fmt"
)

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
	retentionOperation = define[[]rule](`query Retention($hub: String!) {
	done: retention(hub: $hub) { ` + ruleFields + ` }
}`)
	setRetentionOperation    = ruleChange("setRetention", "SetRetentionInput")
	deleteRetentionOperation = ruleChange("deleteRetention", "DeleteRetentionInput")
)

func ruleChange(field, input string) operation[changedRules] {
	return define[changedRules]("mutation Change($input: " + input + "!) {\n\tdone: " + field + "(input: $input) { rules { " + ruleFields + " } " + errorFields + " }\n}")
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
