package schedule_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-dev/weir/engine/schedule"
)

func mustNew(t testing.TB, spec schedule.Spec) *schedule.Schedule {
	t.Helper()
	s, err := schedule.New(spec, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if v, err := time.Parse(layout, text); err == nil {
			return v.UTC()
		}
	}
	panic("no time: " + text)
}

// TestDaylightSaving has the firings of some expressions over days on which clocks are set.
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	const (
		berlinForward = "2026-03-29" // 02:00 -> 03:00 at 01:00Z
		berlinBack    = "2026-10-25" // 03:00 -> 02:00 at 01:00Z
	)
	for _, c := range []struct {
		name, zone, cron, from, to string
		want                       []string
	}{
		{
			"skipped, made up for at the end of the gap", "Europe/Berlin", "30 2 * * *", "2026-03-28", "2026-03-31",
			[]string{"2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"},
		},
		{"many skipped are made up for once", "Europe/Berlin", "0,15,30,45 2 * * *", berlinForward, "2026-03-29T12:00Z", []string{"2026-03-29T01:00Z"}},
		{"the end of the gap is a time of its own", "Europe/Berlin", "30 2,3 * * *", berlinForward, "2026-03-29T12:00Z", []string{"2026-03-29T01:00Z", "2026-03-29T01:30Z"}},
		{"both fall on the end of the gap", "Europe/Berlin", "0 2,3 * * *", berlinForward, "2026-03-29T12:00Z", []string{"2026-03-29T01:00Z"}},
		{"repeated, the first counts", "Europe/Berlin", "30 2 * * *", berlinBack, "2026-10-26", []string{"2026-10-25T00:30Z"}},
		{"the hour before and after", "Europe/Berlin", "0 1,2,3 * * *", "2026-10-24T23:00Z", "2026-10-25T12:00Z", []string{"2026-10-24T23:00Z", "2026-10-25T00:00Z", "2026-10-25T02:00Z"}},
		{"distance, through the repeated hour twice", "Europe/Berlin", "*/30 2 * * *", berlinBack, "2026-10-26", []string{"2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T01:00Z", "2026-10-25T01:30Z"}},
		{"every hour, through the repeated hour twice", "Europe/Berlin", "0 * * * *", "2026-10-24T23:30Z", "2026-10-25T02:30Z", []string{"2026-10-25T00:00Z", "2026-10-25T01:00Z", "2026-10-25T02:00Z"}},
		{"distance, nothing in the gap", "Europe/Berlin", "*/30 2 * * *", berlinForward, "2026-03-29T12:00Z", nil},
		{"every hour over the gap", "Europe/Berlin", "0 * * * *", "2026-03-29T00:00Z", "2026-03-29T02:00Z", []string{"2026-03-29T00:00Z", "2026-03-29T01:00Z", "2026-03-29T02:00Z"}},
		{"New York, forward", "America/New_York", "30 2 * * *", "2026-03-08", "2026-03-09", []string{"2026-03-08T07:00Z"}},
		{"New York, back", "America/New_York", "30 1 * * *", "2026-11-01", "2026-11-02", []string{"2026-11-01T05:30Z"}},
		{"half an hour, forward", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03", "2026-10-04", []string{"2026-10-03T15:30Z"}},
		{"half an hour, back", "Australia/Lord_Howe", "45 1 * * *", "2026-04-04", "2026-04-05", []string{"2026-04-04T14:45Z"}},
		{"at midnight", "America/Santiago", "0 0 * * *", "2026-09-05", "2026-09-07T00:00Z", []string{"2026-09-05T04:00Z", "2026-09-06T04:00Z"}},
		{"a day that was left out", "Pacific/Apia", "30 9 * * *", "2011-12-29T12:00Z", "2011-12-31", []string{"2011-12-29T19:30Z", "2011-12-30T10:00Z", "2011-12-30T19:30Z"}},
		{"no such thing in UTC", "", "30 2 * * *", berlinForward, "2026-03-30", []string{"2026-03-29T02:30Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := mustNew(t, schedule.Spec{Cron: []string{c.cron}, Zone: c.zone})
			var got []string
			for _, f := range s.Between(at(c.from), at(c.to), 100) {
				got = append(got, f.Format("2006-01-02T15:04Z"))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s in %s:\n got %v\nwant %v", c.cron, c.zone, got, c.want)
			}
		})
	}
}

