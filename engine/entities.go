package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// Entity is an entity as it is read.
type Entity struct {
	Hub string
	ID  EntityID
	// State is absent if the entity has none: it was deleted, or no operation has left one yet.
	State history.Payload
	// Backlog is how many requests wait in its inbox; more than MaxBacklog are not counted.
	Backlog int
	// LockedBy is who has it locked; nil if nobody has.
	LockedBy   *history.EntityLock
	CreatedAt  time.Time
	ModifiedAt time.Time
	// Held is why its turn is held, if it is.
	Held *Held

	no int64
}

// MaxBacklog is how far the requests in an entity's inbox are counted.
const MaxBacklog = 10_000

// Entity reads an entity as it was last committed. Errors: NOT_FOUND (hub, or entity), INVALID_ARGUMENT.
func (e *Engine) Entity(ctx context.Context, hubName string, id EntityID) (*Entity, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if err := CheckEntity("entity", id); err != nil {
		return nil, err
	}
	row, err := e.q.GetEntity(ctx, e.pool, store.GetEntityParams{Hub: hub.no, ID: id.String()})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, &Error{Code: CodeNotFound, Field: "entity", Message: fmt.Sprintf("there is no entity %q", id)}
	}
	if err != nil {
		return nil, fmt.Errorf("get entity: %w", err)
	}
	out, err := e.entity(hub, store.ListEntitiesRow(row))
	if err != nil {
		return nil, err
	}
	return out, e.fetchStates(ctx, []*Entity{out})
}

// EntityFilter selects entities of a hub. Zero fields select everything.
type EntityFilter struct {
	Hub string
	// Name is the entities' name, KeyPrefix what their keys begin with; the latter needs the former.
	Name      string
	KeyPrefix string
	// ModifiedFrom is inclusive, ModifiedTo exclusive.
	ModifiedFrom time.Time
	ModifiedTo   time.Time
	// Locked selects those that somebody has locked.
	Locked bool
	// WithoutState leaves the states out.
	WithoutState bool
	// After is the id of the entity after which the page begins; Limit is at most 1,000.
	After string
	Limit int
}

// Entities lists entities in the order of their ids. Errors: NOT_FOUND (hub), INVALID_ARGUMENT.
func (e *Engine) Entities(ctx context.Context, f EntityFilter) ([]*Entity, error) {
	hub, err := e.hub(ctx, f.Hub)
	if err != nil {
		return nil, err
	}
	switch {
	case f.Limit < 1 || f.Limit > 1000:
		return nil, invalid("limit", "is %d, want 1 to 1000", f.Limit)
	case f.KeyPrefix != "" && f.Name == "":
		return nil, invalid("keyPrefix", "needs the name of the entities")
	case !f.ModifiedFrom.IsZero() && !f.ModifiedTo.IsZero() && !f.ModifiedFrom.Before(f.ModifiedTo):
		return nil, invalid("modifiedTo", "is not after modifiedFrom")
	}
	from := "@"
	if f.Name != "" {
		if err := first(CheckEntity("filter", EntityID{f.Name, "-"}), checkText("keyPrefix", f.KeyPrefix, maxEntityKey, true)); err != nil {
			return nil, err
		}
		from = EntityID{f.Name, f.KeyPrefix}.String()
	}
	if err := checkText("after", f.After, maxEntityName+maxEntityKey+2, true); err != nil {
		return nil, err
	}
	rows, err := e.q.ListEntities(ctx, e.pool, store.ListEntitiesParams{
		Hub: hub.no, After: f.After, FromID: from, ToID: from + "\U0010ffff", ModifiedFrom: nonZero(f.ModifiedFrom), ModifiedTo: nonZero(f.ModifiedTo),
		Locked: f.Locked, MaxRows: int32(f.Limit),
	})
	if err != nil {
		return nil, fmt.Errorf("list entities: %w", err)
	}
	out := make([]*Entity, len(rows))
	for i := range rows {
		if out[i], err = e.entity(hub, rows[i]); err != nil {
			return nil, err
		}
		if f.WithoutState {
			out[i].State = history.Payload{}
		}
	}
	return out, e.fetchStates(ctx, out)
}

func nonZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (e *Engine) entity(hub *Hub, row store.ListEntitiesRow) (*Entity, error) {
	id, err := ParseEntityID("id", row.ID)
	if err != nil {
		return nil, err
	}
	out := &Entity{Hub: hub.Name, ID: id, Backlog: int(row.Backlog), CreatedAt: row.CreatedAt, ModifiedAt: row.UpdatedAt, no: row.No}
	if row.Held != nil {
		out.Held = &Held{}
		if err := json.Unmarshal(row.Held, out.Held); err != nil {
			return nil, fmt.Errorf("read why entity %s is held: %w", id, err)
		}
	}
	if row.Events == nil {
		return out, nil
	}
	events, err := history.Decode(row.Codec, row.Events)
	if err != nil {
		return nil, fmt.Errorf("entity %s: %w", id, err)
	}
	for _, ev := range events {
		if s, ok := ev.(*history.EntityState); ok {
			out.State, out.LockedBy = s.State, s.LockedBy
		}
	}
	return out, nil
}

