package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// AuditEntry says what somebody asked to be changed.
type AuditEntry struct {
	No int64
	At time.Time
	// Actor is who, for good, ActorName for people, and Kind how they have shown it.
	Actor, ActorName, Kind string
	// Action is the name of the mutation, or the REST operation.
	Action string
	// Hub is empty for what belongs to none; Target is the object in it, as far as it has a name.
	Hub, Target string
	Reason      string
	// Address is where the call came from.
	Address   string
	RequestID string
	// Result is OK, or the code of the error. It is empty while the call is under way, and for ever if the server died
	// before it could be written: then the change may have been made or not.
	Result string
}

// trail writes the audit log. Entries of calls that come together are written together. Whoever wants to change something
// waits until its entry is safe, so no change is without one; the result follows.
type trail struct {
	e *Engine

	mu      sync.Mutex
	running bool
	entries []entryWrite
	results []resultWrite
	signal  chan struct{}
}

type entryWrite struct {
	entry AuditEntry
	done  chan entryWritten
}

type entryWritten struct {
	no  int64
	err error
}

type resultWrite struct {
	no     int64
	result string
}

const (
	// maxWrite is how many entries go into one statement, maxUnwritten how many may wait: beyond it calls are refused.
	maxWrite     = 500
	maxUnwritten = 20_000
	writeWithin  = 5 * time.Second
)

func newTrail(e *Engine) *trail { return &trail{e: e, signal: make(chan struct{}, 1)} }

// Note writes an entry and returns a function that adds its result, which does not wait. Errors: UNAVAILABLE when it
// cannot be written: then the change must not be made.
func (e *Engine) Note(ctx context.Context, entry AuditEntry) (result func(string), err error) {
	t := e.trail
	w := entryWrite{entry: entry, done: make(chan entryWritten, 1)}
	t.mu.Lock()
	if len(t.entries) >= maxUnwritten || e.ctx.Err() != nil {
		t.mu.Unlock()
		return nil, &Error{Code: CodeUnavailable, Message: "the audit log cannot be written"}
	}
	t.entries = append(t.entries, w)
	t.start()
	t.mu.Unlock()
	select {
	case written := <-w.done:
		if written.err != nil {
			return nil, &Error{Code: CodeUnavailable, Message: "the audit log cannot be written, and nothing is changed without it"}
		}
		return func(code string) { t.result(written.no, code) }, nil
	case <-ctx.Done():
		t.e.work.Go(func() { // the entry will be there, and nothing will follow
			if written := <-w.done; written.err == nil {
				t.result(written.no, string(CodeCanceled))
			}
		})
		return nil, ctx.Err()
	}
}

func (t *trail) result(no int64, code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.results = append(t.results, resultWrite{no, code})
	t.start()
}

// start makes the writer run. The caller holds the lock.
func (t *trail) start() {
	if !t.running {
		t.running = true
		t.e.work.Go(t.run)
	}
	poke(t.signal)
}

// run writes until the engine is closed, and then what is left.
func (t *trail) run() {
	for {
		closed := false
		select {
		case <-t.signal:
		case <-t.e.ctx.Done():
			closed = true
		}
		for t.write() {
		}
		if closed {
			t.mu.Lock()
			t.running = false
			t.mu.Unlock()
			return
		}
	}
}

// write writes what is waiting, up to a bound, and tells whether there may be more.
func (t *trail) write() bool {
	t.mu.Lock()
	entries, results := t.entries[:min(len(t.entries), maxWrite)], t.results[:min(len(t.results), maxWrite)]
	t.entries, t.results = t.entries[len(entries):], t.results[len(results):]
	t.mu.Unlock()
	if len(entries)+len(results) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.e.ctx), writeWithin)
	defer cancel()
	if len(entries) > 0 {
		t.writeEntries(ctx, entries)
	}
	if len(results) > 0 {
		t.writeResults(ctx, results)
	}
	return true
}

func (t *trail) writeEntries(ctx context.Context, entries []entryWrite) {
	var p store.WriteEntriesParams
	for _, w := range entries {
		a := &w.entry
		p.Actors, p.ActorNames, p.Kinds = append(p.Actors, a.Actor), append(p.ActorNames, printable(a.ActorName)), append(p.Kinds, a.Kind)
		p.Actions, p.Hubs, p.Targets = append(p.Actions, a.Action), append(p.Hubs, printable(a.Hub)), append(p.Targets, printable(a.Target))
		p.Reasons, p.Addresses = append(p.Reasons, printable(a.Reason)), append(p.Addresses, printable(a.Address))
		p.RequestIds = append(p.RequestIds, a.RequestID)
	}
	nos, err := t.e.q.WriteEntries(ctx, t.e.pool, p)
	if err == nil && len(nos) != len(entries) {
		err = fmt.Errorf("%d of %d were written", len(nos), len(entries))
	}
	if err != nil {
		t.e.log.ErrorContext(ctx, "the audit log cannot be written", logkey.Err, err, logkey.Count, len(entries))
	}
	for i, w := range entries {
		if err != nil {
			w.done <- entryWritten{err: err}
			continue
		}
		w.done <- entryWritten{no: nos[i]}
	}
}

// writeResults tries once more, for what has been changed already shall not be without a result.
func (t *trail) writeResults(ctx context.Context, results []resultWrite) {
	var p store.WriteResultsParams
	for _, r := range results {
		p.Entries, p.Results = append(p.Entries, r.no), append(p.Results, r.result)
	}
	err := t.e.q.WriteResults(ctx, t.e.pool, p)
	if err != nil {
		err = errors.Join(err, t.e.q.WriteResults(ctx, t.e.pool, p))
	}
	if err != nil {
		t.e.log.ErrorContext(ctx, "results are missing in the audit log", logkey.Err, err, logkey.Count, len(results))
	}
}

// AuditFilter limits a list of entries; what is empty does not.
type AuditFilter struct {
	// Hubs are those that may be seen; nil is all, and what belongs to none.
	Hubs   []string
	Hub    string
	Actor  string
	Action string
	Target string
	Since  time.Time
	Until  time.Time
	// Refused limits it to what did not succeed.
	Refused bool
}

// AuditLog lists entries, the latest first, at most limit of them after the entry with a number; 0 is the first.
func (e *Engine) AuditLog(ctx context.Context, f AuditFilter, after int64, limit int) ([]*AuditEntry, error) {
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	moment := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	for _, part := range []struct{ field, value string }{{"hub", f.Hub}, {"actor", f.Actor}, {"action", f.Action}, {"target", f.Target}} {
		if err := checkText(part.field, part.value, maxSubject, true); err != nil {
			return nil, err
		}
	}
	rows, err := e.q.ListEntries(ctx, e.lists, store.ListEntriesParams{
		Before: after, Hubs: f.Hubs, Hub: text(f.Hub), Actor: text(f.Actor), Action: text(f.Action), Target: text(f.Target),
		Since: moment(f.Since), Until: moment(f.Until), Refused: f.Refused, MaxRows: int32(min(limit, math.MaxInt32)),
	})
	if err != nil {
		return nil, fmt.Errorf("list audit log: %w", err)
	}
	out := make([]*AuditEntry, len(rows))
	for i, r := range rows {
		out[i] = &AuditEntry{
			No: r.No, At: r.At, Actor: r.Actor, ActorName: r.ActorName, Kind: r.Kind, Action: r.Action, Hub: deref(r.Hub), Target: deref(r.Target),
			Reason: deref(r.Reason), Address: r.Address, RequestID: r.RequestID, Result: deref(r.Result),
		}
	}
	return out, nil
}
