package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
)

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

// sayOne prints a table of one row.
func (c *call) sayOne(head, cells []string) {
	t := table{head: head}
	t.add(cells...)
	t.print(c.out)
}