// fetchStates reads the states that are stored elsewhere, all at once.
func (e *Engine) fetchStates(ctx context.Context, list []*Entity) error {
	var ids []int64
	for _, x := range list {
		if id, stored := x.State.Stored(); stored {
			ids = append(ids, id)
		}
	}
	found, err := e.readPayloads(ctx, ids)
	if err != nil {
		return err
	}
	for _, x := range list {
		if id, stored := x.State.Stored(); stored {
			x.State = x.State.WithData(found[id].Data)
		}
	}
	return nil
}

// ReleaseEntityLock takes an entity's lock from whoever holds it, which lets others' operations go on in the midst of its
// critical section. Errors: NOT_FOUND (hub, or entity), FAILED_PRECONDITION when it is not locked.
func (e *Engine) ReleaseEntityLock(ctx context.Context, hubName string, id EntityID) error {
	x, err := e.Entity(ctx, hubName, id)
	if err != nil {
		return err
	}
	if x.LockedBy == nil {
		return &Error{Code: CodeWrongState, Field: "entity", Message: fmt.Sprintf("entity %q is not locked", id)}
	}
	return e.unlockFor(ctx, x.no, x.LockedBy.Requester)
}

// unlockFor unlocks an entity in the name of its holder.
func (e *Engine) unlockFor(ctx context.Context, no int64, holder history.Requester) error {
	payload, err := history.Encode([]history.Event{&history.EntityRequest{Header: history.Header{At: time.Now().UTC()}, Unlock: true, From: &holder}})
	if err != nil {
		return err
	}
	_, err = e.commit(ctx, &unit{no: no, messages: []message{{no: no, gen: -1, kind: msgHolder, payload: payload}}})
	return err
}

// EntityCleanUp tells what a clean-up did.
type EntityCleanUp struct {
	Removed  int // entities that were empty
	Released int // locks whose holder has ended
}

// emptyFor is how long an entity without a state is left alone before it is removed by itself.
const emptyFor = 10 * time.Minute

// CleanEntities removes entities that have no state and nothing to do, and releases locks whose holder has ended. Both
// happen by themselves too, a little later. Errors: NOT_FOUND (hub).
func (e *Engine) CleanEntities(ctx context.Context, hubName string) (EntityCleanUp, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return EntityCleanUp{}, err
	}
	released, err := e.releaseOrphans(ctx)
	if err != nil {
		return EntityCleanUp{}, err
	}
	removed, err := e.removeEmpty(ctx, hub.no, 0)
	return EntityCleanUp{Removed: removed, Released: released}, err
}

// removeEmpty removes entities that have been empty for a while, some at a time.
func (e *Engine) removeEmpty(ctx context.Context, hub int32, idle time.Duration) (removed int, err error) {
	const chunk = 200
	for after := int64(0); ; {
		rows, err := e.q.FindEmptyEntities(ctx, e.pool, store.FindEmptyEntitiesParams{Hub: hub, After: after, Idle: idle.Seconds(), MaxRows: chunk})
		if err != nil {
			return removed, fmt.Errorf("find empty entities: %w", err)
		}
		if len(rows) == 0 {
			return removed, nil
		}
		nos := make([]int64, len(rows))
		for i, row := range rows {
			nos[i], after = row.No, row.No
		}
		err = pgx.BeginFunc(ctx, e.pool, func(tx pgx.Tx) error {
			free, err := e.q.LockFreeInstances(ctx, tx, nos)
			if err != nil {
				return err
			}
			gone, err := e.q.RemoveEntities(ctx, tx, store.RemoveEntitiesParams{Nos: free, Idle: idle.Seconds()})
			removed += len(gone)
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("remove empty entities: %w", err)
		}
		if len(rows) < chunk {
			return removed, nil
		}
	}
}

// releaseOrphans unlocks entities whose holder has ended, is gone, or has begun another generation.
func (e *Engine) releaseOrphans(ctx context.Context) (int, error) {
	rows, err := e.q.FindOrphanLocks(ctx, e.pool)
	if err != nil {
		return 0, fmt.Errorf("find orphan locks: %w", err)
	}
	for _, row := range rows {
		if err := e.unlockFor(ctx, row.EntityNo, history.Requester{No: row.HolderNo, Gen: row.HolderGen, TaskID: -1}); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// tidyEntities is what a leader does about entities now and then.
func (n *Node) tidyEntities(ctx context.Context) error {
	e := n.e
	err := errors.Join(e.q.ForgetReplies(ctx, e.pool), e.q.ForgetEntityLocks(ctx, e.pool))
	for hub := int32(0); ; {
		no, herr := e.q.NextHub(ctx, e.pool, hub)
		if herr != nil || no == 0 {
			return errors.Join(err, herr)
		}
		_, rerr := e.removeEmpty(ctx, no, emptyFor)
		err, hub = errors.Join(err, rerr), no
	}
}

// holders tells who has which of the entities locked, by their ids.
func (e *Engine) holders(ctx context.Context, hub int32, ids []string) (map[string]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := e.q.FindHolders(ctx, e.pool, store.FindHoldersParams{Hub: hub, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("find who holds the entities: %w", err)
	}
	out := make(map[string]string, len(rows))
	for _, row := range rows {
		out[row.Entity] = row.Holder
	}
	return out, nil
}
