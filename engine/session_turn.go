package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// turn runs one turn: letters in, decisions out, a unit to the committer.
func (s *session) turn(ctx context.Context) error {
	if s.entity != nil {
		return s.entityTurn(ctx)
	}
	if s.code == nil { // the first turn of a generation after the first
		code, err := s.n.exec.Open(ctx, s.info, nil)
		if err != nil {
			return err
		}
		s.code = code
	}
	f := s.newFlight(unitTurn)
	f.letters = s.takeLetters(f.letters)
	letters := f.letters
	s.failing = f
	if err := s.returnLocks(ctx, &f.unit, letters); err != nil {
		return err
	}
	for i := range letters {
		s.settleBounds(f, &letters[i])
		if letters[i].id != 0 {
			f.unit.consumed = append(f.unit.consumed, letters[i].id)
		} else if letters[i].inMemory() {
			s.settleLocal(f, letters[i].task)
		}
	}
	before := s.state.suspended
	asked := s.asked(letters)
	arrived := s.state.admit(s.n.clock.now(), letters)
	if arrived == nil {
		s.failing = nil
		// Late or duplicate answers only: consumed, and that is all.
		s.n.metrics.dropped.Add(len(letters))
		if len(f.unit.consumed) > 0 || len(f.unit.deleteJobs) > 0 {
			f.unit.kind = unitClaim
			s.dispatchAgain(f)
			s.submit(f)
		} else {
			f.free()
		}
		return nil
	}
	s.n.metrics.turns.Inc()
	began := time.Now()
	s.turnBegan.Store(began.UnixNano())
	decided, err := s.code.Turn(ctx, arrived)
	s.turnBegan.Store(0)
	s.n.metrics.turnTime.observe(time.Since(began).Seconds())
	if err != nil {
		return err
	}
	p, err := s.state.decide(arrived, decided, s.n.limits)
	if err != nil {
		return err
	}
	f.unit.status = s.state.status()
	if s.state.suspended != before {
		f.unit.suspended = s.state.suspended.encode()
	}
	s.trace(&f.unit, p, asked)
	if err := s.fill(ctx, f, p); err != nil {
		return err
	}
	s.failing = nil
	s.submit(f)
	return nil
}

// settleLocal takes a finished task of this process out of the books; its River row, if it was promoted, goes
// with the commit that records it.
func (s *session) settleLocal(f *flight, task int32) {
	a := s.local[task]
	if a == nil { // a turn that was lost took it out; the row has been found again
		if token := s.tokens[task]; token != 0 {
			delete(s.tokens, task)
			f.unit.deleteJobs = append(f.unit.deleteJobs, token)
		}
		return
	}
	delete(s.local, task)
	s.n.forget(a)
	if a.token != 0 {
		f.unit.deleteJobs = append(f.unit.deleteJobs, a.token)
		if a.limited {
			f.unit.freed = append(f.unit.freed, a.task.key)
		}
	}
}

// fill puts a plan into the unit of a flight.
func (s *session) fill(ctx context.Context, f *flight, p *plan) error {
	u := &f.unit
	large, err := s.n.e.externalize(ctx, s.no, p.events)
	if err != nil {
		return err
	}
	u.large = large
	u.values = storedValues(p.events)
	if u.events, err = history.AppendEncode(u.events, p.events); err != nil {
		return err
	}
	u.count = int32(len(p.events))
	u.actions.count(p.events)
	u.seq = s.aheadSeq + int64(u.count)
	u.customStatus = p.status
	if err := s.said(ctx, u, p.progress); err != nil {
		return err
	}
	for _, r := range p.refused {
		if err := s.refuse(u, r); err != nil {
			return err
		}
	}
	if err := s.startChildren(ctx, u, p); err != nil {
		return err
	}
	if err := s.sendEvents(ctx, u, p); err != nil {
		return err
	}
	if err := s.sendRequests(ctx, u, p.requests, s.state.lastTurn); err != nil {
		return err
	}
	if err := s.cancel(ctx, f, p); err != nil {
		return err
	}
	if p.end != nil {
		return s.finish(ctx, f, p)
	}
	s.dispatchAgain(f)
	for _, t := range p.timers {
		s.setTimer(f, t)
	}
	for _, t := range p.tasks {
		if err := s.dispatch(ctx, f, t, 0); err != nil {
			return err
		}
	}
	return nil
}

