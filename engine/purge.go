package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// PurgeRequest says which instances to delete with all that belongs to them: by their ids, or by a filter.
type PurgeRequest struct {
	Hub string
	// IDs are instance ids, at most 500. Without them Filter selects.
	IDs []string
	// Filter selects instances that have ended; its statuses, if there are any, must be final ones.
	Filter Filter
	// Recursive deletes the children of what is deleted too, and theirs. Without it children are kept.
	Recursive bool
}

// Purged is what a purge has done.
type Purged struct {
	// Deleted counts instances, children among them.
	Deleted int
	// Refused are instances that could not be deleted, at most 100 of them; RefusedCount counts all.
	Refused      []Refusal
	RefusedCount int
	// Complete is false when the context ended before all was done. What was done stays done; the same call goes on.
	Complete bool
}

// Refusal is why one instance was not deleted: NOT_FOUND, or FAILED_PRECONDITION while it, or a child that would have
// to go with it, is live.
type Refusal struct {
	ID  string
	Err error
}

const (
	maxPurgeIDs = 500
	// purgesPerUnit bounds what one commit deletes, so that nobody waits long for its locks.
	purgesPerUnit = 100
	maxRefusals   = 100
	// maxTree bounds the instances that go with one instance.
	maxTree = 100_000
)

// Purge deletes instances that have ended, and everything of them in every table (DTS: purge, O-56). An instance is
// deleted in one commit, after its children if the request is recursive; several are not deleted at once. Instances
// that are live are refused, each by itself. When ctx ends, what was done so far is returned. Errors:
// INVALID_ARGUMENT, NOT_FOUND (hub), UNAVAILABLE.
func (e *Engine) Purge(ctx context.Context, r PurgeRequest) (Purged, error) {
	hub, err := e.hub(ctx, r.Hub)
	if err != nil {
		return Purged{}, err
	}
	p := &purger{e: e, hub: hub.no, recursive: r.Recursive}
	if r.IDs != nil {
		err = p.byIDs(ctx, r.IDs)
	} else {
		err = p.byFilter(ctx, r.Hub, r.Filter)
	}
	p.out.Complete = err == nil
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.DeadlineExceeded)) {
		err = nil
	}
	return p.out, err
}

// purger deletes instances.
type purger struct {
	e         *Engine
	hub       int32
	recursive bool
	out       Purged
}

// doomed is an instance to be deleted.
type doomed struct {
	no     int64
	id     string
	status history.Status
}

func (p *purger) refuse(id string, err error) {
	p.out.RefusedCount++
	if len(p.out.Refused) < maxRefusals {
		p.out.Refused = append(p.out.Refused, Refusal{id, err})
	}
}

