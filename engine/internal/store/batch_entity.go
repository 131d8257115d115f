package store

import "context"

// EntityBatch is the part of a batch that only entities have.
type EntityBatch struct {
	Locks   LockEntitiesParams
	Unlocks []int64
	Replies InsertRepliesParams
}

// queueEffects queues B7.
func (e *EntityBatch) queueEffects(ctx context.Context, s *sending) {
	if len(e.Unlocks) > 0 {
		do(s.q.UnlockEntities(ctx, s.db, e.Unlocks))
	}
	if len(e.Locks.Nos) > 0 {
		do(s.q.LockEntities(ctx, s.db, e.Locks))
	}
	if len(e.Replies.Nos) > 0 {
		do(s.q.InsertReplies(ctx, s.db, e.Replies))
	}
}
