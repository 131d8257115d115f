package durable_test

import (
	"context"
	"strings"
	"testing"

	"github.com/weir-dev/weir/durable"
)

// way is an orchestration as of some state of its code: each word of its program is done in turn.
//
//	"wait"    the next event
//	"x?"      asks whether change x is made, and notes the answer
//	"!x"      an activity, as something that must stay in step with the history
func way(program string) durable.Handler {
	return Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
		var out []string
		for word := range strings.FieldsSeq(program) {
			switch {
			case word == "wait":
				if _, err := Item.Wait(ctx); err != nil {
					return "", err
				}
			case strings.HasSuffix(word, "?"):
				if ctx.Patched(strings.TrimSuffix(word, "?")) {
					out = append(out, word+"yes")
				} else {
					out = append(out, word+"no")
				}
			default:
				v, err := Echo.Call(ctx, word)
				if err != nil {
					return "", err
				}
				out = append(out, v)
			}
		}
		return strings.Join(out, " "), nil
	})
}

func TestPatched(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		codes []string // of the workers that follow each other; an event comes while each is at work
		want  string
	}{
		"NewInstance":            {[]string{"x? !a wait x?"}, "x?yes !a x?yes"},
		"OverReplay":             {[]string{"x? !a wait !b wait x?", "x? !a wait !b wait x?"}, "x?yes !a !b x?yes"},
		"PastTheChange":          {[]string{"!a wait !b wait", "x? !a wait x? !b wait x?"}, "x?no !a x?no !b x?no"},
		"PastTheChangeTwice":     {[]string{"!a wait !b wait !c wait", "x? !a wait x? !b wait x? !c wait", "x? !a wait x? !b wait x? !c wait"}, "x?no !a x?no !b x?no !c"},
		"BeforeTheChange":        {[]string{"!a wait !b wait !c", "!a wait !b wait x? !c"}, "!a !b x?yes !c"},
		"TwoChangesInOrder":      {[]string{"!a wait x? !b wait", "!a wait x? !b wait y?"}, "!a x?yes !b y?yes"},
		"EarlierChangeComesLast": {[]string{"!a wait x? !b wait", "y? !a wait x? !b wait y?"}, "y?no !a x?yes !b y?no"},
		"BesideEachOther":        {[]string{"x? y? !a wait !b wait", "x? y? !a wait !b wait"}, "x?yes y?yes !a !b"},
		"NoLongerAsked":          {[]string{"x? !a wait y? !b wait", "!a wait !b wait"}, "!a !b"},
		"LastThingOfItsTurn":     {[]string{"!a x? wait !b wait", "!a wait !b wait"}, "!a !b"},
		"AskedLaterThanItWas":    {[]string{"x? !a wait !b wait", "!a wait x? !b wait"}, "!a x?yes !b"},
		"FirstOfTwoNoLongerSo":   {[]string{"x? y? !a wait !b wait", "y? !a wait !b wait x?"}, "y?yes !a !b x?yes"},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			inst := start(b, Text, "")
			waits := 0
			for i, code := range c.codes {
				stop := b.worker(nil, way(code), Echo.Handler(echo))
				raised := b.turnsEnded(inst.ID(), waits)
				raise(b, Item, inst.ID(), "")
				waits++
				if i < len(c.codes)-1 {
					b.turnsEnded(inst.ID(), raised)
					stop()
				}
			}
			for range strings.Count(c.codes[len(c.codes)-1], "wait") - waits {
				raise(b, Item, inst.ID(), "")
			}
			if got := wait(b, inst); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("MovedUpHolds", func(t *testing.T) {
		b := setup(t)
		stop := b.worker(nil, way("!a x? wait !b"), Echo.Handler(echo))
		inst := start(b, Text, "")
		b.turnsEnded(inst.ID(), 0)
		stop()
		b.worker(nil, way("x? !a wait !b"), Echo.Handler(echo))
		raise(b, Item, inst.ID(), "")
		b.until("the turn is held", func() bool { return status(b, inst).Held != "" })
		if got := status(b, inst).Held; !strings.Contains(got, `patch "x"`) || !strings.Contains(got, `activity "echo"`) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("AnotherGenerationAsksAnew", func(t *testing.T) {
		b := setup(t)
		code := func(ask bool) durable.Handler {
			return Number.Handler(func(ctx *durable.Context, n int) (int, error) {
				if ask && ctx.Patched("x") {
					n += 100
				}
				if _, err := Item.Wait(ctx); err != nil || ctx.Generation() == 1 {
					return n, err
				}
				return Number.ContinueAsNew(ctx, n+1)
			})
		}
		stop := b.worker(nil, code(false))
		inst := start(b, Number, 0)
		b.until("it waits", func() bool { return status(b, inst).Status == "RUNNING" })
		stop()
		b.worker(nil, code(true))
		raise(b, Item, inst.ID(), "")
		raise(b, Item, inst.ID(), "")
		if got := wait(b, inst); got != 101 { // the old way in the first, the new one in the second
			t.Errorf("got %d", got)
		}
	})
	t.Run("BadNameHolds", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			ctx.Patched("")
			return Echo.Call(ctx, "")
		}), Echo.Handler(func(context.Context, string) (string, error) { return "", nil }))
		inst := start(b, Text, "")
		b.until("the turn is held", func() bool { return strings.Contains(status(b, inst).Held, "change: must not be empty") })
	})
}

// turnsEnded waits until the instance has taken in n events and waits for the next with nothing else to do, and
// returns how many events it will then have taken in after one more.
func (b *bundle) turnsEnded(id string, n int) int {
	b.t.Helper()
	b.until("the instance waits for its next event", func() bool {
		return b.count(`SELECT count(*) FROM weir.instances i WHERE i.id = $1 AND i.owner IS NULL AND i.turn_job IS NULL
			AND convert_from(i.waiting, 'UTF8')::jsonb ? 'events'
			AND (SELECT count(*) FROM weir.history h, jsonb_array_elements(convert_from(h.events, 'UTF8')::jsonb) e
				WHERE h.instance_no = i.no AND e->>'type' = 'EventRaised') = $2`, id, n) == 1
	})
	return n + 1
}
