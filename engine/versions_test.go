package engine_test

import (
	"cmp"
	"slices"
	"testing"

	"github.com/weir-dev/weir/engine"
)

// TestCompareVersions: each row is in order, and equal within a row.
func TestCompareVersions(t *testing.T) {
	t.Parallel()
	rows := [][]string{
		{""},
		{"0", "0.0", "00"},
		{"0.1"},
		{"1", "1.0", "1.0.0", "01"},
		{"1.0.1"},
		{"1.9", "1.09"},
		{"1.10"},
		{"2", "2.0.0.0.0"},
		{"9"},
		{"10"},
		{"18446744073709551616"},
		{"18446744073709551617"},
		{"."}, // not numeric, like all below
		{".1"},
		{"1."},
		{"1..2"},
		{"1.0-beta", "1.0-BETA"},
		{"1x", "1X"},
		{"v1"},
		{"v10"},
		{"v2"},
		{"ÜBER", "über"},
	}
	var flat []string
	rank := map[string]int{}
	for n, row := range rows {
		for _, v := range row {
			flat = append(flat, v)
			rank[v] = n
		}
	}
	for _, a := range flat {
		for _, b := range flat {
			if got, want := engine.CompareVersions(a, b), cmp.Compare(rank[a], rank[b]); got != want {
				t.Errorf("%q and %q: got %d, want %d", a, b, got, want)
			}
		}
	}
}

// FuzzCompareVersions: whatever the three versions are, they have an order.
func FuzzCompareVersions(f *testing.F) {
	seeds := []string{"", "9", "10", "1x", "1.0", "1.0.0", "v2", "V2", "1.", ".", "1.10", "1.9", "É", "é", "ſ", "s", "S", "K", "k"}
	for _, a := range seeds {
		for _, b := range seeds {
			for _, c := range seeds {
				f.Add(a, b, c)
			}
		}
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		compare := engine.CompareVersions
		if got := compare(a, a); got != 0 {
			t.Errorf("%q differs from itself: %d", a, got)
		}
		if got := compare(a, b); got < -1 || got > 1 || got != -compare(b, a) {
			t.Errorf("%q and %q: %d one way, %d the other", a, b, got, compare(b, a))
		}
		if a != "" && compare("", a) != -1 {
			t.Errorf("no version is not older than %q", a)
		}
		// Sorted by pairs, they are in order as a whole: the order is transitive, and so is being equal.
		v := []string{a, b, c}
		slices.SortFunc(v, compare)
		if compare(v[0], v[1]) > 0 || compare(v[1], v[2]) > 0 || compare(v[0], v[2]) > 0 {
			t.Errorf("%q has a circle", v)
		}
		if compare(v[0], v[1]) == 0 && compare(v[1], v[2]) != compare(v[0], v[2]) {
			t.Errorf("%q: equal ones compare differently with the third", v)
		}
	})
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		match   engine.Match
		have    []string
		version string
		want    string
		none    bool
	}{
		{"", []string{"1", "2"}, "2", "2", false},
		{engine.MatchStrict, []string{"1", "2"}, "2.0", "", true}, // letter for letter
		{engine.MatchStrict, []string{"2"}, "", "", true},
		{engine.MatchStrict, []string{""}, "", "", false},
		{engine.MatchStrict, nil, "", "", true},
		{engine.MatchCurrentOrOlder, []string{"2"}, "", "2", false},
		{engine.MatchCurrentOrOlder, []string{"2"}, "1.9", "2", false},
		{engine.MatchCurrentOrOlder, []string{"2"}, "2.0", "2", false},
		{engine.MatchCurrentOrOlder, []string{"2"}, "2.0.1", "", true},
		{engine.MatchCurrentOrOlder, []string{"3", "1", "2"}, "1.5", "2", false},
		{engine.MatchCurrentOrOlder, []string{"1.0.0", "1.0"}, "1", "1.0", false},
		{engine.MatchCurrentOrOlder, []string{"1.0", "1.0.0"}, "1", "1.0", false},
		{engine.MatchCurrentOrOlder, []string{""}, "1", "", true},
		{engine.MatchCurrentOrOlder, nil, "", "", true},
		{engine.MatchNone, []string{""}, "1", "", false},
		{engine.MatchNone, []string{"2", "10"}, "11", "10", false},
		{engine.MatchNone, []string{"2", "10"}, "9", "10", false},
		{engine.MatchNone, []string{"2", "10"}, "", "2", false},
		{engine.MatchNone, nil, "1", "", true},
	} {
		got, ok := c.match.Choose(c.have, c.version)
		if got != c.want || ok == c.none {
			t.Errorf("%s of %q for %q: got %q, %t; want %q, %t", c.match, c.have, c.version, got, ok, c.want, !c.none)
		}
	}
}
