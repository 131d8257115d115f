package durable

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Progressing is whose progress can be shown: an orchestration's *Context, and the context.Context of an activity or step.
type Progressing interface {
	Value(key any) any
}

// Value makes a Context a Progressing. It holds no values: the answer is nil.
func (c *Context) Value(any) any { return nil }

// Progress appends v to the record of how far the instance is, which only grows: Instance.Progress reads it, and
// Instance.WatchProgress and the API's subscription follow it while the instance runs. v is written as inputs and outputs
// are, by the Converter and the Codec, and may be as large as they.
//
// On an orchestration's Context a record is committed with the turn that made it: it is there exactly once, whatever is
// killed when, and a replay adds nothing. The error is nil. A value that cannot be written, or is over the payload limit,
// holds the turn until code comes that says something else; as a status does.
//
// In an activity or a step Progress returns when the record is committed, so it is there at least once: an attempt that
// follows says it again, and the records tell the attempts apart. In a TxHandler it is there before, and whether or not,
// the transaction commits. The errors tell that it was not appended: the cause why ctx has ended; ErrTooLarge;
// ErrWrongState when the instance has gone on without the call; ErrInvalid when ctx is no activity's. After ErrUnavailable
// it may have been.
//
// A heartbeat is the other way round: only the last one is kept, for the attempt that follows, at most 64 KB, and it is
// gone with the call. What people shall see of a long call is progress; what its next attempt needs is a heartbeat.
//
func Progress(ctx Progressing, v any) error {
	if c, ok := ctx.(*Context); ok {
		c.run.progressed(v)
		return nil
	}
	c, ok := ctx.Value(taskKey{}).(*taskContext)
	if !ok {
		return errNoTask
	}
	if c.Err() != nil {
		return context.Cause(c)
	}
	p, err := c.values.encode(c, v)
	if err != nil {
		return fmt.Errorf("progress: %w", err)
	}
	if err := c.work.Progress(c, p); err != nil {
		return fmt.Errorf("progress: %w", err)
	}
	return nil
}

// progressed takes in what the code says, unless it has said so before.
func (r *run) progressed(v any) {
	r.touch()
	if r.replaying {
		return
	}
	p, err := r.encode(v)
	if err != nil {
		panic(fmt.Errorf("progress: %w", err)) // a bug in the orchestration: the turn is held and shown
	}
	r.progress = append(r.progress, p)
}

// ProgressRecord is what an instance, or an activity or step of it, once said of how far it is.
type ProgressRecord struct {
	// Seq counts from 1 over all generations of the instance, without gaps.
	Seq int64
	At  time.Time
	// Generation is the one in which it was said.
	Generation int
	// TaskID, Name and Attempt say which attempt at which activity or step; -1, "" and 0 for the orchestration's own code.
	TaskID  int
	Name    string
	Attempt int

	value  history.Payload
	values *values
}

// Decode reads what was said into into.
func (p *ProgressRecord) Decode(ctx context.Context, into any) error {
	return p.values.decode(ctx, p.value, into)
}

func (v *values) record(p *engine.Progress) *ProgressRecord {
	return &ProgressRecord{
		Seq: p.Seq, At: p.At, Generation: p.Generation, TaskID: int(p.Task), Name: p.Name, Attempt: p.Attempt, value: p.Value, values: v,
	}
}

// Progress reads the instance's progress after a number, 0 for all, up to what there is now. It reads page by page, so a
// long record takes no memory; break when there is enough. Errors: ErrNotFound, also when the instance is purged meanwhile.
func (i *Instance[O]) Progress(ctx context.Context, after int64) iter.Seq2[*ProgressRecord, error] {
	return func(yield func(*ProgressRecord, error) bool) {
		w := progressWatch{client: i.client, id: i.id, after: after}
		if _, err := w.read(ctx, func(p *ProgressRecord) bool { return yield(p, nil) }); err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// WatchProgress is Progress that goes on: it waits for what is appended, and ends when the instance has ended and all was
// read. It holds nothing but its place in the record, so one who reads slowly misses nothing and costs nothing. After an
// error the record can be taken up again after the last Seq. Errors: as for Progress, and ctx's.
func (i *Instance[O]) WatchProgress(ctx context.Context, after int64) iter.Seq2[*ProgressRecord, error] {
	return func(yield func(*ProgressRecord, error) bool) {
		w := progressWatch{client: i.client, id: i.id, after: after}
		if err := w.follow(ctx, func(p *ProgressRecord) bool { return yield(p, nil) }); err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// errStopped says that the reader has had enough.
var errStopped = errors.New("stopped")

// progressWatch is a place in an instance's progress.
type progressWatch struct {
	client *Client
	id     string
	no     int64 // 0 until it is known
	after  int64
}

// progressPage is how many records are read at once: as many of the largest that are stored in place take 6 MB.
const progressPage = 100

// read reads what there is, and tells how the instance stood before. Errors: errStopped.
func (w *progressWatch) read(ctx context.Context, yield func(*ProgressRecord) bool) (*engine.Instance, error) {
	e, err := w.client.engine(ctx)
	if err != nil {
		return nil, err
	}
	inst, err := e.Get(ctx, w.client.hub, w.id)
	if err != nil {
		return nil, err
	}
	if w.no != 0 && inst.No() != w.no { // purged, and another has its id
		return nil, &engine.Error{Code: engine.CodeNotFound, Field: "instance", Message: fmt.Sprintf("the instance %q whose progress was read has been purged", w.id)}
	}
	w.no = inst.No()
	for {
		page, more, err := e.Progress(ctx, inst, w.after, progressPage)
		if err != nil {
			return nil, err
		}
		for _, p := range page {
			if p.Value, err = e.Value(ctx, p.Value); err != nil {
				return nil, err
			}
			w.after = p.Seq
			if !yield(w.client.values.record(&p)) {
				return nil, errStopped
			}
		}
		if !more {
			return inst, nil
		}
	}
}

// follow reads on until the instance has ended. Errors: errStopped.
func (w *progressWatch) follow(ctx context.Context, yield func(*ProgressRecord) bool) error {
	e, err := w.client.engine(ctx)
	if err != nil {
		return err
	}
	sub, err := e.SubscribeTo(ctx, w.no)
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		select {
		case <-sub.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		changed, resync := sub.Take()
		if _, mine := changed[w.no]; !mine && !resync {
			continue
		}
		inst, err := w.read(ctx, yield)
		if err != nil {
			return err
		}
		if !inst.Status.Live() {
			return nil
		}
	}
}
