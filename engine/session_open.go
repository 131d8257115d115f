package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/tracing"
)

// open reads the instance and brings its code to where the history ends. Holding a turn job that the instance
// names is the right to open a session: if an owner is set (a session that died, was fenced or handed its job
// back), it is taken over first.
//
// The job of an instance that was only just started brings all there is to know; if that is true no more, the first
// commit says so.
func (s *session) open(ctx context.Context) error {
	if fresh := s.handed.Start; fresh != nil && s.handed.First {
		created := s.handed.CreatedAt
		return s.load(ctx, &store.OpenSessionsRow{
			No: s.no, Found: true, BaseSeq: 1, TurnJob: s.job, Hub: s.n.hub.no, Status: int16(history.Pending), ID: fresh.ID, Priority: cmp.Or(fresh.Priority, DefaultPriority),
			Name: fresh.Name, Version: fresh.Version, CreatedAt: &created, Input: fromText(fresh.Input, fresh.Input64).Inline(), Trace: fresh.Trace,
		})
	}
	row, err := s.n.loader.open(ctx, s.no)
	if err != nil {
		return err
	}
	if row.WorkerState != 0 {
		return ErrFenced
	}
	if !row.Found || !statusOf(row.Status).Live() || row.TurnJob != s.job {
		return s.n.dropJob(ctx, s)
	}
	if row.Owner != 0 {
		return s.takeOver(ctx)
	}
	return s.load(ctx, row)
}

