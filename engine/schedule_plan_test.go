package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-dev/weir/engine/schedule"
)

var allOverlaps = []Overlap{OverlapSkip, OverlapBufferOne, OverlapBufferAll, OverlapTerminate, OverlapAllow, OverlapCancel}

// TestFiringPlans has every overlap policy with a schedule of every minute that nobody fired for five, catch-up windows
// that reach back for none, some and all of them, and the last instance running or not.
func TestFiringPlans(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	times, err := schedule.New(schedule.Spec{Every: time.Minute, From: base}, "")
	if err != nil {
		t.Fatal(err)
	}
	minutes := func(all []time.Time) string {
		var out []string
		for _, at := range all {
			out = append(out, fmt.Sprint(int(at.Sub(base).Minutes())))
		}
		return strings.Join(out, ",")
	}
	const ( // at 12:05:30: the firings of minutes 1 to 5 are due, 30 s to 4 m 30 s late
		none = 20 * time.Second
		some = 3 * time.Minute // 3, 4, 5
		all  = time.Hour
	)
	for _, c := range []struct {
		overlap  Overlap
		catchUp  time.Duration
		lives    bool
		buffered string
		// The plan: minutes started and buffered, how many skipped.
		starts, waits string
		skipped       int64
		terminate     bool
	}{
		{OverlapSkip, none, false, "", "", "", 5, false},
		{OverlapSkip, none, true, "", "", "", 5, false},
		{OverlapSkip, some, false, "", "3", "", 4, false},
		{OverlapSkip, some, true, "", "", "", 5, false},
		{OverlapSkip, all, false, "", "1", "", 4, false},
		{OverlapSkip, all, false, "0", "0", "", 5, false}, // of another policy, before
		{OverlapBufferOne, none, false, "", "", "", 5, false},
		{OverlapBufferOne, none, true, "0", "", "0", 5, false},
		{OverlapBufferOne, none, false, "0", "0", "", 5, false},
		{OverlapBufferOne, some, false, "", "3", "4", 3, false},
		{OverlapBufferOne, some, true, "", "", "3", 4, false},
		{OverlapBufferOne, some, true, "0", "", "0", 5, false},
		{OverlapBufferOne, all, false, "0", "0", "1", 4, false},
		{OverlapBufferAll, none, false, "", "", "", 5, false},
		{OverlapBufferAll, some, false, "", "3", "4,5", 2, false},
		{OverlapBufferAll, some, true, "", "", "3,4,5", 2, false},
		{OverlapBufferAll, all, true, "0", "", "0,1,2,3,4,5", 0, false},
		{OverlapBufferAll, all, false, "0", "0", "1,2,3,4,5", 0, false},
		{OverlapTerminate, none, true, "", "", "", 5, false},
		{OverlapTerminate, some, false, "", "5", "", 4, false},
		{OverlapTerminate, some, true, "", "", "", 4, true},
		{OverlapTerminate, all, false, "0", "5", "", 5, false},
		{OverlapCancel, none, true, "", "", "", 5, false},
		{OverlapCancel, some, false, "", "5", "", 4, false},
		{OverlapCancel, some, true, "", "", "5", 4, false},
		{OverlapCancel, all, true, "0", "", "5", 5, false},
		{OverlapCancel, all, false, "0", "5", "", 5, false},
		{OverlapAllow, none, true, "", "", "", 5, false},
		{OverlapAllow, some, true, "", "3,4,5", "", 2, false},
		{OverlapAllow, all, false, "", "1,2,3,4,5", "", 0, false},
		{OverlapAllow, all, true, "0", "0,1,2,3,4,5", "", 0, false},
	} {
		s := firingState{times: times, overlap: c.overlap, catchUp: c.catchUp, next: base.Add(time.Minute), lives: c.lives, most: maxStarts}
		if c.buffered != "" {
			s.buffered = []time.Time{base}
		}
		p := planFirings(s, base.Add(5*time.Minute+30*time.Second))
		if minutes(p.starts) != c.starts || minutes(p.buffered) != c.waits || p.skipped != c.skipped || p.terminate != c.terminate || p.more ||
			p.cancel != (c.overlap == OverlapCancel && c.lives && c.buffered == "" && c.waits != "") { // once is enough
			t.Errorf("%s, %s, runs %v, buffered %q: starts %q, buffers %q, skips %d, terminates %v, more %v; want %+v", c.overlap, c.catchUp, c.lives,
				c.buffered, minutes(p.starts), minutes(p.buffered), p.skipped, p.terminate, p.more, c)
		}
		if !p.terminate && !p.next.Equal(base.Add(6*time.Minute)) {
			t.Errorf("%s: the next is at %v", c.overlap, p.next)
		}
	}
}

