package property_test

import (
	"maps"
	"slices"
)

// model is what Weir has to do with machines, without anything that can go wrong: instances take in what reaches them
// at once and one after another.
type model struct {
	all  map[string]*instance // by id
	ids  []string             // all that were ever used, in their order
	made int
}

// instance is one machine. What it is follows from the turns of its generation.
type instance struct {
	id       string
	no       int // two instances of one id differ in it
	parent   parent
	status   string
	gen      int
	input    Input
	delayed  bool // waits for its time, an hour from now
	turns    [][]input
	held     []input // has reached it, and was not taken in
	code     *code
	shown    string // its status, as it has set it last
	output   string
	canceled bool
}

type parent struct {
	no, gen, step int
	id            string
}

// input is what can reach an instance.
type input struct {
	kind inputKind
	gen  int // of those that belong to a generation
	cmd  Command
	step int // the decision that it answers
	ok   bool
	out  string
}

type inputKind int

const (
	inStart inputKind = iota
	inCommand
	inResult // of an activity or a child
	inNap
	inCancel
	inSuspend
	inResume
	inTerminated
	inRewound
)

// code is the machine's code on a history, and what it has decided.
type code struct {
	input   Input
	trace   Trace
	begun   bool
	ended   bool
	next    int // the number of its next decision
	pending map[int]pending
	// decides counts what the last input made it decide.
	decides int
}

type pending struct {
	what string
	n    int
}

// effect is what a code wants done.
type effect struct {
	child  int // a command's number; with step
	step   int
	nap    bool
	giveUp bool   // the child of a step
	end    string // a status, or "again"
	output string
}

func newCode(in Input) *code {
	return &code{input: in, trace: in.Trace.clone(), pending: map[int]pending{}}
}

func (c *code) decide() int {
	c.decides++
	c.next++
	return c.next - 1
}

// take lets the code take in an input that fits, and returns what it wants done.
func (c *code) take(in input) (out []effect) {
	c.decides = 0
	if _, waits := c.pending[in.step]; !waits && (in.kind == inResult || in.kind == inNap) {
		return nil // given up in the very turn in which its answer came
	}
	end := func(status, output string) {
		c.ended = true
		c.decide()
		out = append(out, effect{end: status, output: output})
	}
	switch in.kind {
	case inStart:
		c.begun = true
		c.trace.addf("begun")
	case inResult:
		p := c.pending[in.step]
		delete(c.pending, in.step)
		switch {
		case in.ok:
			c.trace.addf("%s%d=%s", p.what, p.n, in.out)
		case p.what == opMust || p.what == opMustChild:
			end("FAILED", "")
		default:
			c.trace.addf("%s%d!", p.what, p.n)
		}
	case inNap:
		c.trace.nap(c.pending[in.step].n)
		delete(c.pending, in.step)
	case inCancel:
		out = c.giveUp()
		if c.input.Stubborn {
			end("COMPLETED", c.trace.String())
		} else {
			end("CANCELED", "")
		}
	case inCommand:
		c.trace.addf("%s%d", in.cmd.Op, in.cmd.N)
		switch in.cmd.Op {
		case opCall, opMust, opFar, opNap, opSleep, opChild, opMustChild:
			step := c.decide()
			c.pending[step] = pending{in.cmd.Op, in.cmd.N}
			switch in.cmd.Op {
			case opNap:
				out = append(out, effect{nap: true, step: step})
			case opChild, opMustChild:
				out = append(out, effect{child: in.cmd.N, step: step})
			}
		case opGiveUp:
			out = c.giveUp()
		case opAgain:
			end("again", "")
		case opEnd:
			end("COMPLETED", c.trace.String())
		case opFail:
			end("FAILED", "")
		}
	}
	return out
}

// giveUp gives up all that is pending, and wants children to be told.
func (c *code) giveUp() (out []effect) {
	for _, step := range slices.Sorted(maps.Keys(c.pending)) {
		c.decide()
		if p := c.pending[step]; p.what == opChild || p.what == opMustChild {
			out = append(out, effect{giveUp: true, step: step})
		}
	}
	clear(c.pending)
	return out
}

// fits tells whether an input means anything to the instance.
func (i *instance) fits(in input) bool {
	switch in.kind {
	case inResult, inNap:
		_, waits := i.code.pending[in.step]
		return in.gen == i.gen && waits
	case inStart:
		return !i.code.begun
	case inCommand, inCancel:
		return i.code.begun
	}
	return true
}

func (i *instance) live() bool {
	return i.status == "RUNNING" || i.status == "SUSPENDED" || i.status == "PENDING"
}

