package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// holdsToken tells whether a token is still there, once those that hold its row have ended.
func (e *Engine) holdsToken(ctx context.Context, conn *pgx.Conn, token int64) (bool, error) {
	var id int64
	err := conn.QueryRow(ctx, "SELECT id FROM "+pgx.Identifier{e.db.RiverSchema, "river_job"}.Sanitize()+" WHERE id = $1 FOR UPDATE", token).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// finishTx is Task.FinishTx.
func (e *Engine) finishTx(ctx context.Context, tx pgx.Tx, t *Task, output history.Payload) error {
	now := t.node.clock.now()
	a := t.attempt
	answer := a.outcome(Result{Output: output}, now)
	if failed, ok := answer.(*history.TaskFailed); ok {
		return failed.Failure
	}
	events := []history.Event{answer}
	large, err := e.externalize(ctx, t.key.no, events)
	if err != nil {
		return err
	}
	payload, err := history.Encode(events)
	if err != nil {
		return err
	}
	var (
		batch pgx.Batch
		owner *int32
	)
	for _, p := range large {
		batch.Queue("INSERT INTO "+e.table("payloads")+" (id, instance_no, data) VALUES ($1, $2, $3)", p.id, p.no, p.data)
	}
	batch.Queue("SELECT "+e.table("finish_task")+"($1, $2, $3, $4, $5, $6, $7)",
		a.row(), t.key.no, t.key.gen, t.key.task, payload, t.node.no, e.db.RiverChannel()).QueryRow(func(row pgx.Row) error {
		return row.Scan(&owner)
	})
	batch.Queue("COMMIT")
	a.setCommitting(true)
	if err := tx.Conn().SendBatch(ctx, &batch).Close(); err != nil {
		a.setCommitting(false)
		_ = tx.Rollback(ctx)
		if store.Code(err) == store.CodeNoToken {
			return ErrNoToken
		}
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