// TestFiringPlansLoseNothing: whatever comes when, each firing is started, buffered or counted as skipped, once; the
// bounds hold; and plans come to an end.
func TestFiringPlansLoseNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		base := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
		spec := schedule.Spec{Every: time.Minute, From: base, Jitter: time.Duration(rapid.IntRange(0, 60).Draw(t, "jitter")) * time.Second}
		if rapid.Bool().Draw(t, "ends") {
			spec.Until = base.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "until")) * time.Minute)
		}
		times, err := schedule.New(spec, "x")
		if err != nil {
			t.Fatal(err)
		}
		var (
			s       = firingState{times: times, next: times.Next(base.Add(-1)), most: rapid.IntRange(1, maxStarts).Draw(t, "most")}
			now     = base
			started []time.Time
			skipped int64
		)
		for range rapid.IntRange(1, 30).Draw(t, "rounds") {
			now = now.Add(time.Duration(rapid.IntRange(0, 9000).Draw(t, "seconds")) * time.Second)
			s.overlap = rapid.SampledFrom(allOverlaps).Draw(t, "overlap")
			s.catchUp = rapid.SampledFrom([]time.Duration{10 * time.Second, time.Hour, 24 * time.Hour}).Draw(t, "window")
			s.lives = rapid.Bool().Draw(t, "runs")
			p := planFirings(s, now)
			if p.terminate {
				s.lives = false
				if p = planFirings(s, now); p.terminate {
					t.Fatal("terminates what does not run")
				}
			}
			if s.lives && s.overlap != OverlapAllow && len(p.starts) > 0 || len(p.starts) > 1 && s.overlap != OverlapAllow {
				t.Fatalf("%s starts %v, runs %v", s.overlap, p.starts, s.lives)
			}
			if len(p.starts) > s.most || len(p.buffered) > maxBuffered {
				t.Fatalf("starts %d, buffers %d", len(p.starts), len(p.buffered))
			}
			if !p.more && !p.next.IsZero() && !times.Due(p.next).After(now) {
				t.Fatalf("%v is due and left", p.next)
			}
			started, skipped = append(started, p.starts...), skipped+p.skipped
			s.next, s.buffered = p.next, p.buffered
		}
		last := now
		if !s.next.IsZero() {
			last = s.next.Add(-time.Nanosecond)
		}
		all := times.Between(base, last, 1<<20)
		if got := len(started) + len(s.buffered) + int(skipped); got != len(all) {
			t.Errorf("%d started, %d buffered, %d skipped of %d", len(started), len(s.buffered), skipped, len(all))
		}
		sorted := slices.Clone(started)
		slices.SortFunc(sorted, time.Time.Compare)
		if len(slices.CompactFunc(sorted, time.Time.Equal)) != len(started) {
			t.Errorf("started twice: %v", started)
		}
	})
}

// TestLongAbsence: a schedule of every second that nobody fired for a month is brought up to date in bounded steps.
func TestLongAbsence(t *testing.T) {
	t.Parallel()
	base := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	times, err := schedule.New(schedule.Spec{Every: time.Second, From: base}, "")
	if err != nil {
		t.Fatal(err)
	}
	now := base.AddDate(0, 1, 0)
	s := firingState{times: times, overlap: OverlapAllow, catchUp: 150 * time.Second, next: base, most: startsAtOnce(0)}
	var steps, starts, skipped int
	for more := true; more; steps++ {
		p := planFirings(s, now)
		starts, skipped = starts+len(p.starts), skipped+int(p.skipped)
		s.next, more = p.next, p.more
	}
	if starts != 151 || starts+skipped != 31*86400+1 || steps > 30 {
		t.Errorf("%d steps, %d started, %d skipped", steps, starts, skipped)
	}
}

// TestStartsAtOnce: however large the input, a commit of starts stays within its bounds, and starts something.
func TestStartsAtOnce(t *testing.T) {
	t.Parallel()
	for input, want := range map[int]int{-1: 100, 0: 100, 1000: 54, inlineLimit: 1, inlineLimit + 1: 100, 1 << 20: 32, 16 << 20: 2, 64 << 20: 1} {
		if got := startsAtOnce(input); got != want {
			t.Errorf("an input of %d bytes: %d at once, want %d", input, got, want)
		}
	}
}
