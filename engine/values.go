package engine

import (
	"context"
	"fmt"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// inlineLimit is the largest value that is stored in place: in a history row, a message, an instance's row.
// Larger ones go to a table of their own, before the commit that refers to them, so that batches stay small
// enough for socket buffers.
const inlineLimit = 64 << 10

// externalize gives the large values among events numbers of their own; the caller has them written before the
// commit. Values stored already keep their number.
func (e *Engine) externalize(ctx context.Context, no int64, events []history.Event) ([]largePayload, error) {
	var (
		large  []largePayload
		failed error
	)
	for _, ev := range events {
		history.EachValue(ev, func(v *history.Payload) {
			if _, stored := v.Stored(); stored || len(v.Data()) <= inlineLimit || failed != nil {
				return
			}
			id, err := e.payloadIDs.one(ctx)
			if err != nil {
				failed = fmt.Errorf("store large value: %w", err)
				return
			}
			*v = v.WithRef(id)
			large = append(large, largePayload{id, no, v.Data()})
		})
	}
	return large, failed
}

// storedValues lists the values among events that are stored elsewhere.
func storedValues(events []history.Event) (ids []int64) {
	for _, ev := range events {
		history.EachValue(ev, func(v *history.Payload) {
			if id, stored := v.Stored(); stored {
				ids = append(ids, id)
			}
		})
	}
	return ids
}

// externalizeCopy is externalize for one value that is to belong to another instance, wherever it is stored
// now.
func (e *Engine) externalizeCopy(ctx context.Context, no int64, v history.Payload) (history.Payload, []largePayload, error) {
	if len(v.Data()) <= inlineLimit {
		return v, nil, nil
	}
	v, large, err := e.elsewhere(ctx, no, v)
	return v, []largePayload{large}, err
}

// elsewhere gives a value a number of its own, however large it is.
func (e *Engine) elsewhere(ctx context.Context, no int64, v history.Payload) (history.Payload, largePayload, error) {
	id, err := e.payloadIDs.one(ctx)
	if err != nil {
		return v, largePayload{}, fmt.Errorf("store large value: %w", err)
	}
	return v.WithRef(id), largePayload{id, no, v.Data()}, nil
}

// fetchValues reads the values that are stored elsewhere into the events. no is the instance that the events
// belong to; a value that belongs to another one loses its number, and is stored anew with this one.
func (e *Engine) fetchValues(ctx context.Context, no int64, events []history.Event) error {
	var ids []int64
	for _, ev := range events {
		history.EachValue(ev, func(v *history.Payload) {
			if id, stored := v.Stored(); stored && v.Data() == nil {
				ids = append(ids, id)
			}
		})
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := e.readPayloads(ctx, ids)
	if err != nil {
		return err
	}
	var missing *Held
	for _, ev := range events {
		history.EachValue(ev, func(v *history.Payload) {
			id, stored := v.Stored()
			if !stored || v.Data() != nil {
				return
			}
			row, ok := found[id]
			if !ok {
				missing = &Held{Kind: "history", Step: -1, Message: fmt.Sprintf("the value %d of a %s event is gone", id, history.TypeName(ev))}
				return
			}
			*v = v.WithData(row.Data)
			if row.InstanceNo != no {
				*v = v.WithRef(0)
			}
		})
	}
	if missing != nil {
		return missing
	}
	return nil
}

func (e *Engine) readPayloads(ctx context.Context, ids []int64) (map[int64]store.ReadPayloadsRow, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := e.q.ReadPayloads(ctx, e.pool, ids)
	if err != nil {
		return nil, fmt.Errorf("read large values: %w", err)
	}
	out := make(map[int64]store.ReadPayloadsRow, len(rows))
	for _, row := range rows {
		if row.Data == nil {
			row.Data = []byte{}
		}
		out[row.ID] = row
	}
	return out, nil
}

// value makes a payload of a column and its reference, and reads the latter.
func (e *Engine) value(ctx context.Context, inline []byte, ref *int64) (history.Payload, error) {
	if ref == nil || *ref == 0 {
		if inline == nil {
			return history.Payload{}, nil
		}
		return history.Bytes(inline), nil
	}
	found, err := e.readPayloads(ctx, []int64{*ref})
	if err != nil {
		return history.Payload{}, err
	}
	row, ok := found[*ref]
	if !ok {
		return history.Payload{}, fmt.Errorf("read large value %d: %w", *ref, ErrNotFound)
	}
	return history.Bytes(row.Data).WithRef(*ref), nil
}

// checkPayload refuses values over the limit.
func (e *Engine) checkPayload(field string, v history.Payload) error {
	if v.Size() > e.cfg.PayloadLimit {
		return &Error{
			Code: CodeTooLarge, Field: field,
			Message: fmt.Sprintf("has %d bytes, the limit is %d", v.Size(), e.cfg.PayloadLimit),
		}
	}
	return nil
}
