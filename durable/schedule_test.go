package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

type reportInput struct {
	Region string
	Days   int
}

const (
	Report durable.Orchestration[reportInput, string] = "report"
)

func report(ctx *durable.Context, in reportInput) (string, error) {
	return fmt.Sprintf("%s/%d", in.Region, in.Days), nil
}

// TestSchedule is the life of a schedule as users see it: typed input in, typed output out.
func TestSchedule(t *testing.T) {
	b := setup(t)
	b.worker(nil, Report.Handler(report))
	s := Report.Schedule(b.client, "report.eu")
	from := time.Now().Truncate(time.Second).Add(2 * time.Second) // later than Put may take
	if err := s.Put(b.ctx, reportInput{"eu", 7}, durable.Every(time.Second), durable.From(from)); err != nil {
		t.Fatal(err)
	}
	first := Report.Instance(b.client, "report.eu-"+from.UTC().Format(time.RFC3339))
	b.until("it has fired twice", func() bool { state, err := s.State(b.ctx); return err == nil && state.Runs >= 2 })
	if out := wait(b, first); out != "eu/7" {
		t.Errorf("the first instance returned %q", out)
	}
	if err := s.Pause(b.ctx, "month's end"); err != nil {
		t.Fatal(err)
	}
	paused, err := s.State(b.ctx)
	if err != nil || paused.Status != "PAUSED" || !strings.Contains(paused.Explanation, "month's end") {
		t.Errorf("paused: %+v, %v", paused, err)
	}
	run, err := s.Run(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if out := wait(b, run); out != "eu/7" {
		t.Errorf("run now returned %q", out)
	}
	// Other times, by somebody who has read it; a second one with the same knowledge is told.
	weekdays := []durable.ScheduleOption{
		durable.Cron{"30 8 * * MON-FRI"},
		durable.Zone("Europe/Berlin"), durable.OverlapBufferOne, durable.Jitter(time.Minute), durable.CatchUp(time.Hour),
		durable.From(from), durable.Version("2"), durable.IfRevision(paused.Revision), durable.Paused(false),
	}
	if err := s.Put(b.ctx, reportInput{"eu", 1}, weekdays...); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(b.ctx, reportInput{"eu", 2}, weekdays...); !errors.Is(err, durable.ErrWrongState) {
		t.Errorf("put on an old revision: %v", err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Next(b.ctx, 5)
	if err != nil || len(next) != 5 {
		t.Fatalf("the next firings: %v, %v", next, err)
	}
	for _, at := range next {
		if local := at.In(berlin); local.Hour() != 8 || local.Minute() != 30 || local.Weekday() == time.Saturday || local.Weekday() == time.Sunday {
			t.Errorf("a firing on weekdays at half past eight is on %v", local)
		}
	}
	state, err := s.State(b.ctx)
	if err != nil || state.Status != "ACTIVE" || state.Version != "2" || !state.Next.Equal(next[0]) || state.Runs != paused.Runs+1 || state.Spec.Zone != "Europe/Berlin" {
		t.Errorf("replaced: %+v, %v", state, err)
	}
	if err := s.Resume(b.ctx); err != nil {
		t.Errorf("resume what is active: %v", err)
	}
	if err := s.Delete(b.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.State(b.ctx); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("state of a deleted schedule: %v", err)
	}
}

func TestScheduleBackfillAndList(t *testing.T) {
	b := setup(t)
	b.worker(nil, Report.Handler(report))
	start := time.Now().UTC().Truncate(time.Hour).Add(-10 * time.Hour)
	for i := range 3 {
		s := Report.Schedule(b.client, fmt.Sprint("r", i))
		if err := s.Put(b.ctx, reportInput{"us", i}, durable.Cron{"@hourly"}, durable.From(start), durable.Paused(true)); err != nil {
			t.Fatal(err)
		}
	}
	s := Report.Schedule(b.client, "r1")
	for _, want := range []int{4, 0} {
		if n, err := s.Backfill(b.ctx, start.Add(time.Minute), start.Add(4*time.Hour)); err != nil || n != want {
			t.Errorf("backfilled %d, %v, want %d", n, err, want)
		}
	}
	for i := 1; i <= 4; i++ {
		at := start.Add(time.Duration(i) * time.Hour)
		if out := wait(b, Report.Instance(b.client, "r1-"+at.Format(time.RFC3339))); out != "us/1" {
			t.Errorf("the instance of %v returned %q", at, out)
		}
	}
	var ids []string
	for state, err := range b.client.Schedules(b.ctx, "r") {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, state.ID+" "+state.Status)
	}
	if want := []string{"r0 PAUSED", "r1 PAUSED", "r2 PAUSED"}; !slices.Equal(ids, want) {
		t.Errorf("listed %v, want %v", ids, want)
	}
	for range b.client.Schedules(b.ctx, "") {
		break // the rest is not read
	}
	for what, err := range map[string]error{
		"no times":  s.Put(b.ctx, reportInput{}),
		"both":      s.Put(b.ctx, reportInput{}, durable.Every(time.Hour), durable.Cron{"@daily"}),
		"bad cron":  s.Put(b.ctx, reportInput{}, durable.Cron{"@daily", "x * * * *"}),
		"bad id":    Report.Schedule(b.client, "").Put(b.ctx, reportInput{}, durable.Every(time.Hour)),
		"bad input": s.Put(b.ctx, reportInput{Region: "\xff"}, durable.Every(time.Hour)),
		"fixed id":  s.Put(b.ctx, reportInput{}, durable.Every(time.Hour), durable.ID("x"), durable.OverlapAllow),
		"bad prefix": func() (last error) {
			for _, err := range b.client.Schedules(b.ctx, "\n") {
				last = err
			}
			return last
		}(),
	} {
		if !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestScheduleCancelsTheOther: a firing asks the instance before it to end, which undoes what it has done; the next starts
// when it has ended.
func TestScheduleCancelsTheOther(t *testing.T) {
	b := setup(t)
	undone := make(chan string, 100)
	b.worker(nil, Report.Handler(func(ctx *durable.Context, _ reportInput) (string, error) {
		_, err := Item.Wait(ctx) // for ever
		undo := durable.WithoutCancel(ctx)
		if _, failed := Echo.Call(undo, ctx.ID()); failed != nil {
			return "", failed
		}
		return "", err
	}), Echo.Handler(func(_ context.Context, s string) (string, error) { undone <- s; return s, nil }))
	s := Report.Schedule(b.client, "watch")
	if err := s.Put(b.ctx, reportInput{"eu", 7}, durable.Every(time.Second), durable.OverlapCancel); err != nil {
		t.Fatal(err)
	}
	b.until("two have been asked to end, and a third started", func() bool {
		return b.count("SELECT count(*) FROM weir.instances WHERE status = 4") >= 2 && b.count("SELECT count(*) FROM weir.instances WHERE status = 0") == 1
	})
	if err := s.Delete(b.ctx); err != nil {
		t.Fatal(err)
	}
	if n := b.count("SELECT count(*) FROM weir.instances WHERE status NOT IN (0, 4)"); n != 0 {
		t.Errorf("%d instances have ended otherwise", n)
	}
	if n := b.count(`SELECT count(*) FROM (SELECT created_at, lag(completed_at) OVER (ORDER BY no) AS before FROM weir.instances) AS i WHERE before > created_at`); n != 0 {
		t.Errorf("%d instances were started before the one before them had ended", n)
	}
	if a, c := <-undone, <-undone; a == c || !strings.HasPrefix(a, "watch-") {
		t.Errorf("%q and %q have undone what they did", a, c)
	}
}
