package durable_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine/history"
)

// TestEarlierAttempts fails a task three times. The wait after the first failure is short and passes in memory, the others
// are spent in the database. The result tells of each failure when it was, how long it took, and why.
func TestEarlierAttempts(t *testing.T) {
	t.Parallel()
	policy := durable.Retry{Attempts: 4, Initial: 10 * time.Millisecond, Factor: 200, Max: 1100 * time.Millisecond, Jitter: -1}
	for name, run := range map[string]func(b *bundle, call durable.Handler, pay func(context.Context) (string, error)){
		// It has no row before it is parked.
		"InProcess": func(b *bundle, call durable.Handler, pay func(context.Context) (string, error)) {
			b.worker(nil, call, Pay.Handler(func(ctx context.Context, _ int) (string, error) { return pay(ctx) }))
		},
		// Its row is there from the start.
		"TxHandler": func(b *bundle, call durable.Handler, pay func(context.Context) (string, error)) {
			b.worker(nil, call, Pay.TxHandler(func(ctx context.Context, _ pgx.Tx, _ int) (string, error) { return pay(ctx) }))
		},
		// River hands it over before its first attempt.
		"ThroughRiver": func(b *bundle, call durable.Handler, pay func(context.Context) (string, error)) {
			b.worker(nil, call)
			b.worker(nil, Pay.Handler(func(ctx context.Context, _ int) (string, error) { return pay(ctx) }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			var (
				mu    sync.Mutex
				tries int
			)
			run(b, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
				_, err := Pay.Call(ctx, n, policy)
				return n, err
			}), func(ctx context.Context) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				tries++
				info, _ := durable.Task(ctx)
				if info.Attempt != tries {
					return "", fmt.Errorf("call %d is told that it is attempt %d", tries, info.Attempt)
				}
				if tries < 4 {
					time.Sleep(2 * time.Millisecond) // so that it has a length
					return "", fmt.Errorf("failure %d", tries)
				}
				return "paid", nil
			})
			inst := start(b, Number, 1)
			wait(b, inst)
			done := taskCompleted(b)
			if done.Attempts != 4 || len(done.Earlier) != 3 {
				t.Fatalf("%d attempts, earlier are %+v", done.Attempts, done.Earlier)
			}
			last := time.Time{}
			for i, e := range done.Earlier {
				if e.N != i+1 || e.Message != fmt.Sprintf("failure %d", i+1) || e.Type == "" {
					t.Errorf("failure %d is %+v", i+1, e)
				}
				if e.StartedAt.Before(last) || !e.EndedAt.After(e.StartedAt) {
					t.Errorf("failure %d began at %s, after %s, and ended at %s", i+1, e.StartedAt, last, e.EndedAt)
				}
				last = e.EndedAt
			}
			b.atRest()
		})
	}
}

// TestStepRetriesAfterALongWait: a step runs where its orchestration runs, however long it has waited.
func TestStepRetriesAfterALongWait(t *testing.T) {
	b := setup(t)
	var calls atomic.Int32
	b.worker(nil, Number.Handler(func(ctx *durable.Context, n int) (int, error) {
		return durable.Step(ctx, "count", func(ctx context.Context) (int, error) {
			info, _ := durable.Task(ctx)
			if calls.Add(1); info.Attempt < 3 {
				return 0, errors.New("not yet")
			}
			return n * info.Attempt, nil
		}, durable.Retry{Attempts: 3, Initial: 10 * time.Millisecond, Factor: 200, Max: 1100 * time.Millisecond, Jitter: -1})
	}))
	if out := wait(b, start(b, Number, 5)); out != 15 || calls.Load() != 3 {
		t.Errorf("got %d after %d calls", out, calls.Load())
	}
	b.atRest()
}

// taskCompleted finds the one result of an activity in the history of all instances.
func taskCompleted(b *bundle) *history.TaskCompleted {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, "SELECT codec, events FROM weir.history ORDER BY seq")
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	var found *history.TaskCompleted
	for rows.Next() {
		var (
			codec int16
			doc   []byte
		)
		if err := rows.Scan(&codec, &doc); err != nil {
			b.t.Fatal(err)
		}
		events, err := history.Decode(codec, doc)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range events {
			if done, ok := e.(*history.TaskCompleted); ok {
				found = done
			}
		}
	}
	if err := rows.Err(); err != nil || found == nil {
		b.t.Fatalf("no result in the history: %v", err)
	}
	return found
}
