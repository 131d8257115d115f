package engine

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/engine/internal/store"
)

// actsAtOnce is how many instances are acted on at a time. Their commits share batches.
const actsAtOnce = 4

// act does to the page's instances what the operation is for, and returns those that refused. It may be done again after
// a crash in the midst of it: what is as it was to become counts as done, whoever has done it, so that each instance is
// counted once, and rightly. An error is nobody's fault.
func (r *operationRun) act(ctx context.Context) ([]Refusal, error) {
	found, err := r.found(ctx)
	if err != nil {
		return nil, err
	}
	if r.o.Kind == OperationPurge {
		return r.purge(ctx, found)
	}
	errs := make([]error, len(r.page))
	g, all := errgroup.WithContext(ctx)
	g.SetLimit(actsAtOnce)
	for n, t := range r.page {
		g.Go(func() error {
			err := r.actOn(all, t, found)
			switch {
			case err != nil && all.Err() != nil:
				return all.Err()
			case err != nil && !isRefusal(err) && r.tries < patience:
				return fmt.Errorf("instance %q: %w", t.ID, err)
			}
			errs[n] = err
			return nil
		})
	}
	err = g.Wait()
	var refusals []Refusal
	for n, t := range r.page {
		if errs[n] != nil {
			refusals = append(refusals, Refusal{t.ID, errs[n]})
		}
	}
	return refusals, err
}

// purge deletes the page's instances.
func (r *operationRun) purge(ctx context.Context, found map[int64]store.FindInstancesRow) ([]Refusal, error) {
	p := &purger{e: r.n.e, hub: r.row.Hub, recursive: r.o.Recursive}
	var all []doomed
	for _, t := range r.page {
		if row, ok := found[t.No]; ok {
			all = append(all, doomed{row.No, row.ID, statusOf(row.Status)})
		}
	}
	failed := p.purge(ctx, all)
	if failed != nil && (r.tries < patience || ctx.Err() != nil) {
		return nil, fmt.Errorf("purge: %w", failed)
	}
	left, err := r.found(ctx)
	if err != nil {
		return nil, err
	}
	why := make(map[string]error, len(p.out.Refused))
	for _, refused := range p.out.Refused {
		why[refused.ID] = refused.Err
	}
	var refusals []Refusal
	for _, t := range r.page {
		if _, ok := left[t.No]; !ok {
			continue
		}
		err := why[t.ID]
		if err == nil {
			err = failed
		}
		if err == nil { // something below it came to life just now
			err = &Error{Code: CodeWrongState, Field: "instance", Message: fmt.Sprintf("instance %q, or what is below it, lives again", t.ID)}
		}
		refusals = append(refusals, Refusal{t.ID, err})
	}
	return refusals, nil
}

// actOn does to one instance what the operation is for.
func (r *operationRun) actOn(ctx context.Context, t target, found map[int64]store.FindInstancesRow) error {
	if r.o.Kind == OperationRewind {
		return r.rewind(ctx, t)
	}
	row, ok := found[t.No]
	if !ok {
		return instanceNotFound(t.ID)
	}
	err := r.change(ctx, row)
	wanted, final := r.o.Kind.wanted()
	if !final || !errors.Is(err, ErrWrongState) {
		return err
	}
	now, readErr := r.n.e.q.FindInstancesByNo(ctx, r.n.e.pool, []int64{t.No})
	if readErr != nil {
		return readErr
	}
	if len(now) == 1 && statusOf(now[0].Status) == wanted {
		return nil
	}
	return err
}

func (r *operationRun) change(ctx context.Context, row store.FindInstancesRow) error {
	e, o := r.n.e, r.o
	control := ControlRequest{Reason: o.Reason, By: o.By}
	switch o.Kind {
	case OperationTerminate:
		return e.terminate(ctx, row, TerminateRequest{Reason: o.Reason, Recursive: o.Recursive})
	case OperationCancel:
		request := CancelRequest{Reason: o.Reason, By: o.By}
		return e.requestCancel(ctx, row, request.event(r.n.clock.now()))
	case OperationSuspend:
		return e.controlFound(ctx, row, control, msgSuspend)
	case OperationResume:
		return e.controlFound(ctx, row, control, msgResume)
	}
	return invalid("kind", "%s is not known to this version", o.Kind)
}

// rewind lets an instance go on from where it failed. In a later generation it is as it should be.
func (r *operationRun) rewind(ctx context.Context, t target) error {
	request := RewindRequest{Reason: r.o.Reason}
	for {
		i, err := r.n.e.Get(ctx, r.o.Hub, t.ID)
		switch {
		case err != nil:
			return err
		case i.no != t.No:
			return instanceNotFound(t.ID)
		case i.Generation != t.Gen:
			return nil
		}
		if moved, err := r.n.e.rewind(ctx, i, &request); err != nil || moved {
			return err
		}
	}
}
