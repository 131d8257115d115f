package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Pipeline sends queued statements with one Sync: one round trip, one implicit transaction. It is what pgx's Batch
// is, with memory that stays: a lane sends hundreds of batches a second, of up to 256 KB each, and pgx grows its
// buffers anew for each, which was a quarter of all that a worker allocated. Statements are prepared once on the
// connection. Not safe for concurrent use.
type Pipeline struct {
	conn     *pgx.Conn
	prepared map[string]*statement // by SQL
	named    int                   // statements prepared so far
	plans    int64                 // the generation of the tables' sizes that the plans are for

	queue  []queued
	args   []byte   // of all queued statements, encoded
	bounds []bound  // of each argument in args
	values [][]byte // of the statement being sent
	buffer reserve
}

type statement struct {
	*pgconn.StatementDescription
	params, results []int16 // formats
}

type queued struct {
	statement *statement
	bounds    [2]int // in Pipeline.bounds
	read      func(pgx.Rows) error
}

type bound struct{ from, to int } // from < 0: null

// NewPipeline makes a Pipeline on a connection, which it does not own.
func NewPipeline(conn *pgx.Conn) *Pipeline {
	return &Pipeline{conn: conn, prepared: map[string]*statement{}}
}

// add queues a statement. Its rows go to read when the pipeline has run; nil drops them.
func (p *Pipeline) add(ctx context.Context, sql string, args []any, read func(pgx.Rows) error) error {
	s := p.prepared[sql]
	if s == nil {
		var err error
		if s, err = p.prepare(ctx, sql); err != nil {
			return err
		}
	}
	if len(args) != len(s.ParamOIDs) {
		return fmt.Errorf("statement %s has %d parameters, %d are given", s.Name, len(s.ParamOIDs), len(args))
	}
	q := queued{statement: s, read: read}
	q.bounds[0] = len(p.bounds)
	types := p.conn.TypeMap()
	for i, arg := range args {
		from := len(p.args)
		out, err := types.Encode(s.ParamOIDs[i], s.params[i], arg, p.args)
		if err != nil {
			return fmt.Errorf("encode parameter %d of statement %s: %w", i+1, s.Name, err)
		}
		if out == nil {
			p.bounds = append(p.bounds, bound{from: -1})
			continue
		}
		p.args = out
		p.bounds = append(p.bounds, bound{from, len(out)})
	}
	q.bounds[1] = len(p.bounds)
	p.queue = append(p.queue, q)
	return nil
}

func (p *Pipeline) prepare(ctx context.Context, sql string) (*statement, error) {
	p.named++
	d, err := p.conn.Prepare(ctx, fmt.Sprintf("weir_%d", p.named), sql)
	if err != nil {
		return nil, err
	}
	s := &statement{StatementDescription: d, params: make([]int16, len(d.ParamOIDs)), results: make([]int16, len(d.Fields))}
	types := p.conn.TypeMap()
	for i, oid := range d.ParamOIDs {
		s.params[i] = types.FormatCodeForOID(oid)
	}
	for i := range d.Fields {
		s.results[i] = types.FormatCodeForOID(d.Fields[i].DataTypeOID)
	}
	p.prepared[sql] = s
	return s, nil
}

// ReplanFor has the statements planned anew if their plans were made for another generation of the tables' sizes.
func (p *Pipeline) ReplanFor(ctx context.Context, generation int64) error {
	if p.plans == generation {
		return nil
	}
	if err := Replan(ctx, p.conn); err != nil {
		return err
	}
	p.plans = generation
	return nil
}

// Replan forgets the plans of a connection's prepared statements.
func Replan(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "DISCARD PLANS")
	return err
}

// forget makes the statements be prepared anew, after the tables under them have changed.
func (p *Pipeline) forget() { p.prepared = map[string]*statement{} }

// reset forgets what is queued. Memory that one large batch has needed is given back.
func (p *Pipeline) reset() {
	p.queue, p.bounds, p.args = p.queue[:0], p.bounds[:0], p.args[:0]
	clear(p.values[:cap(p.values)])
	if cap(p.args) > keepBytes {
		p.args = nil
	}
	if cap(p.buffer.bytes) > keepBytes {
		p.buffer.bytes = nil
	}
}

// keepBytes is the largest buffer that is kept between batches: twice what a batch may have.
const keepBytes = 512 << 10

// run sends what is queued and reads all answers. The error is the first statement's that failed; then nothing
// was applied, unless ServerAnswered says that this cannot be known.
func (p *Pipeline) run(ctx context.Context) (err error) {
	pipeline := p.conn.PgConn().StartPipeline(ctx)
	defer func() {
		if e := pipeline.Close(); err == nil {
			err = e
		}
	}()
	p.buffer.size = len(p.args) + 200*len(p.queue)
	p.conn.PgConn().Frontend().Send(&p.buffer)
	for i := range p.queue {
		q := &p.queue[i]
		p.values = p.values[:0]
		for _, b := range p.bounds[q.bounds[0]:q.bounds[1]] {
			var value []byte
			if b.from >= 0 {
				value = p.args[b.from:b.to]
			}
			p.values = append(p.values, value)
		}
		pipeline.SendQueryStatement(q.statement.StatementDescription, p.values, q.statement.params, q.statement.results)
	}
	if err := pipeline.Sync(); err != nil {
		return err
	}
	for i := range p.queue {
		answer, err := pipeline.GetResults()
		if err != nil {
			return err
		}
		reader, ok := answer.(*pgconn.ResultReader)
		if !ok {
			return fmt.Errorf("statement %s: unexpected answer %T", p.queue[i].statement.Name, answer)
		}
		if err := p.read(reader, p.queue[i].read); err != nil {
			return err
		}
	}
	answer, err := pipeline.GetResults()
	if _, ok := answer.(*pgconn.PipelineSync); err == nil && !ok {
		err = fmt.Errorf("end of a batch: unexpected answer %T", answer)
	}
	return err
}

func (p *Pipeline) read(reader *pgconn.ResultReader, read func(pgx.Rows) error) error {
	if read == nil {
		_, err := reader.Close()
		return err
	}
	rows := pgx.RowsFromResultReader(p.conn.TypeMap(), reader)
	err := read(rows)
	rows.Close()
	return errors.Join(err, rows.Err())
}

// reserve is a message of no bytes that makes room in the driver's send buffer, which otherwise starts at 1 KB
// for each batch and is copied each time it grows. It lends memory that is used again: the driver lets go of it
// when it has sent the batch.
type reserve struct {
	size  int
	bytes []byte
}

// Frontend implements pgproto3.FrontendMessage.
func (*reserve) Frontend() {}

// Decode implements pgproto3.Message.
func (*reserve) Decode([]byte) error { return errors.ErrUnsupported }

// Encode implements pgproto3.Message.
func (r *reserve) Encode(buf []byte) ([]byte, error) {
	if cap(r.bytes) < len(buf)+r.size {
		r.bytes = make([]byte, 0, len(buf)+r.size)
	}
	return append(r.bytes[:0], buf...), nil
}

var _ pgproto3.FrontendMessage = (*reserve)(nil)
