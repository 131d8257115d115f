package property_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-dev/weir/durable"
)

// The program under test is a machine that does what it is told by events, and writes down what it has done.
const (
	Machine durable.Orchestration[Input, string] = "machine"
	Do      durable.Event[Command]               = "do"
	Work    durable.Activity[Job, string]        = "work"
)

// Input is what a generation of a machine begins with.
type Input struct {
	Trace Trace `json:"trace"`
	// Stubborn machines end as COMPLETED when they are asked to end.
	Stubborn bool `json:"stubborn"`
}

// Command tells a machine what to do; N tells the commands of a sequence from each other.
type Command struct {
	Op string `json:"op"`
	N  int    `json:"n"`
}

// The commands.
const (
	opNote      = "note"      // write it down
	opCall      = "call"      // begin an activity, whose failure is written down
	opMust      = "must"      // begin an activity, whose failure is the machine's
	opFar       = "far"       // begin an activity that few workers run
	opNap       = "nap"       // set a timer of some milliseconds
	opSleep     = "sleep"     // set a timer of an hour
	opChild     = "child"     // begin a machine below, whose failure is written down
	opMustChild = "mustChild" // begin a machine below, whose failure is the machine's
	opGiveUp    = "giveUp"    // give up all that is not done
	opAgain     = "again"     // continue as new
	opEnd       = "end"       // return
	opFail      = "fail"      // return an error
)

// Trace is what a machine has done: the commands and results that have an order, and the timers that have fired, which
// have none.
type Trace struct {
	Steps []string `json:"steps"`
	Naps  []int    `json:"naps"`
}

func (t *Trace) addf(format string, args ...any) {
	t.Steps = append(t.Steps, fmt.Sprintf(format, args...))
}

func (t *Trace) nap(n int) {
	at, _ := slices.BinarySearch(t.Naps, n)
	t.Naps = slices.Insert(t.Naps, at, n)
}

func (t Trace) clone() Trace { return Trace{slices.Clone(t.Steps), slices.Clone(t.Naps)} }

func (t Trace) String() string {
	return strings.Join(t.Steps, " ") + strings.TrimSuffix(fmt.Sprint(" naps ", t.Naps), " naps []")
}

// childOf is the id of the machine that a command begins.
func childOf(id string, n int) string { return fmt.Sprintf("%s.%d", id, n) }

// machine is the orchestration.
func machine(ctx *durable.Context, in Input) (string, error) {
	type open struct {
		n    int
		what string
		f    *durable.Future[string]
		nap  *durable.Future[durable.None]
	}
	var (
		trace = in.Trace.clone()
		opens []open
	)
	show := func() { ctx.SetStatus(trace.String()) }
	trace.addf("begun")
	show()
	inner, giveUp := durable.WithCancel(ctx)
	next := Do.Next(ctx)
	for {
		waits := make([]durable.Awaitable, len(opens))
		for i, o := range opens {
			if waits[i] = o.f; o.nap != nil {
				waits[i] = o.nap
			}
		}
		first := durable.First(next, waits...)
		if ctx.Err() != nil {
			if in.Stubborn {
				return trace.String(), nil
			}
			return "", ctx.Err()
		}
		if i := slices.Index(waits, first); i >= 0 {
			o := opens[i]
			opens = slices.Delete(opens, i, i+1)
			if o.nap != nil {
				trace.nap(o.n)
				show()
				continue
			}
			out, err := o.f.Await()
			switch {
			case err == nil:
				trace.addf("%s%d=%s", o.what, o.n, out)
			case o.what == opMust || o.what == opMustChild:
				return "", fmt.Errorf("%s%d: %w", o.what, o.n, err)
			default:
				trace.addf("%s%d!", o.what, o.n)
			}
			show()
			continue
		}
		c, err := next.Await()
		if err != nil {
			return "", err
		}
		trace.addf("%s%d", c.Op, c.N)
		show()
		job := Job{ctx.ID(), c.N}
		switch c.Op {
		case opCall, opMust:
			opens = append(opens, open{n: c.N, what: c.Op, f: Work.Go(inner, job)})
		case opFar:
			opens = append(opens, open{n: c.N, what: c.Op, f: Work.Go(inner, job, durable.Queue("far"))})
		case opNap:
			opens = append(opens, open{n: c.N, what: c.Op, nap: inner.Timer(2 * time.Millisecond)})
		case opSleep:
			opens = append(opens, open{n: c.N, what: c.Op, nap: inner.Timer(time.Hour)})
		case opChild, opMustChild:
			f := Machine.Go(inner, Input{Stubborn: in.Stubborn}, durable.ID(childOf(ctx.ID(), c.N)))
			opens = append(opens, open{n: c.N, what: c.Op, f: f})
		case opGiveUp:
			giveUp()
			opens = nil
			inner, giveUp = durable.WithCancel(ctx)
		case opAgain:
			return Machine.ContinueAsNew(ctx, Input{Trace: trace, Stubborn: in.Stubborn})
		case opEnd:
			return trace.String(), nil
		case opFail:
			return "", errors.New("told to fail")
		}
		next = Do.Next(ctx)
	}
}

// Job is what an activity is for: a command of a machine.
type Job struct {
	Instance string `json:"instance"`
	N        int    `json:"n"`
}

// gates hold activities up until the test says how they end.
type gates struct {
	mu  sync.Mutex
	all map[Job]*gate
}

type gate struct {
	open chan struct{}
	fail bool
}

func (g *gates) of(j Job) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all[j] == nil {
		g.all[j] = &gate{open: make(chan struct{})}
	}
	return g.all[j]
}

// open lets the activity of a command end, now or whenever it runs.
func (g *gates) open(j Job, fail bool) {
	gate := g.of(j)
	gate.fail = fail
	close(gate.open)
}

// shut lets no activity of an instance end any more that begins from now on.
func (g *gates) shut(instance string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for j, gate := range g.all {
		select {
		case <-gate.open:
			if j.Instance == instance {
				delete(g.all, j)
			}
		default: // whoever waits there still waits
		}
	}
}

func (g *gates) work(ctx context.Context, j Job) (string, error) {
	gate := g.of(j)
	select {
	case <-gate.open:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if gate.fail {
		return "", errors.New("told to fail")
	}
	return "done", nil
}
