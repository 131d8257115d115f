package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// RewindRequest asks for an instance that has ended to go on from an earlier point of its history.
type RewindRequest struct {
	Hub      string
	Instance string
	// Reason is for the record: 1 to 2000 characters.
	Reason string
	// Step is the number of an activity, a timer or a child: its result and all that came of it are taken back. Nil takes
	// back what an instance failed of, or its termination.
	Step *int32
}

// Rewind lets an instance that has ended go on from an earlier point (DTS: RewindInstance, O-58): what it did until then
// is kept and not done again, the activities that failed run again with new attempts, and children that failed are rewound
// themselves. Timers that have not fired fire when they were to. Events and results that came later, and are not
// themselves taken back, come again. It is a further generation with an execution id of its own, whose history begins with
// what is kept; that of the one that ended stays until the next. Without a step it begins at the failures after which the
// code decided nothing more than to fail. Errors: INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION when it has not ended, or
// there is nothing to take back, or the point lies within a critical section.
func (e *Engine) Rewind(ctx context.Context, r RewindRequest) error {
	if err := first(CheckID("instance", r.Instance), checkText("reason", r.Reason, maxReason, false)); err != nil {
		return err
	}
	for {
		i, err := e.Get(ctx, r.Hub, r.Instance)
		if err != nil {
			return err
		}
		switch moved, err := e.rewind(ctx, i, &r); {
		case err != nil:
			return err
		case !moved: // somebody was faster
			continue
		}
		return nil
	}
}

// errMoved tells that the instance is not where it was when the rewind was planned.
var errMoved = errors.New("the instance has moved on")

func (e *Engine) rewind(ctx context.Context, i *Instance, r *RewindRequest) (done bool, err error) {
	if i.Status.Live() {
		return false, &Error{Code: CodeWrongState, Field: "instance", Message: fmt.Sprintf("%q is %s: only an instance that has ended can be rewound", i.ID, i.Status)}
	}
	rows, err := e.q.ReadGeneration(ctx, e.pool, store.ReadGenerationParams{No: i.no, BaseSeq: i.FirstSeq, Seq: i.Seq})
	if err != nil {
		return false, fmt.Errorf("rewind: %w", err)
	}
	var turns [][]history.Event // a row is a turn
	for _, row := range rows {
		turn, err := history.Decode(row.Codec, row.Events)
		if err != nil {
			return false, &Error{Code: CodeWrongState, Field: "instance", Message: err.Error()}
		}
		turns = append(turns, turn)
	}
	p, err := planRewind(turns, i.Status, r.Step)
	if err != nil {
		return false, err
	}
	w := &rewriting{e: e, i: i, plan: p, upto: rows[p.cut-1].Seq, reason: r.Reason}
	err = pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error { return w.write(ctx, tx) })
	if errors.Is(err, errMoved) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	e.herald.tell([]change{{no: i.no, seq: w.newSeq, status: history.Running}})
	return true, nil
}

// rewindPlan is what a rewind keeps and gives back.
type rewindPlan struct {
	cut   int // how many turns are kept
	state *state
	// again are messages that came later and come again.
	again []letter
	// children are those whose result is taken back: they are rewound, or begin anew; if they are gone, it comes again.
	children map[int32]history.Event
}

// place is an event in a history: the turn, and where in it.
type place struct{ turn, event int }

