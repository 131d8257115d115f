package model

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"reflect"
	"slices"
	"unsafe"
)

// stepKind tells who takes a step, and hence whether it must come.
type stepKind uint8

const (
	// progress is taken sooner or later whenever it stays possible.
	progress stepKind = iota
	// environment is a user, an operator or a clock; it may never happen.
	environment
	// fault is a kill, a lost connection, a panic; it may never happen.
	fault
)

// label names a step for a reader. In the text, {w} stands for the worker, {i}
// for the instance, and {what} for what.
type label struct {
	kind     stepKind
	text     string
	worker   int
	instance int
	what     string
}

// system is a transition system over states of type S, which must be a flat
// value: fixed arrays and structs of single-byte fields, so that two states
// are equal exactly if their bytes are.
type system[S any] interface {
	// initial returns the state in which everything begins.
	initial() S
	// next calls visit for each step that is possible in from. The target is
	// only valid during the call.
	next(from *S, visit func(label, *S))
	// canonical replaces a state by the representative of all states that
	// differ from it in names only.
	canonical(s *S)
	// violation returns what must never be true in any state, or "".
	violation(s *S) string
	// rest returns why the system may not stay in s for ever, or "". It is
	// asked only where no progress step is possible.
	rest(s *S) string
	// show describes a state in a counterexample.
	show(s *S) string
}

// verdict is the outcome of an exploration.
type verdict string

const (
	verdictOK       verdict = "ok"       // exhausted, and every property holds
	verdictUnsafe   verdict = "UNSAFE"   // a state violates a safety property
	verdictStuck    verdict = "STUCK"    // no progress step is left, and it is no good rest
	verdictLivelock verdict = "LIVELOCK" // progress steps go on for ever, and no rest can be reached
	verdictCycle    verdict = "CYCLE"    // progress steps can go on for ever, though a rest can be reached
	verdictLimit    verdict = "LIMIT"    // not exhausted: says nothing about the rest
)

// result is what an exploration found.
type result struct {
	states, steps, depth, rests int
	verdict                     verdict
	why                         string
	trace                       []string // the counterexample, one entry a step
}

// found tells whether a property is violated.
func (r result) found() bool {
	return r.verdict != verdictOK && r.verdict != verdictLimit && r.verdict != ""
}

func (r result) String() string {
	if r.why == "" {
		return string(r.verdict)
	}
	return string(r.verdict) + ": " + r.why
}

// fingerprint identifies a state. With 128 bits, the chance that any two of a
// hundred million states collide is below 1e-22.
type fingerprint [2]uint64

var seeds128 = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func fingerprintOf(state []byte) fingerprint {
	return fingerprint{maphash.Bytes(seeds128[0], state), maphash.Bytes(seeds128[1], state)}
}

// explorer visits every reachable state breadth first. It keeps fingerprints
// of all states, but the states themselves only until their successors are
// known, packed, one level of the search at a time.
type explorer[S any] struct {
	sys       system[S]
	maxStates int

	prints []fingerprint // by state number, in order of discovery
	parent []int32       // the state from which it was discovered
	table  []int32       // open addressing: state number + 1, 0 = empty

	edges []int32  // targets of progress steps, grouped by their source
	first []uint32 // where the edges of a state begin, for each state whose steps are known; and the end

	result result
}

// explore checks all properties of sys in all of its states. It gives up when
// there are more than maxStates.
func explore[S any](sys system[S], maxStates int) result {
	if err := flat(reflect.TypeFor[S]()); err != nil {
		panic(err)
	}
	x := &explorer[S]{sys: sys, maxStates: maxStates, table: make([]int32, 1<<12), first: []uint32{0}}
	if x.search() && x.acyclic() {
		x.result.verdict = verdictOK
	}
	x.result.states = len(x.prints)
	return x.result
}

// flat reports an error unless t consists of single-byte fields only.
func flat(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Uint8, reflect.Bool:
		return nil
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		for field := range t.Fields() {
			if err := flat(field.Type); err != nil {
				return fmt.Errorf("%s.%s: %w", t, field.Name, err)
			}
		}
		return nil
	}
	return fmt.Errorf("%s is not a single byte", t)
}

// bytesOf views a flat value as its bytes.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// search visits all states. It returns false if it stopped early.
func (x *explorer[S]) search() bool {
	current := x.sys.initial()
	x.sys.canonical(&current)
	x.add(fingerprintOf(bytesOf(&current)), -1)
	if why := x.sys.violation(&current); why != "" {
		return x.stop(verdictUnsafe, why, 0, nil)
	}
	var level, following []byte
	level = pack(level, bytesOf(&current))
	for at := int32(0); len(level) > 0; {
		for packed := level; len(packed) > 0; at++ {
			packed = unpack(bytesOf(&current), packed)
			var more bool
			if following, more = x.expand(at, &current, following); !more {
				return false
			}
			if len(x.prints) > x.maxStates {
				return x.stop(verdictLimit, fmt.Sprintf("more than %d states", x.maxStates), -1, nil)
			}
		}
		level, following = following, level[:0]
		if len(level) > 0 {
			x.result.depth++
		}
	}
	return true
}

