package engine

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-dev/weir/engine/history"
)

var testLimits = limits{payload: 64, decisions: 20}

// walk drives a generation by random letters and decisions and keeps what a database would: the history.
type walk struct {
	t      *rapid.T
	s      *state
	now    time.Time
	record []history.Event
	ended  bool
	sent   int32 // decisions that the code has made
}

func newWalk(t *rapid.T) *walk {
	return &walk{t: t, s: newState(3), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// letter draws a message: for what is pending, for what is not, of this generation and of others.
func (w *walk) letter() letter {
	t := w.t
	gen := rapid.SampledFrom([]int32{3, 3, 3, 3, 2, 4}).Draw(t, "gen")
	task := rapid.Int32Range(0, w.s.nextID+1).Draw(t, "task")
	at := history.Header{At: w.now}
	switch rapid.IntRange(0, 7).Draw(t, "letter") {
	case 0:
		return letter{kind: msgStart, gen: gen, events: []history.Event{&history.ExecutionStarted{Name: "o"}}}
	case 1, 2:
		return letter{kind: msgEvent, gen: gen, events: []history.Event{&history.EventRaised{Header: at, Name: "e"}}}
	case 3:
		return letter{kind: msgTimer, gen: gen, task: task}
	case 4:
		return letter{kind: msgResult, gen: gen, task: task, events: []history.Event{&history.TaskFailed{Header: at, TaskID: task, Failure: &history.Failure{Type: "x"}}}}
	case 5:
		return letter{kind: msgResult, gen: gen, task: task, events: []history.Event{&history.SubOrchestrationInstanceCompleted{Header: at, TaskID: task}}}
	default:
		return letter{kind: msgResult, gen: gen, task: task, events: []history.Event{&history.TaskCompleted{Header: at, TaskID: task, Result: history.Bytes([]byte("1"))}}}
	}
}

// decision draws one; now and then one that is too large.
func (w *walk) decision(id int32) history.Event {
	t := w.t
	value := history.Bytes([]byte(`"` + strings.Repeat("x", rapid.SampledFrom([]int{0, 10, 100}).Draw(t, "size")) + `"`))
	switch rapid.IntRange(0, 9).Draw(t, "decision") {
	case 0:
		return &history.TimerCreated{ID: id, FireAt: w.now.Add(time.Minute)}
	case 1:
		return &history.SubOrchestrationInstanceCreated{ID: id, Name: "child", InstanceID: "c", Input: value}
	case 2:
		return &history.EventSent{ID: id, Name: "e", InstanceID: "other", Input: history.Bytes([]byte("1"))}
	case 3:
		status := rapid.SampledFrom([]history.Status{history.Completed, history.Failed, history.ContinuedAsNew}).Draw(t, "end")
		return &history.ExecutionCompleted{ID: id, Status: status, Result: value}
	case 4:
		return &history.TaskScheduled{ID: id, Name: "step", Step: true}
	default:
		return &history.TaskScheduled{ID: id, Name: "a", Input: value}
	}
}

// turn runs one turn; it returns its plan, or nil if nothing had arrived.
func (w *walk) turn() *plan {
	t := w.t
	w.now = w.now.Add(time.Duration(rapid.IntRange(-5, 10).Draw(t, "seconds")) * time.Second)
	letters := make([]letter, rapid.IntRange(1, 4).Draw(t, "letters"))
	for i := range letters {
		letters[i] = w.letter()
	}
	before := w.s.lastTurn
	arrived := w.s.admit(w.now, letters)
	if arrived == nil {
		return nil
	}
	for _, l := range letters {
		if l.gen != w.s.gen && l.kind == msgResult && slices.Contains(arrived, l.events[0]) {
			t.Fatalf("a result of generation %d was admitted to %d", l.gen, w.s.gen)
		}
	}
	if w.s.lastTurn.Before(before) {
		t.Fatalf("time went back, from %s to %s", before, w.s.lastTurn)
	}
	var turn Turn
	for range rapid.IntRange(0, 4).Draw(t, "decisions") {
		d := w.decision(w.sent)
		w.sent++
		turn.Decisions = append(turn.Decisions, d)
		if _, end := d.(*history.ExecutionCompleted); end {
			break
		}
	}
	p, err := w.s.decide(arrived, turn, testLimits)
	if err != nil {
		t.Fatalf("decisions in order were refused: %v", err)
	}
	w.record = append(w.record, p.events...)
	w.ended = p.end != nil
	return p
}

// fold is the state that a replay of the history would find.
func fold(gen int32, events []history.Event) *state {
	s := newState(gen)
	for _, e := range events {
		s.apply(e)
	}
	return s
}

// TestDecide walks through random generations and looks at what must hold whatever arrives and is decided.
func TestDecide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWalk(t)
		for range rapid.IntRange(1, 30).Draw(t, "turns") {
			if w.ended {
				break
			}
			p := w.turn()
			if p == nil {
				continue
			}
			checkPlan(t, w.s, p)
		}
		checkHistory(t, w.record)
		replayed := fold(3, w.record)
		replayed.awaits = w.s.awaits
		if !reflect.DeepEqual(replayed, w.s) {
			t.Fatalf("the state in memory is not what its history says:\n%s\n%s", showState(w.s), showState(replayed))
		}
	})
}