// takeOver makes this worker the owner under a new epoch, so that whoever was at work loses, and loads.
func (s *session) takeOver(ctx context.Context) error {
	answer := make(chan outcome, 1)
	s.n.laneOf(s.no).submit(&unit{
		kind: unitTakeOver, no: s.no, turnJob: s.job, readAfter: -1,
		done: func(_ *unit, o outcome) { answer <- o },
	})
	select {
	case o := <-answer:
		if o.err != nil {
			return o.err
		}
		if o.takenOver {
			s.n.metrics.takeOvers.Inc()
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	row, err := s.n.loader.open(ctx, s.no)
	if err != nil {
		return err
	}
	switch {
	case row.WorkerState != 0:
		return ErrFenced
	case !row.Found || !statusOf(row.Status).Live() || row.TurnJob != s.job:
		return s.n.dropJob(ctx, s)
	case row.Owner != s.n.no:
		return s.takeOver(ctx) // the outcome was unknown, and it had not landed
	}
	return s.load(ctx, row)
}

// reload follows the loss of a unit: whatever is in memory may be wrong, except the tasks that run.
func (s *session) reload(ctx context.Context) error {
	s.n.metrics.reloads.Inc()
	if s.code != nil {
		s.code.Close()
		s.code = nil
	}
	memory := s.letters[:0]
	for _, l := range s.letters {
		if l.inMemory() {
			memory = append(memory, l)
		}
	}
	s.letters, s.redispatch = memory, nil
	s.lost, s.ending, s.claimed = false, false, false
	return s.takeOver(ctx)
}

// load takes the row in, and the history where the cache has no exact match.
func (s *session) load(ctx context.Context, row *store.OpenSessionsRow) error {
	hub, err := s.n.e.hubByNo(ctx, row.Hub)
	if err != nil {
		return err
	}
	s.row, s.hub, s.priority = row, hub, row.Priority
	s.seq, s.baseSeq, s.epoch = row.Seq, row.BaseSeq, row.Epoch
	s.aheadSeq = row.Seq
	s.claimed = row.Owner == s.n.no
	s.aheadClaimed = s.claimed
	s.lastRead = 0
	s.read.Store(0)
	s.idleSince = time.Time{}
	s.parent = parentRef{row.ParentNo, row.ParentGen, row.ParentTask}
	s.caption.Store(&caption{row.ID, row.Name})
	s.info = Info{
		Hub: hub.Name, InstanceID: row.ID, Name: row.Name, Version: row.Version, Generation: int(row.Gen),
		ExecutionID: executionID(s.no, row.Gen), CreatedAt: *row.CreatedAt, Trace: tracing.Parse(row.Trace),
	}
	if row.ParentNo != 0 {
		s.info.Parent = &history.Parent{InstanceID: row.ParentID, Name: row.ParentName, TaskID: row.ParentTask}
	}
	if k := s.n.cache.take(s.no); k != nil {
		if k.gen == row.Gen && k.seq == row.Seq && k.epoch == row.Epoch {
			s.state, s.code = k.state, k.code
		} else {
			k.code.Close()
		}
	}
	switch {
	case isEntity(row.ID):
		err = s.openEntity(ctx, row)
	case s.code == nil:
		err = s.replay(ctx)
	}
	if err != nil {
		return err
	}
	inbox := make([]store.Inbox, len(row.Ids))
	for i, id := range row.Ids {
		inbox[i] = store.Inbox{InstanceNo: s.no, ID: id, Gen: row.Gens[i], Task: row.Tasks[i], Kind: row.Kinds[i], Payload: row.Payloads[i]}
	}
	if row.StartedAt == nil && row.ScheduledAt == nil { // suspended or not
		started, err := s.started(ctx)
		if err != nil {
			return err
		}
		s.letters = append(s.letters, letter{kind: msgStart, gen: row.Gen, events: []history.Event{started}})
	}
	if err := s.receive(ctx, inbox); err != nil {
		return err
	}
	s.findRedispatch(row)
	return nil
}

// replay reads the generation's history and opens the code on it.
func (s *session) replay(ctx context.Context) error {
	s.state = newState(s.row.Gen)
	var past []history.Event
	if s.row.Seq >= s.row.BaseSeq {
		var err error
		if past, err = s.n.loader.history(ctx, s.no, s.row.BaseSeq, s.row.Seq); err != nil {
			return err
		}
		for _, e := range past {
			s.state.apply(e)
		}
		s.n.metrics.replays.Inc()
	}
	code, err := s.n.exec.Open(ctx, s.info, past)
	if errors.Is(err, ErrNoHandler) {
		code, err = s.openUnmatched(ctx)
	}
	if err != nil {
		return err
	}
	s.code = code
	s.state.awaits = code.Awaits() // the history does not say
	return nil
}

// nextGeneration moves on after a commit that continued as new. The start message of the new generation is in
// the inbox.
func (s *session) nextGeneration(next *state) {
	for id, a := range s.local {
		s.n.abandon(a)
		delete(s.local, id)
	}
	s.code.Close()
	s.code = nil
	s.state = next
	clear(s.children)
	clear(s.tokens)
	s.baseSeq = s.seq + 1
	s.info.Generation = int(next.gen)
	s.info.ExecutionID = executionID(s.no, next.gen)
}

// findRedispatch lists the pending tasks that nobody runs: no row, no answer under way, not in this process.
// Rows that run in this worker's name since they were inserted, without this process running them, are adopted. With
// those that River has fetched in its name, River is about to come.
func (s *session) findRedispatch(row *store.OpenSessionsRow) {
	type rowState struct {
		id   int64
		mine bool
	}
	rows := map[int32]rowState{}
	for i, id := range row.JobIds {
		if row.JobGens[i] == row.Gen {
			rows[row.JobTasks[i]] = rowState{id, row.JobMine[i]}
		}
	}
	answered := map[int32]bool{}
	for i := range s.letters {
		if s.letters[i].kind == msgResult && s.letters[i].gen == row.Gen {
			answered[s.letters[i].task] = true
		}
	}
	for id, a := range s.local {
		r, ok := rows[id]
		// Whoever had the instance meanwhile may have given the task to others.
		elsewhere := answered[id] || ok && (!r.mine || a.tx && r.id != a.row())
		if elsewhere || a.task.key.gen != row.Gen || s.state.pending[id] == nil {
			s.n.abandon(a)
			delete(s.local, id)
			continue
		}
		switch {
		case ok:
			a.promote(r.id)
		case !ok && !a.tx:
			a.promote(0) // the unit that was to give it a row is lost
		}
	}
	for _, id := range sorted(s.state.pending) {
		p := s.state.pending[id]
		if p.task == nil || answered[id] || s.local[id] != nil {
			continue
		}
		if r, ok := rows[id]; ok && (!r.mine || s.n.running(taskKey{s.no, row.Gen, id})) {
			continue
		}
		s.redispatch = append(s.redispatch, id)
	}
	s.tokens = map[int32]int64{}
	for _, id := range s.redispatch {
		if r, ok := rows[id]; ok {
			s.tokens[id] = r.id
		}
	}
	for i := range s.letters {
		l := &s.letters[i]
		if r, ok := rows[l.task]; ok && l.kind == msgResult && l.gen == row.Gen && l.inMemory() {
			s.tokens[l.task] = r.id
		}
	}
}

// sorted lists the keys of a map, for loops whose order reaches a commit: the same work makes the same commits.
func sorted[V any](m map[int32]V) []int32 { return slices.Sorted(maps.Keys(m)) }

// executionID names a generation of an instance: 32 hexadecimal digits, the same wherever it is computed.
func executionID(no int64, gen int32) string {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:], uint64(no))
	binary.BigEndian.PutUint32(b[8:], uint32(gen))
	sum := sha256.Sum256(append([]byte("weir execution "), b[:]...))
	return hex.EncodeToString(sum[:16])
}

// letter reads an inbox row.
func (n *Node) letter(ctx context.Context, row store.Inbox) (letter, error) {
	l := letter{id: row.ID, kind: row.Kind, gen: row.Gen, task: row.Task}
	if row.Payload == nil {
		return l, nil
	}
	events, err := history.Decode(history.JSON, row.Payload)
	if err != nil {
		return l, &Held{Kind: "history", Step: -1, Message: fmt.Sprintf("message %d cannot be read: %v", row.ID, err)}
	}
	if err := n.e.fetchValues(ctx, row.InstanceNo, events); err != nil {
		return l, err
	}
	l.events = events
	return l, nil
}