// planRewind finds the point to which a history is rewound: the beginning of the turn that took in what is taken back. It
// is pure.
func planRewind(turns [][]history.Event, status history.Status, step *int32) (*rewindPlan, error) {
	var taken []place // answers that are taken back
	var err error
	p := &rewindPlan{state: newState(0), children: map[int32]history.Event{}}
	switch {
	case step != nil:
		taken, err = answerOf(turns, *step)
	case status == history.Failed:
		taken, err = lastFailures(turns)
	case status == history.Terminated || status == history.Canceled:
		taken, err = endFromOutside(turns)
	default:
		err = nothingToRewind("it has not failed: say from which step")
	}
	if err != nil {
		return nil, err
	}
	p.cut = taken[0].turn
	for _, t := range taken {
		p.cut = min(p.cut, t.turn)
	}
	if p.cut == 0 {
		return nil, nothingToRewind("there is nothing before that point: restart it")
	}
	for _, turn := range turns[:p.cut] {
		for _, e := range turn {
			p.state.apply(e)
		}
	}
	if !p.state.started { // suspended and resumed it may have been
		return nil, nothingToRewind("it had not begun: restart it")
	}
	for _, w := range p.state.pending {
		if w.call != nil || w.lock != nil {
			return nil, nothingToRewind("it waited for an entity at that point")
		}
	}
	if p.state.section != nil {
		return nil, nothingToRewind("that point lies within a critical section, whose locks are gone")
	}
	for n, turn := range turns[p.cut:] {
		for at, e := range turn {
			p.comesAgain(e, slices.Contains(taken, place{p.cut + n, at}))
		}
	}
	return p, nil
}

// comesAgain decides what becomes of an event after the cut.
func (p *rewindPlan) comesAgain(e history.Event, taken bool) {
	if raised, ok := e.(*history.EventRaised); ok {
		p.again = append(p.again, letter{kind: msgEvent, events: []history.Event{raised}})
		return
	}
	id, ok := answered(e)
	if !ok || p.state.pending[id] == nil {
		return
	}
	switch e.(type) {
	case *history.TimerFired:
		return // its row fires it again, at once
	case *history.SubOrchestrationInstanceCompleted, *history.SubOrchestrationInstanceFailed:
		if taken {
			p.children[id] = e
			return
		}
	}
	if !taken {
		p.again = append(p.again, letter{kind: msgResult, task: id, events: []history.Event{e}})
	}
}

// answered returns the decision that an event answers.
func answered(e history.Event) (id int32, ok bool) {
	switch e := e.(type) {
	case *history.TaskCompleted:
		return e.TaskID, true
	case *history.TaskFailed:
		return e.TaskID, true
	case *history.TimerFired:
		return e.TimerID, true
	case *history.SubOrchestrationInstanceCompleted:
		return e.TaskID, true
	case *history.SubOrchestrationInstanceFailed:
		return e.TaskID, true
	}
	return 0, false
}

func isFailure(e history.Event) bool {
	switch e.(type) {
	case *history.TaskFailed, *history.SubOrchestrationInstanceFailed:
		return true
	}
	return false
}

// backwards goes through a history from its end.
func backwards(turns [][]history.Event) iter.Seq2[place, history.Event] {
	return func(yield func(place, history.Event) bool) {
		for t, turn := range slices.Backward(turns) {
			for n, e := range slices.Backward(turn) {
				if !yield(place{t, n}, e) {
					return
				}
			}
		}
	}
}

// lastFailures finds the failures that an instance failed of: the last one, and those before it since when the code
// decided nothing. What it decided afterwards, such as to make up for them, is taken back with them. Of one that no worker
// took in its version the end itself is taken back: its code had no part in that.
func lastFailures(turns [][]history.Event) (taken []place, err error) {
	for at, e := range backwards(turns) {
		_, decision := DecisionID(e)
		end, isEnd := e.(*history.ExecutionCompleted)
		switch {
		case isEnd && end.Failure != nil && end.Failure.Type == string(CodeVersionMismatch) && taken == nil && at.turn == len(turns)-1:
			return []place{at}, nil
		case isFailure(e):
			taken = append(taken, at)
		case decision && taken != nil:
			return taken, nil
		}
	}
	return nil, nothingToRewind("no activity or child of it has failed: say from which step")
}

// endFromOutside finds the termination, or the first request to end.
func endFromOutside(turns [][]history.Event) (taken []place, err error) {
	for at, e := range backwards(turns) {
		switch e.(type) {
		case *history.ExecutionTerminated, *history.ExecutionCancelRequested:
			taken = append(taken, at)
		}
	}
	if taken == nil {
		return nil, nothingToRewind("nothing tells how it ended: say from which step")
	}
	return taken, nil
}