// start makes an instance; what has its id gives way.
func (m *model) start(id string, in Input, by parent, delayed bool) {
	m.made++
	i := &instance{id: id, no: m.made, parent: by, status: "PENDING", input: in, delayed: delayed, code: newCode(in)}
	if _, known := m.all[id]; !known && !slices.Contains(m.ids, id) {
		m.ids = append(m.ids, id)
	}
	m.all[id] = i
	if !delayed {
		m.begin(i)
	}
}

// begin gives an instance its start, with what reached it before.
func (m *model) begin(i *instance) {
	i.delayed = false
	if i.status == "SUSPENDED" {
		i.held = slices.Insert(i.held, 0, input{kind: inStart})
		return
	}
	held := i.held
	i.held, i.status = nil, "RUNNING"
	m.turn(i, slices.Insert(held, 0, input{kind: inStart}))
}

// reach lets something reach an instance.
func (m *model) reach(i *instance, in input) {
	switch {
	case !i.live():
	case (in.kind == inResult || in.kind == inNap) && in.gen != i.gen: // of an older generation
	case i.status != "RUNNING":
		i.held = append(i.held, in)
	default:
		m.turn(i, []input{in})
	}
}

// turn lets an instance take in what has reached it, and carries out what its code wants.
func (m *model) turn(i *instance, inputs []input) {
	i.turns = append(i.turns, nil)
	var (
		effects []effect
		carry   []input
		at      = len(i.turns) - 1
		shown   = i.code.trace.String()
		gen     = i.gen
	)
	fit := i.fitting(inputs)
	if len(fit) == 0 {
		i.turns = i.turns[:at]
		return
	}
	i.turns[at] = fit
	for _, in := range fit {
		if i.code.ended {
			if in.kind == inCommand {
				carry = append(carry, in)
			}
			continue
		}
		effects = append(effects, i.code.take(in)...)
	}
	if now := i.code.trace.String(); now != shown {
		i.shown = now
	}
	var naps []int
	for _, e := range effects {
		begun := slices.ContainsFunc(effects, func(o effect) bool { return o.child > 0 && o.step == e.step })
		givenUp := slices.ContainsFunc(effects, func(o effect) bool { return o.giveUp && o.step == e.step })
		switch {
		case (e.child > 0 || e.giveUp) && begun && givenUp: // in one turn: not begun
		case e.child > 0:
			m.beginChild(i, e, gen)
		case e.giveUp:
			for _, id := range m.ids {
				if c := m.all[id]; c != nil && c.parent.no == i.no && c.parent.gen == gen && c.parent.step == e.step {
					m.reach(c, input{kind: inCancel})
				}
			}
		case e.nap:
			naps = append(naps, e.step)
		case e.end == "again":
			in := Input{Trace: i.code.trace, Stubborn: i.input.Stubborn}
			canceled := i.canceled
			i.gen++
			i.input, i.turns, i.code = in, nil, newCode(in)
			next := []input{{kind: inStart}}
			if canceled {
				next = append(next, input{kind: inCancel})
			}
			m.turn(i, append(next, carry...))
			return
		case e.end != "":
			i.ends(e.end, e.output)
			m.tell(i)
			return
		}
	}
	for _, step := range naps {
		m.reach(i, input{kind: inNap, gen: gen, step: step})
	}
}

// fitting are those inputs that mean something, each looked at after the ones before it.
func (i *instance) fitting(inputs []input) (fit []input) {
	begun, seen := i.code.begun, map[int]bool{}
	for _, in := range inputs {
		switch in.kind {
		case inStart:
			begun = true
		case inCommand, inCancel:
			if !begun {
				continue
			}
			i.canceled = i.canceled || in.kind == inCancel
		case inResult, inNap:
			if !i.fits(in) || seen[in.step] {
				continue
			}
			seen[in.step] = true
		}
		fit = append(fit, in)
	}
	return fit
}

func (i *instance) ends(status, output string) {
	i.status, i.output, i.held, i.delayed = status, output, nil, false
}

// tell tells an instance's parent that it has ended.
func (m *model) tell(i *instance) {
	if p := m.all[i.parent.id]; p != nil && p.no == i.parent.no {
		m.reach(p, input{kind: inResult, gen: i.parent.gen, step: i.parent.step, ok: i.status == "COMPLETED", out: i.output})
	}
}

func (m *model) beginChild(i *instance, e effect, gen int) {
	id := childOf(i.id, e.child)
	if taken := m.all[id]; taken != nil && taken.live() {
		m.reach(i, input{kind: inResult, gen: gen, step: e.step})
		return
	}
	m.start(id, Input{Stubborn: i.input.Stubborn}, parent{i.no, gen, e.step, i.id}, false)
}

// waits lists the activities that the instance waits for, by their steps.
func (i *instance) waits() []int {
	var out []int
	for _, step := range slices.Sorted(maps.Keys(i.code.pending)) {
		switch i.code.pending[step].what {
		case opCall, opMust, opFar:
			out = append(out, step)
		}
	}
	return out
}
