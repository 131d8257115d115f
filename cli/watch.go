package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"
)

type delta struct {
	Seq     int      `json:"seq"`
	Reset   bool     `json:"reset"`
	Upserts []row    `json:"upserts"`
	Leaves  []string `json:"leaves"`
}

var (
	watchOperation = define[row](`subscription Watch($hub: String!, $id: String!) {
	done: orchestration(hub: $hub, instanceId: $id) { ...Row }
}`, rowFields)
	changesOperation = define[delta](`subscription Changes($hub: String!, $filter: OrchestrationFilter, $first: Int!) {
	done: orchestrationChanges(hub: $hub, filter: $filter, first: $first) { seq reset upserts { ...Row } leaves }
}`, rowFields)
)

// errEnough ends a stream in good order.
var errEnough = errors.New("enough")

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
