package cli

import (
	"context"
	"flag"
	"fmt"
	"strconv"
)

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

var (
	lettersOperation = define[nodes[letter]](`query Letters($hub: String!, $first: Int!, $after: String) {
	done: deadLetters(hub: $hub, first: $first, after: $after) { nodes { instanceId name taskId activity deaths worker lastAt heldAt } ` + pageFields + ` }
}`)
	redriveAllOperation = define[struct {
		outcome

		Redriven int `json:"redriven"`
	}](`mutation RedriveAll($input: RedriveDeadLettersInput!) {
	done: redriveDeadLetters(input: $input) { redriven ` + errorFields + ` }
}`)
)

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
