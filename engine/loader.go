package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// loader reads for sessions, on a connection of its own with pinned plans. Requests that come in while it
// reads are answered together: a thousand sessions that open at once cost a few statements.
type loader struct {
	n     *Node
	conn  *pgx.Conn
	plans int64 // the generation that its plans are for
	reqs  chan loadRequest
	// These are asked of the engine's pool, because they are rare.
	generation func(context.Context, store.ReadGenerationParams) ([]store.ReadGenerationRow, error)
	deleteJob  func(ctx context.Context, id int64) error
}

type loadRequest struct {
	no    int64
	after int64 // >= 0: only the inbox after this id
	reply chan loadReply
}

type loadReply struct {
	row   *store.OpenSessionsRow
	inbox []store.Inbox
	err   error
}

const maxLoads = 500

func newLoader(ctx context.Context, n *Node) (*loader, error) {
	e := n.e
	l := &loader{
		n: n, reqs: make(chan loadRequest, maxLoads),
		generation: func(ctx context.Context, p store.ReadGenerationParams) ([]store.ReadGenerationRow, error) {
			return e.q.ReadGeneration(ctx, e.pool, p)
		},
		deleteJob: func(ctx context.Context, id int64) error { return e.q.DeleteJob(ctx, e.pool, id) },
	}
	var err error
	l.conn, err = n.e.db.Connect(ctx, "loader", store.Pinned())
	return l, err
}

// open reads an instance with its inbox and task rows, in one snapshot.
func (l *loader) open(ctx context.Context, no int64) (*store.OpenSessionsRow, error) {
	r, err := l.ask(ctx, loadRequest{no: no, after: -1})
	return r.row, err
}

// readInbox reads the inbox rows after an id.
func (l *loader) readInbox(ctx context.Context, no, after int64) ([]store.Inbox, error) {
	r, err := l.ask(ctx, loadRequest{no: no, after: after})
	return r.inbox, err
}

func (l *loader) ask(ctx context.Context, req loadRequest) (loadReply, error) {
	req.reply = make(chan loadReply, 1)
	select {
	case l.reqs <- req:
	case <-ctx.Done():
		return loadReply{}, ctx.Err()
	}
	select {
	case r := <-req.reply:
		return r, r.err
	case <-ctx.Done():
		return loadReply{}, ctx.Err()
	}
}

func (l *loader) run(ctx context.Context) error {
	defer func() { _ = l.conn.Close(context.WithoutCancel(ctx)) }()
	var batch []loadRequest
	for {
		batch = batch[:0]
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-l.reqs:
			batch = append(batch, r)
		}
	more:
		for len(batch) < maxLoads {
			select {
			case r := <-l.reqs:
				batch = append(batch, r)
			default:
				break more
			}
		}
		l.answer(ctx, batch)
	}
}

// answer reads what a batch of requests asks for. A lost connection is replaced, and the requests are asked
// again: reading changes nothing.
func (l *loader) answer(ctx context.Context, batch []loadRequest) {
	err := l.read(ctx, batch)
	for err != nil && ctx.Err() == nil && !store.ServerAnswered(err) {
		_ = l.conn.Close(ctx)
		conn, cerr := l.n.e.db.Connect(ctx, "loader", store.Pinned())
		if cerr != nil {
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		l.conn = conn
		err = l.read(ctx, batch)
	}
	if err != nil {
		for _, r := range batch {
			select {
			case r.reply <- loadReply{err: fmt.Errorf("load: %w", err)}:
			default: // answered before the error
			}
		}
	}
}

func (l *loader) read(ctx context.Context, batch []loadRequest) error {
	if now := l.n.e.plans.now(); now != l.plans {
		if err := store.Replan(ctx, l.conn); err != nil {
			return err
		}
		l.plans = now
	}
	var (
		opens   = store.OpenSessionsParams{WorkerNo: l.n.no, Client: l.n.RiverClient()}
		inboxes store.ReadInboxesParams
		q       = l.n.e.q
	)
	for _, r := range batch {
		if r.after < 0 {
			opens.Nos = append(opens.Nos, r.no)
		} else {
			inboxes.Nos, inboxes.Afters = append(inboxes.Nos, r.no), append(inboxes.Afters, r.after)
		}
	}
	rows := map[int64]*store.OpenSessionsRow{}
	if len(opens.Nos) > 0 {
		found, err := q.OpenSessions(ctx, l.conn, opens)
		if err != nil {
			return err
		}
		for i := range found {
			rows[found[i].No] = &found[i]
		}
	}
	inbox := map[int64][]store.Inbox{}
	if len(inboxes.Nos) > 0 {
		found, err := q.ReadInboxes(ctx, l.conn, inboxes)
		if err != nil {
			return err
		}
		for _, row := range found {
			inbox[row.InstanceNo] = append(inbox[row.InstanceNo], row)
		}
	}
	for _, r := range batch {
		if r.after >= 0 {
			r.reply <- loadReply{inbox: inbox[r.no]}
			continue
		}
		row := rows[r.no]
		if row == nil {
			r.reply <- loadReply{err: errors.New("the loader lost a row")}
			continue
		}
		r.reply <- loadReply{row: row}
	}
	return nil
}

// history reads a generation's events, from base to seq. A gap is an error: it would mean a lost commit.
func (l *loader) history(ctx context.Context, no, base, seq int64) ([]history.Event, error) {
	rows, err := l.generation(ctx, store.ReadGenerationParams{No: no, BaseSeq: base, Seq: seq})
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	var (
		events []history.Event
		at     = base - 1
	)
	for _, row := range rows {
		if row.Seq-int64(row.N) != at {
			return nil, fmt.Errorf("read history: events %d to %d are missing", at+1, row.Seq-int64(row.N))
		}
		at = row.Seq
		part, err := history.Decode(row.Codec, row.Events)
		if err != nil {
			return nil, &Held{Kind: "history", Step: -1, Message: err.Error()}
		}
		events = append(events, part...)
	}
	if at != seq {
		return nil, fmt.Errorf("read history: it ends at event %d, the instance is at %d", at, seq)
	}
	return events, l.n.e.fetchValues(ctx, no, events)
}
