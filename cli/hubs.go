package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// What the commands on hubs and workers ask for.

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
)

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