// TestCron has what the property test does not write: names, the last days, weeks of a month, words.
func TestCron(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, want string }{
		{"0 9 * * MON-FRI", "2026-01-01 2026-01-02 2026-01-05"},
		{"0 9 * * sun", "2026-01-04 2026-01-11 2026-01-18"},
		{"0 9 * * 0", "2026-01-04 2026-01-11 2026-01-18"},
		{"0 9 * * 7", "2026-01-04 2026-01-11 2026-01-18"},
		{"0 9 * * 5-7", "2026-01-02 2026-01-03 2026-01-04"},
		{"0 9 L * *", "2026-01-31 2026-02-28 2026-03-31"},
		{"0 9 L-2 * ?", "2026-01-29 2026-02-26 2026-03-29"},
		{"0 9 ? * 5L", "2026-01-30 2026-02-27 2026-03-27"},
		{"0 9 * * FRIL", "2026-01-30 2026-02-27 2026-03-27"},
		{"0 9 * * TUE#2", "2026-01-13 2026-02-10 2026-03-10"},
		{"0 9 * * 4#5", "2026-01-29 2026-04-30 2026-07-30"},
		{"0 9 * * 0#1,7#3", "2026-01-04 2026-01-18 2026-02-01"},
		{"0 9 29 2 *", "2028-02-29 2032-02-29 2036-02-29"},
		{"0 9 29 FEB 1#5", "2028-02-29 2032-02-29 2036-02-29"},
		{"0 9 13 * FRI", "2026-01-02 2026-01-09 2026-01-13"}, // either is enough
		{"0 9 1/10 * *", "2026-01-01 2026-01-11 2026-01-21"},
		{"0 9 1 JAN,JUL *", "2026-01-01 2026-07-01 2027-01-01"},
		{"  0\t9  1 1/6 *  ", "2026-01-01 2026-07-01 2027-01-01"},
		{"@daily", "2026-01-01 2026-01-02 2026-01-03"},
		{"@Weekly", "2026-01-04 2026-01-11 2026-01-18"},
		{"@monthly", "2026-01-01 2026-02-01 2026-03-01"},
		{"@yearly", "2026-01-01 2027-01-01 2028-01-01"},
	} {
		s := mustNew(t, schedule.Spec{Cron: []string{c.cron}})
		var got []string
		for _, f := range s.Between(at("2026-01-01"), at("2099-01-01"), 3) {
			got = append(got, f.Format(time.DateOnly))
			if hour := 9; f.Hour() != hour && !strings.HasPrefix(c.cron, "@") {
				t.Errorf("%s fires at %v", c.cron, f)
			}
		}
		if all := strings.Join(got, " "); all != c.want {
			t.Errorf("%s: got %s, want %s", c.cron, all, c.want)
		}
	}
	several := mustNew(t, schedule.Spec{Cron: []string{"0 9 * * *", "0 17 * * *", "0 9 1 * *"}})
	if got := len(several.Between(at("2026-01-01"), at("2026-01-02"), 10)); got != 2 {
		t.Errorf("a day of three expressions has %d firings, want 2", got)
	}
}