// answerOf finds the result of a step.
func answerOf(turns [][]history.Event, step int32) ([]place, error) {
	known := false
	for at, e := range backwards(turns) {
		if id, ok := answered(e); ok && id == step {
			return []place{at}, nil
		}
		if id, decision := DecisionID(e); decision && id == step {
			known = true
		}
	}
	if known {
		return nil, &Error{Code: CodeWrongState, Field: "step", Message: fmt.Sprintf("step %d has no result that could be taken back", step)}
	}
	return nil, invalid("step", "the history has no step %d", step)
}

func nothingToRewind(why string) error {
	return &Error{Code: CodeWrongState, Field: "instance", Message: "cannot be rewound: " + why}
}

// rewriting is a rewind on its way into the database.
type rewriting struct {
	e      *Engine
	i      *Instance
	plan   *rewindPlan
	upto   int64 // the last row that is kept
	reason string
	newSeq int64
}

// write carries the rewind out: one transaction under the locks of the instance and its children.
func (w *rewriting) write(ctx context.Context, tx pgx.Tx) error {
	q, i := w.e.q, w.i
	children, err := q.FindChildrenOf(ctx, tx, store.FindChildrenOfParams{ParentNo: i.no, ParentGen: int32(i.Generation)})
	if err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	nos := []int64{i.no}
	for _, c := range children {
		nos = append(nos, c.No)
	}
	slices.Sort(nos)
	if err := q.LockInstances(ctx, tx, nos); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	marker := []history.Event{
		&history.OrchestratorStarted{Header: history.Header{At: now}},
		&history.ExecutionRewound{Header: history.Header{At: now}, Reason: w.reason},
	}
	shift := i.Seq + 1 - i.FirstSeq
	w.newSeq = w.upto + shift + int64(len(marker))
	job, err := w.e.jobIDs.one(ctx)
	if err != nil {
		return err
	}
	gen, err := q.RewindInstance(ctx, tx, store.RewindInstanceParams{No: i.no, Seq: i.Seq, Gen: int32(i.Generation), NewSeq: w.newSeq, Job: &job})
	if errors.Is(err, pgx.ErrNoRows) {
		return errMoved
	}
	if err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	if err := w.history(ctx, tx, shift, marker); err != nil {
		return err
	}
	if err := w.pending(ctx, tx, gen, children); err != nil {
		return err
	}
	hub, err := w.e.hub(ctx, i.Hub)
	if err != nil {
		return err
	}
	if err := w.e.noteVersion(ctx, hub.no, i.Name, i.Version); err != nil {
		return err
	}
	jobs := &store.Batch{}
	addJob(jobs, turnJob(job, i.no, hub.no, i.Name, i.Version, i.Priority))
	if err := q.InsertJobs(ctx, tx, jobs.Jobs); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	return q.NotifyQueues(ctx, tx, store.NotifyQueuesParams{RiverChannel: w.e.db.RiverChannel(), Queues: []string{TurnQueue(hub.no), SystemQueue}})
}

// history writes what is kept behind the generation that ended, and drops the one before that.
func (w *rewriting) history(ctx context.Context, tx pgx.Tx, shift int64, marker []history.Event) error {
	q, i := w.e.q, w.i
	if err := q.DropOldGeneration(ctx, tx, store.DropOldGenerationParams{No: i.no, BaseSeq: i.FirstSeq}); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	if err := q.CopyHistory(ctx, tx, store.CopyHistoryParams{No: i.no, BaseSeq: i.FirstSeq, Upto: w.upto, Shift: shift}); err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	data, err := history.Encode(marker)
	if err != nil {
		return err
	}
	err = q.InsertHistory(ctx, tx, store.InsertHistoryParams{
		Nos: []int64{i.no}, Seqs: []int64{w.newSeq}, Counts: []int32{int32(len(marker))}, Events: [][]byte{data},
	})
	if err != nil {
		return fmt.Errorf("rewind: %w", err)
	}
	return nil
}

