package engine

import (
	"context"
	"slices"

	"github.com/weir-dev/weir/engine/history"
)

// rank is the order in which a turn takes letters in, for those that do not come by arrival.
func (l *letter) rank() int {
	switch l.kind {
	case msgSuspend, msgResume:
		return 0
	case msgStart:
		return 1
	}
	return 2
}

// takesAll tells whether a turn takes in whatever has come. While the instance is suspended, and before its start has
// come, it takes in only what suspends or resumes it.
func (s *session) takesAll(suspended bool) bool {
	return !suspended && (s.state.started || slices.ContainsFunc(s.letters, func(l letter) bool { return l.kind == msgStart }))
}

// canTakeIn tells whether a letter has come that a turn may take in.
func (s *session) canTakeIn() bool {
	if s.entity != nil {
		return slices.ContainsFunc(s.letters, func(l letter) bool { return s.entity.admits(&l) })
	}
	if s.takesAll(s.state.suspended != nil) {
		return len(s.letters) > 0
	}
	return slices.ContainsFunc(s.letters, func(l letter) bool { return l.rank() == 0 })
}

// takeLetters takes the letters of the next turn, at most maxLetters. What suspends or resumes goes first, then the
// start; if the instance is suspended after the former, the others stay.
func (s *session) takeLetters(into []letter) []letter {
	suspended := s.state.suspended != nil
	for i := range s.letters {
		switch s.letters[i].kind {
		case msgSuspend:
			suspended = true
		case msgResume:
			suspended = false
		}
	}
	all := s.takesAll(suspended)
	if all && len(s.letters) <= maxLetters { // admit puts them in order
		into = append(into, s.letters...)
		clear(s.letters)
		s.letters = s.letters[:0]
		return into
	}
	slices.SortStableFunc(s.letters, func(a, b letter) int { return a.rank() - b.rank() })
	n := 0
	for n < min(len(s.letters), maxLetters) && (all || s.letters[n].rank() == 0) {
		n++
	}
	into = append(into, s.letters[:n]...)
	s.letters = slices.Delete(s.letters, 0, n)
	return into
}

// spill writes the results that exist only in memory into the inbox of the suspended instance, where they wait until
// it is resumed: the session would have to stay for them, and die with them.
func (s *session) spill(ctx context.Context) error {
	f := s.newFlight(unitClaim)
	u := &f.unit
	rest := s.letters[:0]
	for _, l := range s.letters {
		if !l.inMemory() || len(f.letters) == maxLetters || (len(f.letters) > 0 && u.size() > maxBatchBytes/2) {
			rest = append(rest, l)
			continue
		}
		large, err := s.n.e.externalize(ctx, s.no, l.events)
		if err != nil {
			return err
		}
		payload, err := history.Encode(l.events)
		if err != nil {
			return err
		}
		u.large = append(u.large, large...)
		u.messages = append(u.messages, message{no: s.no, gen: l.gen, task: l.task, kind: l.kind, payload: payload})
		f.letters = append(f.letters, l)
		s.settleLocal(f, l.task)
	}
	clear(s.letters[len(rest):])
	s.letters = rest
	s.dispatchAgain(f)
	s.submit(f)
	return nil
}
