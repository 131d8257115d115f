package model

import (
	"math/rand/v2"
	"testing"
)

// TestCanonicalIsACongruence walks at random through states that are not
// canonical and checks that each has the same successors as its
// representative, by representative: so nothing is lost by exploring
// representatives only.
func TestCanonicalIsACongruence(t *testing.T) {
	walks := 60
	if testing.Short() || raceDetector {
		walks = 2
	}
	for seed, c := range worlds() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(1, uint64(seed)))
			p := &protocol{world: &c}
			for range walks {
				s := p.initial()
				for depth := range 60 {
					var following []state
					p.next(&s, func(_ label, target *state) { following = append(following, *target) })
					representative := s
					p.canonical(&representative)
					again := representative
					if p.canonical(&again); again != representative {
						t.Fatalf("canonical is not idempotent at depth %d\n%s\n%s", depth, p.show(&representative), p.show(&again))
					}
					want, got := successors(p, &s), successors(p, &representative)
					self := fingerprintOf(bytesOf(&again))
					for print, text := range want {
						if got[print] == "" && print != self {
							t.Fatalf("the representative lacks %q at depth %d:\n%s\n%s", text, depth, p.show(&s), p.show(&representative))
						}
					}
					for print, text := range got {
						if want[print] == "" {
							t.Fatalf("the representative has %q too at depth %d:\n%s\n%s", text, depth, p.show(&s), p.show(&representative))
						}
					}
					if len(following) == 0 {
						break
					}
					s = following[random.IntN(len(following))]
				}
			}
		})
	}
}

func successors(p *protocol, s *state) map[fingerprint]string {
	all := map[fingerprint]string{}
	p.next(s, func(l label, target *state) {
		p.canonical(target)
		all[fingerprintOf(bytesOf(target))] = l.String()
	})
	return all
}

// plain is the protocol without the merging of states.
type plain struct{ *protocol }

func (plain) canonical(*state) {}

// TestCanonicalChangesNoVerdict explores what is small enough without merging
// states as well. The same must be found, by a way that is as short, but for
// steps without effect that merging saves.
func TestCanonicalChangesNoVerdict(t *testing.T) {
	const enough = 10_000
	compared := 0
	compare := func(name string, w *world, off rule) {
		t.Run(name, func(t *testing.T) {
			want := explore(plain{&protocol{world: w, off: off}}, enough)
			if want.verdict == verdictLimit {
				t.Skip("too large, or runs for ever, without merging")
			}
			compared++
			got := w.explore(off, enough)
			saved := len(want.trace) - len(got.trace)
			if got.verdict != want.verdict || saved < 0 || saved > 1 || got.states > want.states {
				t.Errorf("%s after %d steps, %d states; without merging %s after %d steps, %d states",
					got, len(got.trace), got.states, want, len(want.trace), want.states)
			}
		})
	}
	all := map[string]*world{}
	for _, w := range worlds() {
		all[w.name] = &w
		if !w.large {
			compare(w.name, &w, 0)
		}
	}
	for _, s := range seeds() {
		compare(s.text, all[s.world], s.off)
	}
	if compared < 60 {
		t.Errorf("only %d comparisons", compared)
	}
}