// pending gives the new generation what it waits for: messages that come again, timers, and children.
func (w *rewriting) pending(ctx context.Context, tx pgx.Tx, gen int32, children []store.FindChildrenOfRow) error {
	q, i := w.e.q, w.i
	var (
		timers   store.InsertTimersParams
		tasks    []int32
		controls [][]byte
		again    = w.plan.again
	)
	for _, id := range sorted(w.plan.state.pending) {
		p := w.plan.state.pending[id]
		switch {
		case p.timer != nil:
			timers.Nos, timers.FireAts, timers.Gens = append(timers.Nos, i.no), append(timers.FireAts, p.timer.FireAt), append(timers.Gens, gen)
			timers.Tasks, timers.Kinds, timers.Holders = append(timers.Tasks, id), append(timers.Kinds, timerTask), append(timers.Holders, 0)
		case p.child != nil:
			tasks = append(tasks, id)
			taken := w.plan.children[id]
			n := slices.IndexFunc(children, func(c store.FindChildrenOfRow) bool { return c.ParentTask == id })
			switch {
			case n < 0 && taken != nil: // purged: its result is all that is known
				again = append(again, letter{kind: msgResult, task: id, events: []history.Event{taken}})
			case n >= 0 && taken != nil:
				args, err := json.Marshal(ControlArgs{No: children[n].No, Parent: i.no, Reason: w.reason, Rewind: true})
				if err != nil {
					return err
				}
				controls = append(controls, args)
			}
		}
	}
	var messages store.InsertMessagesParams
	for _, l := range again {
		payload, err := history.Encode(l.events)
		if err != nil {
			return err
		}
		messages.Nos, messages.Gens = append(messages.Nos, i.no), append(messages.Gens, gen)
		messages.Tasks, messages.Kinds = append(messages.Tasks, l.task), append(messages.Kinds, l.kind)
		messages.Payloads, messages.Ords = append(messages.Payloads, payload), append(messages.Ords, int32(len(messages.Ords)))
	}
	if len(timers.Nos) > 0 {
		if err := q.InsertTimers(ctx, tx, timers); err != nil {
			return fmt.Errorf("rewind: timers: %w", err)
		}
	}
	if len(messages.Nos) > 0 {
		if _, err := q.InsertMessages(ctx, tx, messages); err != nil {
			return fmt.Errorf("rewind: messages: %w", err)
		}
	}
	if len(tasks) > 0 {
		if err := q.AdoptChildren(ctx, tx, store.AdoptChildrenParams{ParentNo: i.no, OldGen: gen - 1, Gen: gen, Tasks: tasks}); err != nil {
			return fmt.Errorf("rewind: children: %w", err)
		}
	}
	if len(controls) > 0 {
		return q.InsertControlJobs(ctx, tx, controls)
	}
	return nil
}

// rewindChild rewinds a child with its parent. One that has nothing to take back, such as one that has completed, begins
// anew.
func (e *Engine) rewindChild(ctx context.Context, row store.FindInstancesRow, reason string) error {
	hub, err := e.hubByNo(ctx, row.Hub)
	if err != nil {
		return err
	}
	err = e.Rewind(ctx, RewindRequest{Hub: hub.Name, Instance: row.ID, Reason: reason})
	if !errors.Is(err, ErrWrongState) {
		return err
	}
	job, err := e.jobIDs.one(ctx)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
		if err := e.q.LockInstances(ctx, tx, []int64{row.No}); err != nil {
			return err
		}
		again, err := e.q.RestartChild(ctx, tx, store.RestartChildParams{No: row.No, Job: &job})
		if err != nil || len(again) == 0 { // somebody was faster, and it lives
			return err
		}
		if err := e.noteVersion(ctx, row.Hub, again[0].Name, deref(again[0].Version)); err != nil {
			return err
		}
		jobs := &store.Batch{}
		addJob(jobs, turnJob(job, row.No, row.Hub, again[0].Name, deref(again[0].Version), again[0].Priority))
		if err := e.q.InsertJobs(ctx, tx, jobs.Jobs); err != nil {
			return err
		}
		return e.q.NotifyQueues(ctx, tx, store.NotifyQueuesParams{RiverChannel: e.db.RiverChannel(), Queues: []string{TurnQueue(row.Hub)}})
	})
}
