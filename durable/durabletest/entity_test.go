package durabletest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/durabletest"
)

const (
	put     durable.Operation[int, int, int]      = "box/put"
	take    durable.Operation[int, int, int]      = "box/take"
	move    durable.Orchestration[[2]string, int] = "move"
	hold    durable.Orchestration[string, int]    = "hold"
	free    durable.Event[durable.None]           = "free"
	errNone durable.Failure                       = "empty"
)

func boxes() []durable.Handler {
	return []durable.Handler{
		put.Handler(func(_ *durable.EntityContext, n *int, by int) (int, error) { *n += by; return *n, nil }),
		take.Handler(func(_ *durable.EntityContext, n *int, by int) (int, error) {
			*n -= by
			if *n < 0 {
				return 0, errNone
			}
			return *n, nil
		}),
		move.Handler(func(ctx *durable.Context, keys [2]string) (int, error) {
			unlock, err := durable.Lock(ctx, put.ID(keys[0]), put.ID(keys[1]))
			if err != nil {
				return 0, err
			}
			defer unlock()
			if _, err := take.Call(ctx, keys[0], 1); err != nil {
				return 0, err
			}
			return put.Call(ctx, keys[1], 1)
		}),
		hold.Handler(func(ctx *durable.Context, key string) (int, error) {
			inner, cancel := durable.WithTimeout(ctx, time.Hour)
			defer cancel()
			unlock, err := durable.Lock(inner, put.ID(key))
			if err != nil {
				return 0, err
			}
			defer unlock()
			_, err = free.Wait(ctx)
			return 1, err
		}),
	}
}

func TestEntitiesInVirtualTime(t *testing.T) {
	e := durabletest.New(t, boxes()...)
	durabletest.Invoke(e, put, "a", 2)
	durabletest.Invoke(e, put, "a", 2, durable.Key("k"))
	durabletest.Invoke(e, put, "a", 2, durable.Key("k"))
	durabletest.Invoke(e, put, "a", 100, durable.Delay(30*24*time.Hour))
	if n, err := durabletest.Ask(e, put, "a", 1); n != 5 || err != nil {
		t.Errorf("%d in the box, want 5; error %v", n, err)
	}
	if _, err := durabletest.Ask(e, take, "a", 6); !errors.Is(err, errNone) {
		t.Errorf("error %v", err)
	}
	if n, err := durabletest.Start(e, move, [2]string{"a", "b"}).Await(); n != 1 || err != nil {
		t.Errorf("moved %d, error %v", n, err)
	}
	if n, _ := durabletest.EntityState(e, put, "a"); n != 4 {
		t.Errorf("%d in the box, want 4", n)
	}
	e.Advance(31 * 24 * time.Hour)
	if n, found := durabletest.EntityState(e, put, "a"); n != 104 || !found {
		t.Errorf("%d in the box, want 104", n)
	}
	if _, found := durabletest.EntityState(e, put, "nobody"); found {
		t.Error("there is a box that nobody turned to")
	}
}

func TestLocksInVirtualTime(t *testing.T) {
	e := durabletest.New(t, boxes()...)
	first := durabletest.Start(e, hold, "a", durable.ID("first"))
	e.Settle()
	if who := durabletest.Locked(e, put.ID("a")); who != "first" {
		t.Errorf("locked by %q", who)
	}
	second := durabletest.Start(e, hold, "a", durable.ID("second"))
	durabletest.Invoke(e, put, "a", 1)
	e.Settle()
	if _, found := durabletest.EntityState(e, put, "a"); found {
		t.Error("an operation passed the lock")
	}
	if _, err := second.Await(); !errors.Is(err, durable.ErrTimeout) {
		t.Errorf("error %v, want a timeout after an hour", err)
	}
	if err := first.Terminate("enough"); err != nil {
		t.Fatal(err)
	}
	e.Settle()
	if n, _ := durabletest.EntityState(e, put, "a"); n != 1 || durabletest.Locked(e, put.ID("a")) != "" {
		t.Errorf("%d in the box, locked by %q: want 1 and nobody", n, durabletest.Locked(e, put.ID("a")))
	}
}

func TestLockedAgainAtOnce(t *testing.T) {
	again := durable.Orchestration[int, int]("again")
	e := durabletest.New(t, append(boxes(), again.Handler(func(ctx *durable.Context, n int) (int, error) {
		for range n {
			unlock, err := durable.Lock(ctx, put.ID("a"), put.ID("b"))
			if err != nil {
				return 0, err
			}
			unlock() // goes out with the next request, which is not what it takes back
		}
		return n, nil
	}))...)
	var all []*durabletest.Run[int]
	for range 3 {
		all = append(all, durabletest.Start(e, again, 4))
	}
	for _, r := range all {
		if n, err := r.Await(); n != 4 || err != nil {
			t.Errorf("got %d, error %v", n, err)
		}
	}
}