// refuse answers a decision that cannot be carried out, in the commit that records it.
func (s *session) refuse(u *unit, r refusal) error {
	payload, err := history.Encode([]history.Event{r.answer(s.state.lastTurn)})
	if err != nil {
		return err
	}
	u.messages = append(u.messages, message{no: s.no, gen: s.state.gen, task: r.id, kind: msgResult, payload: payload})
	return nil
}

// setTimer creates a timer.
func (s *session) setTimer(f *flight, t *history.TimerCreated) {
	s.addTimer(f, newTimer{timerKey: timerKey{taskKey{s.no, s.state.gen, t.ID}, timerTask}, fireAt: t.FireAt})
}

// startChildren starts child orchestrations inside this commit.
func (s *session) startChildren(ctx context.Context, u *unit, p *plan) error {
	for _, c := range p.children {
		if err := s.n.e.noteVersion(ctx, s.hub.no, c.Name, c.Version); err != nil {
			return err
		}
		no, err := s.n.e.instanceNos.one(ctx)
		if err != nil {
			return err
		}
		turn, err := s.n.e.jobIDs.one(ctx)
		if err != nil {
			return err
		}
		// A large input is stored twice: each copy goes with its own instance.
		input, large, err := s.n.e.externalizeCopy(ctx, no, c.Input)
		if err != nil {
			return err
		}
		u.large = append(u.large, large...)
		if s.children == nil {
			s.children = map[int32]int64{}
		}
		s.children[c.ID] = no
		u.starts = append(u.starts, start{
			no: no, hub: s.hub.no, id: c.InstanceID, name: c.Name, version: c.Version, input: input, turnJob: turn,
			parentNo: s.no, parentGen: s.state.gen, parentTask: c.ID, priority: cmp.Or(int16(c.Priority), s.priority), tags: encodeTags(c.Tags),
			trace: s.sent(c.ID),
		})
	}
	gen, now := s.state.gen, s.state.lastTurn
	u.conflict = func(u *unit, i int, taken store.FindInstancesRow) bool {
		if !statusOf(taken.Status).Live() {
			u.dropping(purge{no: taken.No, mask: endedStatuses}) // ended: the new one takes its place
			return true
		}
		at := u.starts[i]
		u.starts = append(u.starts[:i:i], u.starts[i+1:]...)
		payload, err := history.Encode([]history.Event{childRefused(at.parentTask, at.id, now)})
		if err != nil {
			return false
		}
		u.messages = append(u.messages, message{no: u.no, gen: gen, task: at.parentTask, kind: msgResult, payload: payload})
		u.readInbox = true
		return true
	}
	return nil
}

// inTransit is whose large values are that wait in the outbox; no instance has this number.
const inTransit = 0