// checkPlan looks at one turn: every effect has its event, and every event that needs one its effect.
func checkPlan(t *rapid.T, s *state, p *plan) {
	var tasks, timers, children, sends, refused int
	for _, e := range p.events {
		switch e := e.(type) {
		case *history.TaskScheduled:
			tasks++
		case *history.TimerCreated:
			timers++
		case *history.SubOrchestrationInstanceCreated:
			children++
		case *history.EventSent:
			sends++
		default:
			_ = e
		}
		history.EachValue(e, func(v *history.Payload) {
			if _, decided := DecisionID(e); decided && v.Size() > testLimits.payload {
				t.Fatalf("%s with %d bytes was recorded, the limit is %d", history.TypeName(e), v.Size(), testLimits.payload)
			}
		})
	}
	for _, r := range p.refused {
		if s.pending[r.id] == nil && p.end == nil {
			t.Fatalf("decision %d was refused, and nothing waits for the answer", r.id)
		}
		if r.failure.Type != string(CodeTooLarge) {
			t.Fatalf("refused as %s", r.failure.Type)
		}
		refused++
	}
	if p.end != nil {
		if len(p.tasks)+len(p.timers) > 0 {
			t.Fatal("an ended generation starts something that nobody waits for")
		}
		tasks, timers = refused, 0
	}
	if got := len(p.tasks) + len(p.children) + refused; p.end == nil && got != tasks+children {
		t.Fatalf("%d tasks and children are to start or are refused, %d are recorded", got, tasks+children)
	}
	if p.end == nil && len(p.timers) != timers || len(p.sends) != sends {
		t.Fatalf("timers %d of %d, events sent %d of %d", len(p.timers), timers, len(p.sends), sends)
	}
}

// checkHistory looks at a whole generation as a reader of it would.
func checkHistory(t *rapid.T, events []history.Event) {
	var (
		open    = map[int32]string{}
		next    int32
		started bool
		ended   bool
		at      time.Time
	)
	answer := func(id int32, want, what string) {
		if open[id] == "" {
			t.Fatalf("%s for %d, which does not wait for one", what, id)
		}
		if (open[id] == "timer") != (want == "timer") {
			t.Fatalf("%s answers a %s", what, open[id])
		}
		delete(open, id)
	}
	for i, e := range events {
		if ended {
			t.Fatalf("%s after the end", history.TypeName(e))
		}
		if id, decision := DecisionID(e); decision {
			if id != next {
				t.Fatalf("decision %d where %d is due", id, next)
			}
			next++
		}
		switch e := e.(type) {
		case *history.OrchestratorStarted:
			if e.At.Before(at) {
				t.Fatalf("turn at %s after one at %s", e.At, at)
			}
			at = e.At
			if i == len(events)-1 {
				t.Fatal("an empty turn was recorded")
			}
		case *history.ExecutionStarted:
			if started {
				t.Fatal("started twice")
			}
			started = true
		case *history.EventRaised:
			if !started {
				t.Fatal("an event before the start")
			}
		case *history.TaskScheduled:
			open[e.ID] = "task"
		case *history.SubOrchestrationInstanceCreated:
			open[e.ID] = "child"
		case *history.TimerCreated:
			open[e.ID] = "timer"
		case *history.TaskCompleted:
			answer(e.TaskID, "task", "TaskCompleted")
		case *history.TaskFailed:
			answer(e.TaskID, "task", "TaskFailed")
		case *history.SubOrchestrationInstanceCompleted:
			answer(e.TaskID, "child", "SubOrchestrationInstanceCompleted")
		case *history.TimerFired:
			answer(e.TimerID, "timer", "TimerFired")
		case *history.ExecutionCompleted:
			ended = true
		}
	}
}

