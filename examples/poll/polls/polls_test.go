package polls_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/examples/poll/polls"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// street are voters who answer when they may, and count how many of them are asked at once.
type street struct {
	answers map[string]string // those who are not in it are not there
	asked   chan string       // receives each voter who is asked
	may     chan struct{}     // a voter answers when this yields, or is closed

	mu        sync.Mutex
	now, most int
}

func newStreet(voters int) (s *street, names []string) {
	s = &street{answers: map[string]string{}, asked: make(chan string, 10*voters), may: make(chan struct{})}
	for i := range voters {
		name := fmt.Sprintf("voter %d", i)
		names = append(names, name)
		s.answers[name] = []string{"Tea", "Coffee", "Tea"}[i%3]
	}
	return s, names
}

func (s *street) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += n
	s.most = max(s.most, s.now)
}

func (s *street) ask(ctx context.Context, d polls.Door) (string, error) {
	s.count(1)
	defer s.count(-1)
	s.asked <- d.Voter
	select {
	case <-s.may:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	answer, ok := s.answers[d.Voter]
	if !ok {
		return "", polls.ErrNobody
	}
	return answer, nil
}

func setup(t *testing.T) *harness.Harness {
	t.Helper()
	t.Parallel()
	return harness.New(t)
}

func hold(t *testing.T, h *harness.Harness, r polls.Round) *durable.Instance[polls.Outcome] {
	t.Helper()
	inst, err := polls.Canvass.Start(h.Ctx, h.Client, r)
	if err != nil {
		t.Fatal(err)
	}
	return inst
}

func TestCanvass(t *testing.T) {
	t.Parallel()
	t.Run("OnlySoManyAtOnce", func(t *testing.T) {
		h := setup(t)
		s, voters := newStreet(12)
		h.Worker(polls.Handlers(s.ask)...)
		inst := hold(t, h, polls.Round{Poll: "lunch", Voters: append(voters, "nobody"), AtOnce: 4})
		for range 4 {
			<-s.asked
		}
		s.may <- struct{}{} // one answers
		<-s.asked           // the next one is asked
		close(s.may)
		got, err := inst.Wait(h.Ctx)
		want := polls.Outcome{
			Result: polls.Result{Votes: 12, Choices: []polls.Count{{Choice: "tea", Votes: 8}, {Choice: "coffee", Votes: 4}}},
			Silent: []string{"nobody"},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
		}
		if s.most != 4 {
			t.Errorf("%d were asked at once, want 4", s.most)
		}
	})
	t.Run("GoesOnWithAnotherWorker", func(t *testing.T) {
		h := setup(t)
		s, voters := newStreet(6)
		stop := h.Worker(polls.Handlers(s.ask)...)
		inst := hold(t, h, polls.Round{Poll: "lunch", Voters: voters, AtOnce: 1})
		s.may <- struct{}{}
		<-s.asked
		<-s.asked // so the first vote is counted
		stop()
		if p, _, err := polls.Vote.State(h.Ctx, h.Client, "lunch"); err != nil || len(p.Votes) != 1 || p.Closed {
			t.Errorf("got %+v, %v", p, err)
		}
		close(s.may)
		h.Worker(polls.Handlers(s.ask)...)
		if got, err := inst.Wait(h.Ctx); err != nil || got.Votes != 6 || got.Silent != nil {
			t.Errorf("got %+v, %v", got, err)
		}
		close(s.asked)
		var again []string
		for voter := range s.asked {
			again = append(again, voter)
		}
		if slices.Contains(again, voters[0]) {
			t.Errorf("asked after the first had voted: %v", again)
		}
	})
	t.Run("Impossible", func(t *testing.T) {
		h := setup(t)
		h.Worker(polls.Handlers(nil)...)
		if _, err := hold(t, h, polls.Round{Poll: "lunch"}).Wait(h.Ctx); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}

func TestVotes(t *testing.T) {
	t.Parallel()
	t.Run("FromManyAtOnce", func(t *testing.T) {
		h := setup(t)
		h.Worker(polls.Handlers(nil)...)
		const n = 100
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { // each votes twice, and the second vote is the one that counts
				b := polls.Ballot{Voter: fmt.Sprint(i), Choice: "nothing"}
				err := polls.Vote.Invoke(h.Ctx, h.Client, "lunch", b)
				b.Choice = []string{"soup", "bread"}[i%2]
				if _, asked := polls.Vote.Ask(h.Ctx, h.Client, "lunch", b); err != nil || asked != nil {
					t.Error(err, asked)
				}
			})
		}
		wg.Wait()
		got, err := polls.Close.Ask(h.Ctx, h.Client, "lunch", durable.None{})
		want := polls.Result{Votes: n, Choices: []polls.Count{{Choice: "bread", Votes: n / 2}, {Choice: "soup", Votes: n / 2}}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("Refused", func(t *testing.T) {
		h := setup(t)
		h.Worker(polls.Handlers(nil)...)
		if _, err := polls.Vote.Ask(h.Ctx, h.Client, "lunch", polls.Ballot{Voter: "kim"}); !errors.Is(err, polls.ErrInvalid) {
			t.Errorf("got %v", err)
		}
		if _, err := polls.Close.Ask(h.Ctx, h.Client, "lunch", durable.None{}); err != nil {
			t.Fatal(err)
		}
		if _, err := polls.Vote.Ask(h.Ctx, h.Client, "lunch", polls.Ballot{Voter: "kim", Choice: "tea"}); !errors.Is(err, polls.ErrClosed) {
			t.Errorf("got %v", err)
		}
		if p, _, err := polls.Vote.State(h.Ctx, h.Client, "lunch"); err != nil || len(p.Votes) != 0 || !p.Closed {
			t.Errorf("got %+v, %v", p, err)
		}
		if n, err := polls.Vote.Ask(h.Ctx, h.Client, "dinner", polls.Ballot{Voter: "kim", Choice: "tea"}); err != nil || n != 1 {
			t.Errorf("another poll: got %d, %v", n, err)
		}
	})
}