// sendEvents raises events to other instances: through the outbox, so that this commit need not lock them.
func (s *session) sendEvents(ctx context.Context, u *unit, p *plan) error {
	for _, e := range p.sends {
		// A large value is stored twice: with the sender, whose history holds it, and for whoever gets it.
		input, large, err := s.n.e.externalizeCopy(ctx, inTransit, e.Input)
		if err != nil {
			return err
		}
		u.large = append(u.large, large...)
		ref, _ := input.Stored()
		payload, err := history.Encode([]history.Event{&history.EventRaised{Header: e.Header, Name: e.Name, Input: input, Trace: s.sent(e.ID)}})
		if err != nil {
			return err
		}
		if err := s.send(ctx, u, send{hub: s.hub.no, target: e.InstanceID, kind: msgEvent, payload: payload, ref: ref}); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the generation: with the instance, or with the start of the next generation.
func (s *session) finish(ctx context.Context, f *flight, p *plan) error {
	u, end := &f.unit, p.end
	s.ending = true
	u.dropTimers, u.dropTasks = p.hadTimers, p.hadTasks
	if end.Status == history.ContinuedAsNew {
		return s.continueAsNew(ctx, f, end)
	}
	u.kind = unitFinish
	u.status, u.output = end.Status, end.Result
	u.dropInbox = true
	u.deleteJobs = append(u.deleteJobs, s.job)
	if end.Failure != nil {
		out, err := json.Marshal(end.Failure)
		if err != nil {
			return err
		}
		u.failure = out
	}
	if s.parent.no == 0 {
		return nil
	}
	// A large result is stored twice, as the child's output and as the parent's result.
	told := *end
	var large []largePayload
	var err error
	if told.Result, large, err = s.n.e.externalizeCopy(ctx, s.parent.no, end.Result); err != nil {
		return err
	}
	u.large = append(u.large, large...)
	answer, err := history.Encode([]history.Event{childOutcome(s.parent.task, &told)})
	if err != nil {
		return err
	}
	u.messages = append(u.messages, message{no: s.parent.no, gen: s.parent.gen, task: s.parent.task, kind: msgResult, payload: answer})
	return nil
}

// childRefused is what a parent hears when an instance with its child's id is running.
func childRefused(task int32, id string, at time.Time) history.Event {
	return &history.SubOrchestrationInstanceFailed{
		Header: history.Header{At: at}, TaskID: task,
		Failure: failure(CodeAlreadyExists, "an instance with the id %q is running", id),
	}
}

// childOutcome is what a parent hears of its child.
func childOutcome(task int32, end *history.ExecutionCompleted) history.Event {
	at := history.Header{At: end.At}
	if end.Status == history.Completed {
		return &history.SubOrchestrationInstanceCompleted{Header: at, TaskID: task, Result: end.Result}
	}
	why := end.Failure
	if why == nil {
		why = failure(CodeWrongState, "the orchestration ended as %s", end.Status)
	}
	return &history.SubOrchestrationInstanceFailed{Header: at, TaskID: task, Failure: why}
}

// continueAsNew ends this generation and puts the start message of the next into the inbox, in one commit. The
// events that the code received and did not use travel in it; those not yet consumed stay where they are. A
// generation with another version is handed over: a turn job of another kind, for a worker that has the version.
func (s *session) continueAsNew(ctx context.Context, f *flight, end *history.ExecutionCompleted) error {
	u := &f.unit
	u.kind, u.status = unitContinue, history.Running
	u.output = end.Result // the input of the next generation
	u.version = s.info.Version
	if end.NewVersion != "" && end.NewVersion != s.info.Version {
		u.version = end.NewVersion
		if err := s.n.e.noteVersion(ctx, s.hub.no, s.info.Name, u.version); err != nil {
			return err
		}
		id, err := s.n.e.jobIDs.one(ctx)
		if err != nil {
			return err
		}
		u.nextTurnJob = id
		u.jobs = append(u.jobs, turnJob(id, s.no, s.hub.no, s.info.Name, u.version, s.priority))
	}
	u.cutBefore = s.baseSeq
	f.next = newState(s.state.gen + 1)
	next := s.info
	next.Version, next.Generation, next.ExecutionID = u.version, int(f.next.gen), executionID(s.no, f.next.gen)
	payload, err := history.Encode(opening(next, end, s.state))
	if err != nil {
		return err
	}
	u.messages = append(u.messages, message{no: s.no, gen: f.next.gen, kind: msgStart, payload: payload})
	return nil
}

// opening is what a further generation begins with: its start, and the events that the one before did not use. before
// is the state in which that one ended.
func opening(next Info, end *history.ExecutionCompleted, before *state) []history.Event {
	events := []history.Event{&history.ExecutionStarted{
		Header: history.Header{At: before.lastTurn}, InstanceID: next.InstanceID, ExecutionID: next.ExecutionID,
		Name: next.Name, Version: next.Version, Input: end.Result, Parent: next.Parent, Generation: next.Generation, Tags: before.tags,
	}}
	if before.canceling != nil { // the next generation is to end, too
		events = append(events, before.canceling)
	}
	for _, e := range end.CarryOver {
		events = append(events, e)
	}
	return events
}