// expand takes all steps from state number at and appends the new states to
// following, packed. It returns false if a property is violated.
func (x *explorer[S]) expand(at int32, current *S, following []byte) ([]byte, bool) {
	moves, noops := 0, 0
	bad, why := int32(-1), ""
	x.sys.next(current, func(l label, target *S) {
		if bad >= 0 {
			return
		}
		x.result.steps++
		noop := l.kind == progress && bytes.Equal(bytesOf(target), bytesOf(current))
		x.sys.canonical(target)
		id, isNew := x.find(fingerprintOf(bytesOf(target)), at)
		if isNew {
			if why = x.sys.violation(target); why != "" {
				bad = id
				return
			}
			following = pack(following, bytesOf(target))
		}
		switch {
		case l.kind != progress:
		case noop:
			noops++
		default:
			// A step that changes something and yet leads back to the same
			// canonical state can be repeated: a cycle like any other.
			moves++
			x.edges = append(x.edges, id)
		}
	})
	x.first = append(x.first, uint32(len(x.edges)))
	switch {
	case bad >= 0:
		return nil, x.stop(verdictUnsafe, why, bad, nil)
	case moves > 0:
		return following, true
	case noops > 0:
		return nil, x.stop(verdictLivelock, "steps that change nothing go on for ever", at, nil)
	}
	x.result.rests++
	if why := x.sys.rest(current); why != "" {
		return nil, x.stop(verdictStuck, why, at, nil)
	}
	return following, true
}

// stop ends the exploration with a counterexample that leads to state at, and
// then round the loop, if there is one. It returns false.
func (x *explorer[S]) stop(v verdict, why string, at int32, loop []int32) bool {
	x.result.verdict, x.result.why = v, why
	if at >= 0 {
		x.result.trace = x.trace(at, loop)
	}
	return false
}

// find returns the number of a state, which it adds if it is new.
func (x *explorer[S]) find(fp fingerprint, parent int32) (id int32, isNew bool) {
	mask := uint64(len(x.table) - 1)
	for slot := fp[0] & mask; ; slot = (slot + 1) & mask {
		id := x.table[slot] - 1
		if id < 0 {
			return x.add(fp, parent), true
		}
		if x.prints[id] == fp {
			return id, false
		}
	}
}

func (x *explorer[S]) add(fp fingerprint, parent int32) int32 {
	if 2*len(x.prints) >= len(x.table) {
		x.table = make([]int32, 2*len(x.table))
		for id, p := range x.prints {
			x.place(p, int32(id))
		}
	}
	id := int32(len(x.prints))
	x.prints = append(x.prints, fp)
	x.parent = append(x.parent, parent)
	x.place(fp, id)
	return id
}

func (x *explorer[S]) place(fp fingerprint, id int32) {
	mask := uint64(len(x.table) - 1)
	slot := fp[0] & mask
	for x.table[slot] != 0 {
		slot = (slot + 1) & mask
	}
	x.table[slot] = id + 1
}

// acyclic looks for a cycle of progress steps, depth first. Without one, every
// run of progress steps ends, and it ends in a good rest, since search accepts
// no other end. That covers "from every state a good rest can be reached" too.
func (x *explorer[S]) acyclic() bool {
	const (
		unseen = iota
		onPath
		finished
	)
	type frame struct {
		state int32
		edge  uint32 // next to follow
	}
	mark := make([]uint8, len(x.prints))
	var path []frame
	for start := range mark {
		if mark[start] != unseen {
			continue
		}
		mark[start] = onPath
		path = append(path[:0], frame{int32(start), x.first[start]})
		for len(path) > 0 {
			top := &path[len(path)-1]
			if top.edge == x.first[top.state+1] {
				mark[top.state] = finished
				path = path[:len(path)-1]
				continue
			}
			to := x.edges[top.edge]
			top.edge++
			switch mark[to] {
			case unseen:
				mark[to] = onPath
				path = append(path, frame{to, x.first[to]})
			case onPath:
				loop := []int32{to}
				for k := len(path) - 1; path[k].state != to; k-- {
					loop = append(loop, path[k].state)
				}
				slices.Reverse(loop)
				if x.canRest(to) {
					return x.stop(verdictCycle, "progress steps can repeat without end", to, loop)
				}
				return x.stop(verdictLivelock, "no run of progress steps comes to rest", to, loop)
			}
		}
	}
	return true
}

// canRest tells whether progress steps from state at can reach a rest.
func (x *explorer[S]) canRest(at int32) bool {
	seen := map[int32]bool{at: true}
	for queue := []int32{at}; len(queue) > 0; queue = queue[1:] {
		out := x.edges[x.first[queue[0]]:x.first[queue[0]+1]]
		if len(out) == 0 {
			return true
		}
		for _, to := range out {
			if !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	return false
}

// trace replays the shortest way to state at, and then the loop. It goes by
// states that are not canonical, so that names mean the same throughout.
func (x *explorer[S]) trace(at int32, loop []int32) []string {
	var way []int32
	for id := at; x.parent[id] >= 0; id = x.parent[id] {
		way = append(way, id)
	}
	slices.Reverse(way)
	var lines []string
	current := x.sys.initial()
	for k, id := range append(way, loop...) {
		found := false
		var following S
		var text string
		x.sys.next(&current, func(l label, target *S) {
			if found || k >= len(way) && l.kind != progress {
				return
			}
			following = *target
			same := *target
			x.sys.canonical(&same)
			if found = fingerprintOf(bytesOf(&same)) == x.prints[id]; found {
				text = l.String()
			}
		})
		if k == len(way) {
			lines = append(lines, "    and from here, again and again:\n")
		}
		if !found { // canonical is not the congruence that it has to be
			return append(lines, "    (the counterexample cannot be replayed)\n")
		}
		lines = append(lines, fmt.Sprintf("%3d %s\n%s", k+1, text, x.sys.show(&following)))
		current = following
	}
	return lines
}
