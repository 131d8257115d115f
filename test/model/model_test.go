package model

import (
	"strings"
	"testing"
)

// maxStates bounds a world of the CI set: about 50 bytes a state.
const maxStates = 300_000

// TestWorlds explores the worlds of the CI set with all rules on. With -short
// or the race detector it only begins to.
func TestWorlds(t *testing.T) {
	short := testing.Short() || raceDetector
	for _, w := range worlds() {
		if w.large {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			limit := maxStates
			if short {
				limit = 2000
			}
			r := w.explore(0, limit)
			if r.found() || !short && r.verdict != verdictOK {
				t.Errorf("%s\n%s", r, strings.Join(r.trace, ""))
			}
			t.Logf("%d states, %d steps, depth %d", r.states, r.steps, r.depth)
		})
	}
}

// TestSeeds plants each fault in its world, where it must be found.
func TestSeeds(t *testing.T) {
	for _, s := range seeds() {
		t.Run(s.text, func(t *testing.T) {
			t.Parallel()
			if r := s.explore(maxStates); !r.found() {
				t.Errorf("%v off in %s: not found in %d states", s.off, s.world, r.states)
			} else {
				t.Logf("%s, after %d steps", r, len(r.trace))
			}
		})
	}
}

// TestSets checks the lists: names are unique, and seeds live in the CI set.
func TestSets(t *testing.T) {
	small := map[string]bool{}
	for _, w := range worlds() {
		if _, twice := small[w.name]; twice {
			t.Errorf("two worlds named %s", w.name)
		}
		small[w.name] = !w.large
		if w.workers > maxWorkers || w.inFlight > maxUnits {
			t.Errorf("%s is out of bounds", w.name)
		}
	}
	texts := map[string]bool{}
	var seeded rule
	for _, s := range seeds() {
		if !small[s.world] {
			t.Errorf("the world %q of a seed is not in the CI set", s.world)
		}
		if texts[s.text] {
			t.Errorf("two seeds named %q", s.text)
		}
		texts[s.text] = true
		seeded |= s.off
	}
	var known rule
	for k, entry := range ruleTable {
		if entry.rule != 1<<k {
			t.Errorf("%s is out of order", entry.name)
		}
		known |= entry.rule
	}
	if stray := seeded &^ known; stray != 0 {
		t.Errorf("rules %b are not in the table", stray)
	}
}
