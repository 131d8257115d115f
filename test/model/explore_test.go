package model

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// node is the state of a hand-made system.
type node struct{ at, name uint8 }

// graph is a hand-made system: a few nodes, begun at node 0, with steps of
// three kinds between them.
type graph struct {
	progress    map[uint8][]uint8
	environment map[uint8][]uint8
	faults      map[uint8][]uint8
	unsafe      map[uint8]bool
	badRest     map[uint8]bool
	merge       func(*node) // canonical
}

func (g graph) initial() node { return node{} }

func (g graph) next(from *node, visit func(label, *node)) {
	for kind, steps := range []map[uint8][]uint8{g.progress, g.environment, g.faults} {
		for _, to := range steps[from.at] {
			visit(label{kind: stepKind(kind), text: "to " + strconv.Itoa(int(to))}, &node{at: to})
		}
	}
}

func (g graph) canonical(n *node) {
	if g.merge != nil {
		g.merge(n)
	}
}

func (g graph) violation(n *node) string {
	if g.unsafe[n.at] {
		return "unsafe"
	}
	return ""
}

func (g graph) rest(n *node) string {
	if g.badRest[n.at] {
		return "bad rest"
	}
	return ""
}

func (g graph) show(n *node) string { return "" }

type edges = map[uint8][]uint8

func TestExploreFindsWhatIsPlanted(t *testing.T) {
	all := func(ids ...uint8) map[uint8]bool {
		set := map[uint8]bool{}
		for _, id := range ids {
			set[id] = true
		}
		return set
	}
	for _, c := range []struct {
		name   string
		system graph
		want   verdict
		trace  string
	}{
		{
			name:   "a system that comes to rest",
			system: graph{progress: edges{0: {1, 2}, 1: {3}, 2: {3}}},
			want:   verdictOK,
		},
		{
			name:   "a deadlock, by the shortest way",
			system: graph{progress: edges{0: {1}, 1: {2, 3}, 2: {4}, 4: {3}}, badRest: all(3)},
			want:   verdictStuck, trace: "to 1, to 3",
		},
		{
			name:   "a deadlock that only a fault leads to",
			system: graph{progress: edges{0: {1}}, faults: edges{0: {2}}, badRest: all(2)},
			want:   verdictStuck, trace: "to 2",
		},
		{
			name:   "a step that only a user can take does not save from a deadlock",
			system: graph{progress: edges{0: {1}}, environment: edges{1: {2}}, badRest: all(1)},
			want:   verdictStuck, trace: "to 1",
		},
		{
			name:   "an unsafe state, by the shortest way",
			system: graph{progress: edges{0: {1}, 1: {2}, 2: {3}}, environment: edges{0: {2}}, unsafe: all(3)},
			want:   verdictUnsafe, trace: "to 2, to 3",
		},
		{
			name:   "an unsafe beginning",
			system: graph{unsafe: all(0)},
			want:   verdictUnsafe,
		},
		{
			name:   "a livelock: no way out of the cycle",
			system: graph{progress: edges{0: {1, 4}, 1: {2}, 2: {3}, 3: {1}}},
			want:   verdictLivelock, trace: "to 1, and from here, again and again:, to 2, to 3, to 1",
		},
		{
			name:   "a cycle, though there is a way out",
			system: graph{progress: edges{0: {1}, 1: {2}, 2: {1, 3}}},
			want:   verdictCycle, trace: "to 1, and from here, again and again:, to 2, to 1",
		},
		{
			name:   "a cycle of users and faults is none",
			system: graph{progress: edges{0: {1}}, environment: edges{1: {2}}, faults: edges{2: {0}}},
			want:   verdictOK,
		},
		{
			name:   "a step that changes nothing, beside one that does",
			system: graph{progress: edges{0: {0, 1}}},
			want:   verdictOK,
		},
		{
			name:   "nothing but a step that changes nothing",
			system: graph{progress: edges{0: {1}, 1: {1}}},
			want:   verdictLivelock, trace: "to 1",
		},
		{
			name: "a cycle that the merging of states hides",
			system: graph{
				progress: edges{0: {1}, 1: {2, 3}, 2: {1}},
				merge:    func(n *node) { n.at = []uint8{0, 1, 1, 3}[n.at] },
			},
			want: verdictCycle, trace: "to 1, and from here, again and again:, to 2",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := explore(c.system, 100)
			if r.verdict != c.want {
				t.Errorf("%s, want %s", r, c.want)
			}
			var steps []string
			for _, line := range r.trace {
				line = strings.TrimSpace(line)
				steps = append(steps, strings.TrimLeft(line, "0123456789 "))
			}
			if got := strings.Join(steps, ", "); got != c.trace {
				t.Errorf("trace %q, want %q", got, c.trace)
			}
		})
	}
}

