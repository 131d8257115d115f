package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/internal/store"
)

// link is how a lane reaches the database: a connection of its own, or the store of a simulation.
type link interface { //nolint:interfacebloat // all that a lane asks of the database, and no more
	// connect makes the connection, instead of the one before if that is broken.
	connect(ctx context.Context) error
	// enter enters the lane in the database.
	enter(ctx context.Context, l *lane) error
	// takeOver ends the backend of the connection before, waits for its batch if that is in flight, makes the lane this
	// connection's under a new incarnation, and returns the number of the last batch that has landed. Errors:
	// pgx.ErrNoRows when the lane is not ours any more.
	takeOver(ctx context.Context, l *lane) (last int64, err error)
	close(ctx context.Context)
	// watched is what of the feed is watched, for those who ask the database.
	watched(ctx context.Context, ask func(context.Context, *pgx.Conn) watch) watch
	putLarge(ctx context.Context, p store.InsertPayloadsParams) error
	// commit runs a batch, with plans of the given generation.
	commit(ctx context.Context, b *store.Batch, plans int64) (*store.Result, error)
	fences(ctx context.Context, nos []int64) ([]store.ReadFencesRow, error)
	taken(ctx context.Context, p store.FindInstancesParams) ([]store.FindInstancesRow, error)
	scheduleSeqs(ctx context.Context, nos []int64) ([]store.ReadScheduleSeqsRow, error)
	unlocked(ctx context.Context, nos []int64) ([]int64, error)
}

// pgLink is the link to Postgres.
type pgLink struct {
	db       *store.DB
	q        *store.Queries
	name     string
	conn     *pgx.Conn
	pipeline *store.Pipeline // on conn
	pid      int32
	start    time.Time
	// The backend of the connection before.
	oldPid   int32
	oldStart time.Time
}

func (p *pgLink) connect(ctx context.Context) error {
	conn, err := p.db.Connect(ctx, p.name, store.Pinned())
	if err != nil {
		return err
	}
	pid, start, err := store.BackendOf(ctx, conn)
	if err != nil {
		_ = conn.Close(ctx)
		return err
	}
	p.conn, p.pid, p.start = conn, pid, start
	p.pipeline = store.NewPipeline(conn)
	return nil
}

func (p *pgLink) enter(ctx context.Context, l *lane) error {
	err := p.q.InsertLane(ctx, p.conn, store.InsertLaneParams{WorkerNo: l.no, Lane: l.index, Pid: p.pid, BackendStart: p.start})
	if err != nil {
		return fmt.Errorf("register lane: %w", err)
	}
	p.oldPid, p.oldStart = p.pid, p.start
	return nil
}

func (p *pgLink) takeOver(ctx context.Context, l *lane) (last int64, err error) {
	if err := store.TerminateBackend(ctx, p.conn, p.oldPid, p.oldStart); err != nil {
		return 0, err
	}
	last, err = p.q.TakeOverLane(ctx, p.conn, store.TakeOverLaneParams{
		WorkerNo: l.no, Lane: l.index, Inc: l.inc, Pid: p.pid, BackendStart: p.start,
	})
	if err != nil {
		return 0, err
	}
	p.oldPid, p.oldStart = p.pid, p.start
	return last, nil
}

func (p *pgLink) close(ctx context.Context) {
	if p.conn != nil {
		_ = p.conn.Close(ctx)
	}
}

func (p *pgLink) watched(ctx context.Context, ask func(context.Context, *pgx.Conn) watch) watch {
	return ask(ctx, p.conn)
}

func (p *pgLink) putLarge(ctx context.Context, large store.InsertPayloadsParams) error {
	return p.q.InsertPayloads(ctx, p.conn, large)
}

func (p *pgLink) commit(ctx context.Context, b *store.Batch, plans int64) (*store.Result, error) {
	if err := p.pipeline.ReplanFor(ctx, plans); err != nil {
		return nil, err
	}
	return b.Run(ctx, p.pipeline)
}

func (p *pgLink) fences(ctx context.Context, nos []int64) ([]store.ReadFencesRow, error) {
	return p.q.ReadFences(ctx, p.conn, nos)
}

func (p *pgLink) taken(ctx context.Context, params store.FindInstancesParams) ([]store.FindInstancesRow, error) {
	return p.q.FindInstances(ctx, p.conn, params)
}

func (p *pgLink) scheduleSeqs(ctx context.Context, nos []int64) ([]store.ReadScheduleSeqsRow, error) {
	return p.q.ReadScheduleSeqs(ctx, p.conn, nos)
}

func (p *pgLink) unlocked(ctx context.Context, nos []int64) ([]int64, error) {
	return p.q.FindUnlocked(ctx, p.conn, nos)
}