func showState(s *state) string {
	ids := slices.Sorted(maps.Keys(s.pending))
	return fmt.Sprintf("gen %d started %v ended %v next %d last %s pending %v", s.gen, s.started, s.ended, s.nextID, s.lastTurn, ids)
}

func TestDecideRefusesWhatNoCodeOfOursDecides(t *testing.T) {
	begin := func(lim limits, turn Turn) error {
		s := newState(0)
		arrived := s.admit(time.Unix(1, 0), []letter{{kind: msgStart, events: []history.Event{&history.ExecutionStarted{}}}})
		_, err := s.decide(arrived, turn, lim)
		return err
	}
	many := make([]history.Event, testLimits.decisions+1)
	for i := range many {
		many[i] = &history.TimerCreated{ID: int32(i)}
	}
	for _, c := range []struct {
		name, kind string
		turn       Turn
	}{
		{"WrongNumber", "protocol", Turn{Decisions: []history.Event{&history.TimerCreated{ID: 1}}}},
		{"NumberTwice", "protocol", Turn{Decisions: []history.Event{&history.TimerCreated{ID: 0}, &history.TimerCreated{ID: 0}}}},
		{"NotADecision", "protocol", Turn{Decisions: []history.Event{&history.TimerFired{}}}},
		{"AfterTheEnd", "protocol", Turn{Decisions: []history.Event{&history.ExecutionCompleted{ID: 0}, &history.TimerCreated{ID: 1}}}},
		{"TooMany", "limit", Turn{Decisions: many}},
		{"LargeStatus", "limit", Turn{CustomStatus: history.Bytes(make([]byte, testLimits.payload+1))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var held *Held
			if err := begin(testLimits, c.turn); !errors.As(err, &held) || held.Kind != c.kind {
				t.Errorf("got %v, want a turn held for %s", err, c.kind)
			}
		})
	}
}

// TestNextAttempt: waits stay within their bounds, and end when the policy says so.
func TestNextAttempt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.Map(rapid.IntRange(0, 1000), func(n int) history.Duration { return history.Duration(n) * history.Duration(time.Second) })
		r := &history.Retry{
			Attempts: rapid.IntRange(0, 10).Draw(t, "attempts"), Initial: seconds.Draw(t, "initial"), Max: seconds.Draw(t, "max"),
			Until: seconds.Draw(t, "until"), Factor: rapid.Float64Range(0, 10).Draw(t, "factor"), Jitter: rapid.Float64Range(-1, 2).Draw(t, "jitter"),
		}
		n := rapid.IntRange(1, 400).Draw(t, "n")
		since := time.Duration(seconds.Draw(t, "since"))
		wait, again := NextAttempt(r, &history.Failure{NonRetriable: rapid.Bool().Draw(t, "final")}, n, since)
		switch {
		case !again:
			if wait != 0 {
				t.Fatalf("no further attempt, after %s", wait)
			}
		case r.Attempts > 0 && n >= r.Attempts:
			t.Fatalf("attempt %d of %d is followed by another", n, r.Attempts)
		case wait < 0, r.Max > 0 && wait > time.Duration(r.Max), wait > time.Hour:
			t.Fatalf("wait of %s", wait)
		case r.Until > 0 && since+wait > time.Duration(r.Until):
			t.Fatalf("attempt after %s, until %s", since+wait, time.Duration(r.Until))
		}
	})
}