func TestBadSpecs(t *testing.T) {
	t.Parallel()
	cron := func(text string) schedule.Spec { return schedule.Spec{Cron: []string{text}} }
	for _, c := range []struct {
		spec  schedule.Spec
		field string
		says  []string
	}{
		{schedule.Spec{}, "cron", []string{"missing", "every"}},
		{schedule.Spec{Every: time.Hour, Cron: []string{"* * * * *"}}, "cron", []string{"together"}},
		{schedule.Spec{Every: time.Millisecond}, "every", []string{"1ms", "1s"}},
		{schedule.Spec{Every: -time.Hour}, "every", []string{"-1h"}},
		{schedule.Spec{Every: 20 * 365 * 24 * time.Hour}, "every", []string{"allowed"}},
		{schedule.Spec{Every: time.Second + time.Microsecond}, "every", []string{"milliseconds"}},
		{schedule.Spec{Every: time.Hour, Zone: "Europe/Berlin"}, "zone", []string{"elapsed"}},
		{schedule.Spec{Every: time.Hour, Jitter: -1}, "jitter", []string{"allowed are 0"}},
		{schedule.Spec{Every: time.Hour, Jitter: 25 * time.Hour}, "jitter", []string{"25h"}},
		{schedule.Spec{Every: time.Hour, From: at("2026-02-01"), Until: at("2026-01-01")}, "until", []string{"before from"}},
		{schedule.Spec{Every: time.Hour, Until: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, "until", []string{"10000"}},
		{schedule.Spec{Every: time.Hour, From: time.Date(-4, 1, 1, 0, 0, 0, 0, time.UTC)}, "from", []string{"-4"}},
		{schedule.Spec{Cron: make([]string, 21)}, "cron", []string{"21", "20"}},
		{schedule.Spec{Cron: []string{"* * * * *"}, Zone: "Mars/Olympus"}, "zone", []string{"Mars/Olympus", "Europe/Berlin"}},
		{schedule.Spec{Cron: []string{"* * * * *"}, Zone: "Local"}, "zone", []string{"IANA"}},
		{schedule.Spec{Cron: []string{"* * * * *"}, Zone: "../etc/passwd"}, "zone", []string{"IANA"}},
		{schedule.Spec{Cron: []string{"* * * * *"}, Zone: "\xff"}, "zone", []string{"IANA"}},
		{schedule.Spec{Cron: []string{"* * * * *", "* * * *"}}, "cron[1]", []string{"4 fields", "want 5"}},
		{cron(""), "cron[0]", []string{"0 fields"}},
		{cron("0 0 * * * *"), "cron[0]", []string{"6 fields"}},
		{cron("60 0 * * *"), "cron[0]", []string{"minute", "position 1", `"60"`, "0 to 59"}},
		{cron("0 24 * * *"), "cron[0]", []string{"hour", "position 3", "0 to 23"}},
		{cron("0  0 0 * *"), "cron[0]", []string{"day of the month", "position 6", "1 to 31 or L"}},
		{cron("0 0 1,32 * *"), "cron[0]", []string{"day of the month", "position 7", `"32"`}},
		{cron("0 0 * 13 *"), "cron[0]", []string{"month", "position 7", "1 to 12 or JAN to DEC"}},
		{cron("0 0 * * 8"), "cron[0]", []string{"day of the week", "position 9", "0 to 7 or SUN to SAT"}},
		{cron("0 0 * * MON#6"), "cron[0]", []string{"day of the week", "position 13", `"6"`, "1 to 5"}},
		{cron("0 0 * * MON#"), "cron[0]", []string{"1 to 5"}},
		{cron("0 0 * * #1"), "cron[0]", []string{`""`}},
		{cron("0 0 L-31 * *"), "cron[0]", []string{"L-1 to L-30"}},
		{cron("0 0 15W * *"), "cron[0]", []string{`"15W"`}},
		{cron("30-10 * * * *"), "cron[0]", []string{"minute", "position 1", "ends before it begins"}},
		{cron("*/0 * * * *"), "cron[0]", []string{"position 3", "no step", "1 to 59"}},
		{cron("*/ * * * *"), "cron[0]", []string{"no step"}},
		{cron("1- * * * *"), "cron[0]", []string{`""`}},
		{cron("-1 * * * *"), "cron[0]", []string{`""`}},
		{cron("1, * * * *"), "cron[0]", []string{"position 3", "missing"}},
		{cron("? * * * *"), "cron[0]", []string{`"?"`}},
		{cron("+1 * * * *"), "cron[0]", []string{`"+1"`}},
		{cron("99999999999999999999 * * * *"), "cron[0]", []string{"0 to 59"}},
		{cron("0 0 30 2 *"), "cron[0]", []string{"never"}},
		{cron("0 0 31 4,6,9,11 *"), "cron[0]", []string{"never"}},
		{cron("@reboot"), "cron[0]", []string{"@reboot", "@daily"}},
		{cron("\xff * * * *"), "cron[0]", []string{"UTF-8"}},
		{cron("ü * * * *"), "cron[0]", []string{`"ü"`}},
		{cron(strings.Repeat("1,", 120) + "1 * * * *"), "cron[0]", []string{"at most 200"}},
	} {
		_, err := schedule.New(c.spec, "")
		var coded *schedule.Error
		if !errors.As(err, &coded) {
			t.Errorf("%+v: got %v, want an *Error", c.spec, err)
			continue
		}
		if coded.Field != c.field {
			t.Errorf("%+v: the error %v is of %s, want %s", c.spec, err, coded.Field, c.field)
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%+v: the error %q does not say %q", c.spec, err, s)
			}
		}
	}
}