func TestExploreGivesUp(t *testing.T) {
	line := graph{progress: edges{}}
	for at := range uint8(200) {
		line.progress[at] = []uint8{at + 1}
	}
	if r := explore(line, 50); r.verdict != verdictLimit {
		t.Errorf("%s, want %s", r, verdictLimit)
	}
	if r := explore(line, 201); r.verdict != verdictOK || r.states != 201 || r.depth != 200 {
		t.Errorf("%s with %d states at depth %d", r, r.states, r.depth)
	}
}

// TestExploreAgreesWithTheDefinitions compares the explorer with a search that
// follows the definitions literally, on random graphs.
func TestExploreAgreesWithTheDefinitions(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	seen := map[verdict]int{}
	for range 20000 {
		const n = 7
		g := graph{progress: edges{}, environment: edges{}, unsafe: map[uint8]bool{}, badRest: map[uint8]bool{}}
		for range random.IntN(12) {
			from, to := uint8(random.IntN(n)), uint8(random.IntN(n))
			if random.IntN(3) > 0 {
				to = max(from, to) // mostly forward, or few graphs are free of cycles
			}
			if random.IntN(4) == 0 {
				g.environment[from] = append(g.environment[from], to)
			} else {
				g.progress[from] = append(g.progress[from], to)
			}
		}
		g.unsafe[uint8(random.IntN(4*n))] = true
		g.badRest[uint8(random.IntN(4*n))] = true
		r := explore(g, 100)
		want := g.judge()
		if !want[r.verdict] {
			t.Fatalf("%s, want one of %v: %+v", r, want, g)
		}
		seen[r.verdict]++
	}
	for _, v := range []verdict{verdictOK, verdictUnsafe, verdictStuck, verdictLivelock, verdictCycle} {
		if seen[v] < 100 {
			t.Errorf("only %d graphs with verdict %s", seen[v], v)
		}
	}
}

// judge returns the verdicts that apply to a graph, by definition.
func (g graph) judge() map[verdict]bool {
	reach := func(from uint8, kinds ...edges) map[uint8]bool {
		seen := map[uint8]bool{from: true}
		for queue := []uint8{from}; len(queue) > 0; queue = queue[1:] {
			for _, steps := range kinds {
				for _, to := range steps[queue[0]] {
					if !seen[to] {
						seen[to] = true
						queue = append(queue, to)
					}
				}
			}
		}
		return seen
	}
	resting := func(at uint8) bool { return len(g.progress[at]) == 0 }
	verdicts := map[verdict]bool{}
	for at := range reach(0, g.progress, g.environment) {
		canRest, repeats := false, false
		for to := range reach(at, g.progress) {
			canRest = canRest || resting(to)
			repeats = repeats || to != at && reach(to, g.progress)[at]
		}
		switch {
		case g.unsafe[at]:
			verdicts[verdictUnsafe] = true
		case resting(at) && g.badRest[at]:
			verdicts[verdictStuck] = true
		case !canRest:
			verdicts[verdictLivelock] = true
		case repeats:
			verdicts[verdictCycle] = true
		}
	}
	if len(verdicts) == 0 {
		verdicts[verdictOK] = true
	}
	return verdicts
}

func TestPack(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for size := range 100 {
		a, b := make([]byte, size), make([]byte, size)
		for k := range a {
			if random.IntN(5) == 0 {
				a[k] = byte(random.IntN(256))
			}
		}
		for k := range b {
			b[k] = byte(random.IntN(3))
		}
		packed := pack(pack(nil, a), b)
		got := make([]byte, size)
		rest := unpack(got, packed)
		if string(got) != string(a) {
			t.Fatalf("%v became %v", a, got)
		}
		if rest = unpack(got, rest); string(got) != string(b) || len(rest) != 0 {
			t.Fatalf("%v became %v, with %v left", b, got, rest)
		}
	}
}

func TestFlat(t *testing.T) {
	type narrow struct {
		a [2]struct{ b uint8 }
		c bool
	}
	type wide struct {
		a narrow
		b [2]struct{ c uint16 }
	}
	if err := flat(reflect.TypeFor[narrow]()); err != nil {
		t.Error(err)
	}
	if err := flat(reflect.TypeFor[state]()); err != nil {
		t.Error(err)
	}
	if flat(reflect.TypeFor[wide]()) == nil {
		t.Error("a state with a wider field was accepted")
	}
}