func (p *purger) byIDs(ctx context.Context, ids []string) error {
	if len(ids) == 0 || len(ids) > maxPurgeIDs {
		return invalid("ids", "are %d, allowed are 1 to %d", len(ids), maxPurgeIDs)
	}
	for n, id := range ids {
		if err := CheckID(fmt.Sprintf("ids[%d]", n), id); err != nil {
			return err
		}
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for part := range slices.Chunk(ids, purgesPerUnit) {
		found, err := p.find(ctx, part)
		if err != nil {
			return err
		}
		all := make([]doomed, 0, len(part))
		for _, id := range part {
			if d, ok := found[id]; ok {
				all = append(all, d)
			} else {
				p.refuse(id, instanceNotFound(id))
			}
		}
		if err := p.purge(ctx, all); err != nil {
			return err
		}
	}
	return nil
}

func idsOf(all []doomed) []string {
	ids := make([]string, len(all))
	for i, d := range all {
		ids[i] = d.id
	}
	return ids
}

func (p *purger) find(ctx context.Context, ids []string) (map[string]doomed, error) {
	hubs := make([]int32, len(ids))
	for i := range hubs {
		hubs[i] = p.hub
	}
	rows, err := p.e.q.FindInstances(ctx, p.e.pool, store.FindInstancesParams{Hubs: hubs, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("purge: %w", err)
	}
	found := make(map[string]doomed, len(rows))
	for _, row := range rows {
		found[row.ID] = doomed{row.No, row.ID, statusOf(row.Status)}
	}
	return found, nil
}

func (p *purger) byFilter(ctx context.Context, hub string, f Filter) error {
	if f.Name != "" {
		if err := CheckName("name", f.Name); err != nil {
			return err
		}
	}
	for _, s := range f.Statuses {
		if !endedStatuses.has(s) {
			return invalid("statuses", "an instance that is %s cannot be purged", s)
		}
	}
	if len(f.Statuses) == 0 {
		f.Statuses = []history.Status{history.Completed, history.Failed, history.Canceled, history.Terminated}
	}
	// Oldest first, and each only once: what is refused stays behind.
	page := Page{Limit: purgesPerUnit, Ascending: true}
	for {
		found, err := p.e.List(ctx, hub, f, page)
		if err != nil {
			return err
		}
		all := make([]doomed, len(found))
		for n, i := range found {
			all[n] = doomed{i.no, i.ID, i.Status}
		}
		if err := p.purge(ctx, all); err != nil {
			return err
		}
		if len(found) < page.Limit {
			return nil
		}
		last := found[len(found)-1]
		page.After = &Position{last.CreatedAt, last.no}
	}
}

// purge deletes instances, with their trees if the purge is recursive.
func (p *purger) purge(ctx context.Context, all []doomed) error {
	all = slices.DeleteFunc(all, func(d doomed) bool {
		if d.status.Live() {
			p.refuse(d.id, &Error{Code: CodeWrongState, Field: "instance", Message: fmt.Sprintf("instance %q is %s: terminate it first", d.id, d.status)})
		}
		return d.status.Live()
	})
	if !p.recursive {
		return p.refuseLost(ctx, all)
	}
	for _, root := range all {
		if err := p.tree(ctx, root); err != nil {
			return err
		}
	}
	return nil
}

// refuseLost deletes instances, and says of those that would not go why.
func (p *purger) refuseLost(ctx context.Context, all []doomed) error {
	kept, err := p.delete(ctx, all)
	if err != nil || len(kept) == 0 {
		return err
	}
	now, err := p.find(ctx, idsOf(kept))
	if err != nil {
		return err
	}
	for _, d := range kept {
		if i, ok := now[d.id]; ok && i.no == d.no && i.status.Live() {
			p.refuse(d.id, &Error{Code: CodeWrongState, Field: "instance", Message: fmt.Sprintf("instance %q is %s again", d.id, i.status)})
		} // else somebody else has purged it
	}
	return nil
}

// tree deletes an instance and what is below it, from the leaves up: whatever stops it, what is left can be reached
// from the root.
func (p *purger) tree(ctx context.Context, root doomed) error {
	levels := [][]doomed{{root}}
	for total := 1; ; {
		below, err := p.children(ctx, levels[len(levels)-1])
		if err != nil {
			return err
		}
		if len(below) == 0 {
			break
		}
		for _, d := range below {
			if d.status.Live() {
				p.refuse(root.id, &Error{
					Code: CodeWrongState, Field: "instance",
					Message: fmt.Sprintf("instance %q has a child %q, which is %s: terminate that first", root.id, d.id, d.status),
				})
				return nil
			}
		}
		if total += len(below); total > maxTree {
			p.refuse(root.id, &Error{Code: CodeTooLarge, Field: "instance", Message: fmt.Sprintf("instance %q has more than %d below it", root.id, maxTree)})
			return nil
		}
		levels = append(levels, below)
	}
	for _, level := range slices.Backward(levels) {
		for part := range slices.Chunk(level, purgesPerUnit) {
			before := p.out.RefusedCount
			if err := p.refuseLost(ctx, part); err != nil {
				return err
			}
			if p.out.RefusedCount > before { // one lives again: those above it stay
				return nil
			}
		}
	}
	return nil
}

func (p *purger) children(ctx context.Context, parents []doomed) ([]doomed, error) {
	var out []doomed
	for part := range slices.Chunk(parents, purgesPerUnit) {
		nos := make([]int64, len(part))
		for i, d := range part {
			nos[i] = d.no
		}
		rows, err := p.e.q.FindChildren(ctx, p.e.pool, nos)
		if err != nil {
			return nil, fmt.Errorf("purge: %w", err)
		}
		for _, row := range rows {
			out = append(out, doomed{row.No, row.ID, statusOf(row.Status)})
		}
	}
	return out, nil
}

// delete deletes instances in one commit, and returns those that were not there or had not ended when it came to that.
func (p *purger) delete(ctx context.Context, all []doomed) (kept []doomed, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	u := &unit{no: all[0].no}
	for _, d := range all {
		u.dropping(purge{no: d.no, mask: endedStatuses})
		p.e.ids.drop(instanceName{p.hub, d.id})
	}
	o, err := p.e.commit(ctx, u)
	if err != nil {
		return nil, err
	}
	gone := make(map[int64]bool, len(o.purged))
	for _, row := range o.purged {
		gone[row.No] = true
	}
	if o.landed { // what could go has gone, and what comes back now has not
		left, err := p.find(ctx, idsOf(all))
		if err != nil {
			return nil, err
		}
		for _, d := range all {
			gone[d.no] = left[d.id].no != d.no
		}
	}
	for _, d := range all {
		if gone[d.no] {
			p.out.Deleted++
		} else {
			kept = append(kept, d)
		}
	}
	return kept, nil
}

// seen is how an instance that had ended was when it was read.
type seen struct {
	no        int64
	seq       int64
	updatedAt time.Time
}

// purgeUnchanged deletes those of a hub's instances that are as they were when they were read, and returns how many: one that
// was restarted since, and has ended again, stays.
func (e *Engine) purgeUnchanged(ctx context.Context, hub int32, all []seen) (int64, error) {
	total := int64(0)
	for part := range slices.Chunk(all, purgesPerUnit) {
		var p store.LockUnchangedParams
		for _, i := range part {
			p.Nos, p.Seqs, p.UpdatedAts = append(p.Nos, i.no), append(p.Seqs, i.seq), append(p.UpdatedAts, i.updatedAt)
		}
		err := pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
			same, err := e.q.LockUnchanged(ctx, tx, p)
			if err != nil {
				return err
			}
			var doom store.PurgeInstancesParams
			for _, row := range same {
				doom.Nos, doom.Masks, doom.Answers = append(doom.Nos, row.No), append(doom.Masks, int32(endedStatuses)), append(doom.Answers, nil)
				e.ids.drop(instanceName{hub, row.ID})
			}
			gone, err := e.q.PurgeInstances(ctx, tx, doom)
			total += int64(len(gone))
			return err
		})
		if err != nil {
			return total, fmt.Errorf("purge what is unchanged: %w", err)
		}
	}
	return total, nil
}
