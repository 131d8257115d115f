package durable

import (
	"context"
	"time"

	"github.com/weir-dev/weir/engine"
)

// Purge says which instances Client.Purge deletes: IDs, or everything that has ended and that the other fields select.
type Purge struct {
	// IDs are instance ids, at most 500.
	IDs []string
	// Statuses are final ones, as State has them; empty means any of them.
	Statuses []string
	// Name is the orchestration's.
	Name string
	// CreatedFrom and CreatedTo select by when an instance was started, CompletedFrom and CompletedTo by when it
	// ended: at that time or later, and before that time.
	CreatedFrom, CreatedTo     time.Time
	CompletedFrom, CompletedTo time.Time
	// Tags selects instances that have all of these.
	Tags Tags
	// Recursive deletes children too, and theirs.
	Recursive bool
}

// Purged is what a purge has done.
type Purged struct {
	// Deleted counts instances, children among them.
	Deleted int
	// Refused are instances that could not be deleted, with ErrNotFound, or with ErrWrongState: they, or a child
	// that would have to go with them, are live. At most 100 are listed; RefusedCount counts all.
	Refused      map[string]error
	RefusedCount int
	// Complete is false when the context ended before all was done. What was done stays done; the same call goes on.
	Complete bool
}

// Purge deletes instances that have ended, with everything that belongs to them: history, values, tags. A hundred go in
// a commit, so that nobody waits long. It needs no worker. Errors: ErrInvalid.
func (c *Client) Purge(ctx context.Context, p Purge) (Purged, error) {
	e, err := c.engine(ctx)
	if err != nil {
		return Purged{}, err
	}
	r := engine.PurgeRequest{Hub: c.hub, IDs: p.IDs, Recursive: p.Recursive, Filter: engine.Filter{
		Name: p.Name, CreatedFrom: p.CreatedFrom, CreatedTo: p.CreatedTo, CompletedFrom: p.CompletedFrom, CompletedTo: p.CompletedTo, Tags: p.Tags,
	}}
	for _, name := range p.Statuses {
		s, err := statusNamed("statuses", name)
		if err != nil {
			return Purged{}, err
		}
		r.Filter.Statuses = append(r.Filter.Statuses, s)
	}
	if p.IDs != nil && (len(p.Statuses) > 0 || p.Name != "" || len(p.Tags) > 0 ||
		!p.CreatedFrom.IsZero() || !p.CreatedTo.IsZero() || !p.CompletedFrom.IsZero() || !p.CompletedTo.IsZero()) {
		return Purged{}, &engine.Error{Code: engine.CodeInvalid, Field: "ids", Message: "exclude other conditions"}
	}
	done, err := e.Purge(ctx, r)
	out := Purged{Deleted: done.Deleted, RefusedCount: done.RefusedCount, Complete: done.Complete, Refused: map[string]error{}}
	for _, refused := range done.Refused {
		out.Refused[refused.ID] = refused.Err
	}
	return out, err
}
