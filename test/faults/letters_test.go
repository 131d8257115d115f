package faults_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/test/faults/workload"
)

// TestDeadLetters runs orchestrations whose code, or whose activity, kills its process (kill -9), beside harmless ones, on
// workers that somebody starts again and again. The deadly ones rest, become dead letters and say so, and no worker dies of
// them any more; the others get done, also what waits for the limit that bounds a deadly call. What is terminated is no dead
// letter; when the cause is mended and the rest are redriven, they complete.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.no(b.client.SetMaxDeaths(b.ctx, 5))
	b.no(b.client.PutLimit(b.ctx, workload.Gate, durable.Bounds{Concurrency: 1}))
	var harmless []*durable.Instance[string]
	for i := range 20 {
		h, err := workload.Hello.Start(b.ctx, b.client, fmt.Sprint(i))
		b.no(err)
		harmless = append(harmless, h)
	}
	deadly := map[string]*durable.Instance[string]{}
	for id, in := range map[string]workload.DeadlyInput{"turn": {}, "activity": {Activity: true}, "bounded": {Bounded: true}} {
		i, err := workload.Deadly.Start(b.ctx, b.client, in, durable.ID(id))
		b.no(err)
		deadly[id] = i
	}
	e, err := engine.Open(b.ctx, engine.Config{Pool: b.pool, Logger: b.logger})
	b.no(err)
	defer e.Close()
	reason := func(id string) (engine.ReasonKind, string) {
		i, err := e.Get(b.ctx, durable.DefaultHub, id)
		b.no(err)
		why, err := e.Explain(b.ctx, i)
		b.no(err)
		return why.Kind, why.Text(time.Now())
	}
	letters := func() map[string]durable.DeadLetter {
		out := map[string]durable.DeadLetter{}
		for d, err := range b.client.DeadLetters(b.ctx) {
			b.no(err)
			out[d.InstanceID] = d
		}
		return out
	}

	worker, deaths, rests := b.process(b.dsn), 0, map[string]bool{}
	b.until("the deadly are dead letters, and the harmless have ended", func() bool {
		select {
		case err := <-worker.done:
			worker.done <- err
			deaths++
			worker = b.process(b.dsn)
		default:
		}
		for id := range deadly {
			if kind, text := reason(id); kind == engine.ReasonRetry && strings.Contains(text, "It is given out again at ") {
				rests[id] = true
			}
		}
		return len(letters()) == len(deadly) &&
			b.count("SELECT count(*) FROM weir.instances WHERE name = 'hello' AND outcome IS NOT NULL") == len(harmless)
	})
	held := letters()
	t.Logf("%d workers died; %d dead letters", deaths, len(held))
	for id, want := range map[string]struct {
		task             int
		activity, reason string
	}{
		"turn":     {-1, "", "5 workers died with its turn in hand, the last one "},
		"activity": {0, "kill", "Activity kill is a dead letter"},
		"bounded":  {0, "kill", "5 workers died while they ran it, the last one "},
	} {
		if d := held[id]; d.Deaths != 5 || d.Task != want.task || d.Activity != want.activity || d.Name != "deadly" || d.Worker == "" {
			t.Errorf("the letter of %s is %+v", id, d)
		}
		if kind, text := reason(id); kind != engine.ReasonDeadLetter || !strings.Contains(text, want.reason) {
			t.Errorf("the reason of %s is %s: %s", id, kind, text)
		}
		if !rests[id] {
			t.Errorf("%s never said that it rested", id)
		}
	}
	gated, err := workload.Deadly.Start(b.ctx, b.client, workload.DeadlyInput{Harmless: true})
	b.no(err)
	_, err = gated.Wait(b.ctx)
	b.no(err)
	b.no(deadly["activity"].Terminate(b.ctx, "never mind"))
	delete(deadly, "activity")
	if got := letters(); len(got) != len(deadly) {
		t.Errorf("another worker has come, and one was terminated: %d of %d dead letters are left", len(got), len(held))
	}
	_, err = b.client.Purge(b.ctx, durable.Purge{IDs: []string{"activity"}})
	b.no(err)
	if n := b.count("SELECT count(*) FROM weir.deaths d WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = d.instance_no)"); n != 0 {
		t.Errorf("%d rows are left of what was purged", n)
	}

	worker.kill()
	cured := b.process(b.dsn, workload.CuredEnv+"=1")
	n, err := b.client.RedriveAll(b.ctx)
	b.no(err)
	if n != len(deadly) {
		t.Errorf("redrove %d of %d", n, len(deadly))
	}
	for want, i := range deadly {
		got, err := i.Wait(b.ctx)
		b.no(err)
		if got != want {
			t.Errorf("%s returned %q", want, got)
		}
	}
	for _, h := range harmless {
		_, err := h.Wait(b.ctx)
		b.no(err)
	}
	if _, err := b.client.Redrive(b.ctx, "turn"); !errors.Is(err, durable.ErrWrongState) {
		t.Errorf("redriving what is no dead letter: %v", err)
	}
	if got := letters(); len(got) != 0 {
		t.Errorf("left are %v", got)
	}
	cured.signal(syscall.SIGTERM)
	cured.wait()
	b.check()
}