func TestIntervals(t *testing.T) {
	t.Parallel()
	from := at("2026-01-01T00:00:10Z")
	s := mustNew(t, schedule.Spec{Every: time.Hour, From: from, Until: from.Add(3 * time.Hour)})
	if got := s.Between(at("2025-01-01"), at("2027-01-01"), 10); len(got) != 4 || !got[0].Equal(from) || !got[3].Equal(from.Add(3*time.Hour)) {
		t.Errorf("got %v", got)
	}
	if next := s.Next(from); !next.Equal(from.Add(time.Hour)) {
		t.Errorf("after the first: %v", next)
	}
	if next := s.Next(from.Add(3 * time.Hour)); !next.IsZero() {
		t.Errorf("after the last: %v", next)
	}
	anchored := mustNew(t, schedule.Spec{Every: time.Minute, Anchor: from})
	if next := anchored.Next(from); !next.Equal(from.Add(time.Minute)) {
		t.Errorf("after the anchor: %v", next)
	}
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.Int64Range(1000, 1e9).Draw(t, "every")) * time.Millisecond
		anchor := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "anchor"))
		after := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "after")).Add(time.Duration(rapid.IntRange(0, 999).Draw(t, "nanos")))
		s, err := schedule.New(schedule.Spec{Every: every, Anchor: anchor}, "")
		if err != nil {
			t.Fatal(err)
		}
		next := s.Next(after)
		if !next.After(after) || next.Sub(after) > every || (next.UnixMicro()-anchor.UnixMicro())%every.Microseconds() != 0 {
			t.Errorf("every %s from %v: after %v comes %v", every, anchor, after, next)
		}
	})
}

// TestJitter: it is the same each time, differs between schedules, spreads, and keeps firings in order.
func TestJitter(t *testing.T) {
	t.Parallel()
	spec := schedule.Spec{Every: 10 * time.Minute, Jitter: time.Hour}
	a, again := mustNew(t, spec), mustNew(t, spec)
	b, err := schedule.New(spec, "other")
	if err != nil {
		t.Fatal(err)
	}
	var early, late, differ int
	var last time.Time
	for _, f := range a.Between(at("2026-01-01"), at("2026-02-01"), 4000) {
		due := a.Due(f)
		switch wait := due.Sub(f); {
		case wait < 0 || wait >= 10*time.Minute:
			t.Fatalf("%v is due at %v, with a jitter beyond the next", f, due)
		case wait < 3*time.Minute:
			early++
		case wait > 7*time.Minute:
			late++
		}
		if due.Before(last) {
			t.Fatalf("%v is due before the one before it", f)
		}
		if last = due; !again.Due(f).Equal(due) {
			t.Fatalf("%v has two jitters", f)
		}
		if !b.Due(f).Equal(due) {
			differ++
		}
	}
	if early < 1000 || late < 1000 || differ < 4000 {
		t.Errorf("jitter of 4,464 firings: %d early, %d late, %d differ from another schedule's", early, late, differ)
	}
}

