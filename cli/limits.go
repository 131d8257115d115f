package cli

import (
	"context"
	"flag"
	"fmt"
	"strconv"
)

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

var (
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
)

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
	c.sayOne(limitHead, l.cells())
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
