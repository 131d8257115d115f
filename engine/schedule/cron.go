package schedule

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// expression is a cron expression that was read: the set of its minutes and so on, a bit for each.
type expression struct {
	minutes, hours, days, months, weekdays uint64
	// lastDays are days counted from the end of the month, 0 the last one.
	lastDays uint64
	// nth are weekdays of a certain week of the month: bit 8*n+d is the nth d, n = 6 the last one.
	nth uint64
	// anyDay and anyWeekday say that the field is *. If neither is, one of the two that is true is enough.
	anyDay, anyWeekday bool
	// distance says that the minute or the hour begins with *: see the package's comment.
	distance bool
}

const lastOfMonth = 6

// field is one of the five fields of an expression.
type field struct {
	name       string
	least      int
	most       int
	names      []string // of least and what follows
	more       string   // what else is allowed, for errors
	question   bool     // ? is allowed, and means *
	startsWith bool     // it begins with *
}

var (
	monthNames   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	weekdayNames = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

// macros are words for common expressions.
var macros = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// parse reads an expression; name is the field of the Spec that it is.
func parse(name, text string) (*expression, error) {
	switch {
	case !utf8.ValidString(text):
		return nil, bad(name, "is not valid UTF-8")
	case len(text) > maxExpression:
		return nil, bad(name, "has %d bytes, at most %d are allowed", len(text), maxExpression)
	}
	if long, ok := macros[strings.ToLower(strings.TrimSpace(text))]; ok {
		text = long
	}
	if t := strings.TrimSpace(text); strings.HasPrefix(t, "@") {
		return nil, bad(name, "%q is not known, allowed are @yearly, @monthly, @weekly, @daily and @hourly", t)
	}
	parts, starts := split(text)
	if len(parts) != 5 {
		return nil, bad(name, "has %d fields, want 5: minute, hour, day of the month, month, day of the week", len(parts))
	}
	x := &expression{}
	p := parser{name: name, x: x}
	p.minute(parts[0], starts[0])
	p.hour(parts[1], starts[1])
	p.day(parts[2], starts[2])
	p.month(parts[3], starts[3])
	p.weekday(parts[4], starts[4])
	return x, p.err
}

// split cuts a text at its blanks, and says at which character, from 1, each part begins.
func split(text string) (parts []string, starts []int) {
	begin, at := -1, 0
	for i, r := range text {
		at++
		blank := r == ' ' || r == '\t'
		switch {
		case blank && begin >= 0:
			parts, begin = append(parts, text[begin:i]), -1
		case !blank && begin < 0:
			begin, starts = i, append(starts, at)
		}
	}
	if begin >= 0 {
		parts = append(parts, text[begin:])
	}
	return parts, starts
}

// parser reads the fields of one expression until the first error.
type parser struct {
	name string
	x    *expression
	err  error
}

func (p *parser) failf(f *field, at int, format string, args ...any) {
	if p.err == nil {
		p.err = bad(p.name, "%s, at position %d: %s", f.name, at, fmt.Sprintf(format, args...))
	}
}

func (p *parser) minute(text string, at int) {
	f := &field{name: "minute", most: 59}
	p.x.minutes = p.list(f, text, at, nil)
	p.x.distance = p.x.distance || f.startsWith
}

func (p *parser) hour(text string, at int) {
	f := &field{name: "hour", most: 23}
	p.x.hours = p.list(f, text, at, nil)
	p.x.distance = p.x.distance || f.startsWith
}

func (p *parser) month(text string, at int) {
	p.x.months = p.list(&field{name: "month", least: 1, most: 12, names: monthNames, more: " or JAN to DEC"}, text, at, nil)
}

func (p *parser) day(text string, at int) {
	f := &field{name: "day of the month", least: 1, most: 31, question: true, more: " or L, or L-1 to L-30 for days before the last"}
	p.x.anyDay = text == "*" || text == "?"
	p.x.days = p.list(f, text, at, func(item string, at int) bool {
		rest, ok := strings.CutPrefix(strings.ToUpper(item), "L")
		if !ok {
			return false
		}
		n := 0
		if rest != "" {
			digits, minus := strings.CutPrefix(rest, "-")
			var good bool
			if n, good = number(digits); !minus || !good || n > 30 {
				p.failf(f, at, "%q is not allowed, want L, or L-1 to L-30", item)
			}
		}
		p.x.lastDays |= 1 << n
		return true
	})
}

func (p *parser) weekday(text string, at int) {
	f := &field{
		name: "day of the week", most: 7, names: weekdayNames, question: true,
		more: " or SUN to SAT (0 and 7 are Sunday), with #1 to #5 for one week of the month, or L for the last",
	}
	p.x.anyWeekday = text == "*" || text == "?"
	p.x.weekdays = p.list(f, text, at, func(item string, at int) bool {
		day, week, hash := strings.Cut(item, "#")
		n := lastOfMonth
		if hash {
			var good bool
			if n, good = number(week); !good || n < 1 || n > 5 {
				p.failf(f, at+len(day)+1, "%q is no week of a month, allowed are 1 to 5", week)
				return true
			}
		} else {
			var last bool
			if day, last = strings.CutSuffix(strings.ToUpper(item), "L"); !last {
				return false
			}
		}
		d, ok := p.value(f, day, at)
		if ok {
			p.x.nth |= 1 << (8*n + d%7)
		}
		return true
	})
	p.x.weekdays |= p.x.weekdays >> 7 & 1 // 7 is Sunday, too
}

// list reads the items of a field, which commas separate. What special takes is no number.
func (p *parser) list(f *field, text string, at int, special func(item string, at int) bool) (set uint64) {
	f.startsWith = strings.HasPrefix(text, "*")
	for item := range strings.SplitSeq(text, ",") {
		if p.err != nil {
			return 0
		}
		switch {
		case item == "":
			p.failf(f, at, "a value is missing")
		case special != nil && special(item, at):
		default:
			set |= p.span(f, item, at)
		}
		at += utf8.RuneCountInString(item) + 1
	}
	return set
}

// span reads a value, a range, or either with a step.
func (p *parser) span(f *field, item string, at int) (set uint64) {
	body, stepText, stepped := strings.Cut(item, "/")
	from, to, step := f.least, f.most, 1
	switch first, last, ranged := strings.Cut(body, "-"); {
	case body == "*" || body == "?" && f.question:
		if f.most == 7 {
			to = 6 // Sunday must not come twice into the count of a step
		}
	case ranged:
		var ok1, ok2 bool
		from, ok1 = p.value(f, first, at)
		to, ok2 = p.value(f, last, at+utf8.RuneCountInString(first)+1)
		if ok1 && ok2 && to < from {
			p.failf(f, at, "the range %q ends before it begins", body)
		}
	default:
		var ok bool
		if from, ok = p.value(f, first, at); ok && !stepped {
			to = from
		}
	}
	if stepped {
		var ok bool
		if step, ok = number(stepText); !ok || step < 1 || step > f.most {
			p.failf(f, at+utf8.RuneCountInString(body)+1, "%q is no step, allowed are 1 to %d", stepText, f.most)
		}
	}
	if p.err != nil {
		return 0
	}
	for v := from; v <= to; v += step {
		set |= 1 << v
	}
	return set
}

// value reads a number or a name.
func (p *parser) value(f *field, text string, at int) (int, bool) {
	for i, name := range f.names {
		if strings.EqualFold(text, name) {
			return f.least + i, true
		}
	}
	if v, ok := number(text); ok && v >= f.least && v <= f.most {
		return v, true
	}
	p.failf(f, at, "%q is not allowed, want %d to %d%s", text, f.least, f.most, f.more)
	return 0, false
}

// number reads digits and nothing else.
func number(text string) (int, bool) {
	if text == "" || len(text) > 4 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// matchesDay tells whether a date is one of the expression's.
func (x *expression) matchesDay(date time.Time) bool {
	if x.months&(1<<int(date.Month())) == 0 {
		return false
	}
	day, weekday := date.Day(), int(date.Weekday())
	left := time.Date(date.Year(), date.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day() - day // in the month, after it
	byDay := x.days&(1<<day) != 0 || x.lastDays&(1<<left) != 0
	week := (day-1)/7 + 1
	byWeekday := x.weekdays&(1<<weekday) != 0 || x.nth&(1<<(8*week+weekday)) != 0 ||
		left < 7 && x.nth&(1<<(8*lastOfMonth+weekday)) != 0
	switch {
	case x.anyDay:
		return byWeekday
	case x.anyWeekday:
		return byDay
	}
	return byDay || byWeekday
}

// nextWall returns the first wall time of the expression that is not before from, and before until; false if there is
// none. Wall times are written as if they were UTC.
func (x *expression) nextWall(from, until time.Time) (time.Time, bool) {
	date := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, time.UTC)
	minute := from.Hour()*60 + from.Minute()
	if from.Second() > 0 || from.Nanosecond() > 0 {
		minute++
	}
	for ; date.Before(until); date, minute = date.AddDate(0, 0, 1), 0 {
		if x.months&(1<<int(date.Month())) == 0 {
			date = time.Date(date.Year(), date.Month()+1, 0, 0, 0, 0, 0, time.UTC) // the last day of this month
			continue
		}
		if !x.matchesDay(date) {
			continue
		}
		if m, ok := x.nextMinute(minute); ok {
			at := date.Add(time.Duration(m) * time.Minute)
			return at, at.Before(until)
		}
	}
	return time.Time{}, false
}

// nextMinute returns the first minute of a day, counted from midnight, that is one of the expression's and not before
// the given one.
func (x *expression) nextMinute(minute int) (int, bool) {
	hour := minute / 60
	if hour < 24 && x.hours&(1<<hour) != 0 {
		if rest := x.minutes >> (minute % 60); rest != 0 {
			return minute + bits.TrailingZeros64(rest), true
		}
	}
	later := x.hours >> (hour + 1) << (hour + 1)
	if later == 0 {
		return 0, false
	}
	return bits.TrailingZeros64(later)*60 + bits.TrailingZeros64(x.minutes), true
}

// next returns the first firing after a time, which is in UTC; zero if there is none within the horizon. It goes from one period of
// constant offset from UTC to the next: within one, wall time and time differ by a constant.
func (x *expression) next(after time.Time, zone *time.Location) time.Time {
	limit := after.Add(horizon)
	for t := after; ; {
		begin, end := t.In(zone).ZoneBounds()
		last := end.IsZero() || end.After(limit)
		if last {
			end = limit
		}
		offset := offsetAt(t, zone)
		wall := t.Add(offset)
		if t.Equal(after) {
			wall = wall.Add(time.Nanosecond)
		}
		if !x.distance && !begin.IsZero() {
			before := offsetAt(begin.Add(-time.Nanosecond), zone)
			skipped := begin.UTC().Add(before)
			now := begin.UTC().Add(offset)
			switch {
			case skipped.After(now) && wall.Before(skipped): // clocks were set back: these times have been
				wall = skipped
			case skipped.Before(now) && begin.After(after): // set forward
				if _, ok := x.nextWall(skipped, now); ok {
					return begin.UTC()
				}
			}
		}
		if at, ok := x.nextWall(wall, end.UTC().Add(offset)); ok {
			return at.Add(-offset)
		}
		if last {
			return time.Time{}
		}
		t = end.UTC()
	}
}

func offsetAt(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
