package engine

import (
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// entityParts are what a unit has to do with entities, beside the instance's turn.
type entityParts struct {
	lockedFor *history.Requester // the entity is locked from this commit on
	unlocked  bool               // it is not locked any more
	replies   []reply            // to clients
}

// reply is an answer to a client's call.
type reply struct {
	key     string
	payload []byte
}

// addEntity puts the parts into a batch.
func (u *unit) addEntity(b *store.Batch) {
	if u.lockedFor != nil {
		t := &b.Entities.Locks
		t.Nos, t.Holders, t.Gens = append(t.Nos, u.no), append(t.Holders, u.lockedFor.No), append(t.Gens, u.lockedFor.Gen)
	}
	if u.unlocked {
		b.Entities.Unlocks = append(b.Entities.Unlocks, u.no)
	}
	for _, r := range u.replies {
		t := &b.Entities.Replies
		t.Nos, t.Keys, t.Payloads = append(t.Nos, u.no), append(t.Keys, r.key), append(t.Payloads, r.payload)
	}
}