// TestAgainstBruteForce compares with a search that looks at every minute of some days, in the terms of the
// definition: the wall times that clocks show.
func TestAgainstBruteForce(t *testing.T) {
	t.Parallel()
	zones := []string{
		"UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Sao_Paulo", "America/St_Johns", "Australia/Lord_Howe",
		"Asia/Tehran", "Asia/Kathmandu", "Africa/Casablanca", "Pacific/Apia", "Pacific/Chatham", "Antarctica/Troll", "America/Santiago",
	}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		x := drawExpression(t)
		from := time.Unix(rapid.Int64Range(3*365*86400, 70*365*86400).Draw(t, "from"), 0).UTC().Truncate(time.Minute)
		if _, end := from.In(zone).ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(t, "near a change") {
			from = end.Add(-time.Duration(rapid.IntRange(1, 3000).Draw(t, "minutes before")) * time.Minute).UTC().Truncate(time.Minute)
		}
		to := from.Add(5 * 24 * time.Hour)
		s, err := schedule.New(schedule.Spec{Cron: []string{x.text}, Zone: zone.String()}, "")
		if err != nil {
			var coded *schedule.Error
			if errors.As(err, &coded) && strings.Contains(err.Error(), "never") {
				return
			}
			t.Fatal(err)
		}
		got, want := s.Between(from.Add(time.Nanosecond), to, 1<<20), x.bruteForce(zone, from, to)
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			for i := 0; i < len(got) && i < len(want) && got[i].Equal(want[i]); i++ {
				from = got[i]
			}
			want = x.bruteForce(zone, from.Add(-time.Minute), from.Add(72*time.Hour))
			t.Errorf("%q in %s differs after %v: got %v, want %v", x.text, zone, from, s.Between(from, from.Add(72*time.Hour), 4), want[:min(len(want), 4)])
		}
	})
}

// drawn is an expression as sets, with the text that says the same.
type drawn struct {
	text                                   string
	minutes, hours, days, months, weekdays []int // nil is *
}

func drawExpression(t *rapid.T) drawn {
	field := func(name string, least, most int) ([]int, string) {
		switch rapid.IntRange(0, 3).Draw(t, name+" form") {
		case 0:
			return nil, "*"
		case 1: // a step, which is no * for the days
			step := rapid.IntRange(2, min(20, most)).Draw(t, name+" step")
			var set []int
			for v := least; v <= most; v += step {
				set = append(set, v)
			}
			return set, fmt.Sprintf("*/%d", step)
		case 2:
			a := rapid.IntRange(least, most).Draw(t, name+" from")
			b := rapid.IntRange(a, most).Draw(t, name+" to")
			var set []int
			for v := a; v <= b; v++ {
				set = append(set, v)
			}
			return set, fmt.Sprintf("%d-%d", a, b)
		}
		set := rapid.SliceOfN(rapid.IntRange(least, most), 1, 4).Draw(t, name)
		return set, strings.Trim(strings.ReplaceAll(fmt.Sprint(set), " ", ","), "[]")
	}
	var (
		x     drawn
		texts [5]string
	)
	x.minutes, texts[0] = field("minute", 0, 59)
	x.hours, texts[1] = field("hour", 0, 23)
	x.days, texts[2] = field("day", 1, 31)
	x.months, texts[3] = field("month", 1, 12)
	x.weekdays, texts[4] = field("weekday", 0, 6)
	x.text = strings.Join(texts[:], " ")
	return x
}

func (x *drawn) matches(wall time.Time) bool {
	in := func(set []int, v int) bool { return set == nil || slices.Contains(set, v) }
	day, weekday := in(x.days, wall.Day()), in(x.weekdays, int(wall.Weekday()))
	if x.days != nil && x.weekdays != nil {
		day = day || weekday
	} else {
		day = day && weekday
	}
	return day && in(x.minutes, wall.Minute()) && in(x.hours, wall.Hour()) && in(x.months, int(wall.Month()))
}

// bruteForce returns the firings after from, until to.
func (x *drawn) bruteForce(zone *time.Location, from, to time.Time) (out []time.Time) {
	wallAt := func(at time.Time) time.Time {
		l := at.In(zone)
		return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), 0, 0, time.UTC)
	}
	fields := strings.Fields(x.text)
	distance := fields[0][0] == '*' || fields[1][0] == '*'
	begin := from.Add(-30 * time.Hour) // so that what is repeated is known
	seen, last := map[time.Time]bool{}, wallAt(begin.Add(-time.Minute))
	for at := begin; !at.After(to); at = at.Add(time.Minute) {
		wall := wallAt(at)
		fires := x.matches(wall) && (distance || !seen[wall])
		for skipped := last.Add(time.Minute); !distance && skipped.Before(wall); skipped = skipped.Add(time.Minute) {
			fires = fires || x.matches(skipped)
		}
		seen[wall], last = true, wall
		if fires && at.After(from) {
			out = append(out, at)
		}
	}
	return out
}
