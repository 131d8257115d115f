// Package check tests what must be true of a Weir database, whatever has happened to the processes that work on
// it.
package check

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine/history"
)

// Always returns what is wrong although it must be right at every moment: what has ended holds nothing, nothing
// outlives its instance, a turn job that an instance names exists.
func Always(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	return look(ctx, pool, []question{
		{"instance %s has ended and still has an owner or a turn job", `
			SELECT id FROM weir.instances WHERE outcome <> 100 AND (owner IS NOT NULL OR turn_job IS NOT NULL)`},
		{"instance %s names a turn job that is not there", `
			SELECT i.id FROM weir.instances i WHERE i.turn_job IS NOT NULL AND NOT EXISTS (
				SELECT 1 FROM river.river_job j WHERE j.id = i.turn_job AND j.finalized_at IS NULL)`},
		{"instance %s has an owner and no turn job", `
			SELECT id FROM weir.instances WHERE owner IS NOT NULL AND turn_job IS NULL`},
		{"instance %s is suspended by nobody, or not suspended by somebody", `
			SELECT id FROM weir.instances WHERE (status = 7) <> (suspended IS NOT NULL)`},
		{"a message is left of instance %s", `
			SELECT b.instance_no::text FROM weir.inbox b LEFT JOIN weir.instances i ON i.no = b.instance_no WHERE i.outcome <> 100 OR i.no IS NULL`},
		{"a timer is left of instance %s", `
			SELECT t.instance_no::text FROM weir.timers t LEFT JOIN weir.instances i ON i.no = t.instance_no WHERE i.outcome <> 100 OR i.no IS NULL`},
		{"job %s is left of a task whose instance has ended, or is in another generation", `
			SELECT j.id || ' (' || j.kind || ', ' || j.state || ')' FROM river.river_job j
			LEFT JOIN weir.instances i ON i.no = ('x' || encode(substr(j.unique_key, 1, 8), 'hex'))::bit(64)::bigint
			WHERE octet_length(j.unique_key) = 16 AND j.finalized_at IS NULL AND (i.outcome <> 100 OR i.no IS NULL
				OR i.gen <> ('x' || encode(substr(j.unique_key, 9, 4), 'hex'))::bit(32)::integer)`},
		{"history is left of instance %s", `
			SELECT DISTINCT h.instance_no::text FROM weir.history h WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = h.instance_no)`},
		{"progress is left of instance %s", `
			SELECT DISTINCT p.instance_no::text FROM weir.progress p WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = p.instance_no)`},
		{"the progress of instance %s has gaps", `
			SELECT p.instance_no::text FROM weir.progress p GROUP BY p.instance_no HAVING max(p.seq) <> count(*)`},
		{"an event's key is left of instance %s", `
			SELECT DISTINCT k.instance_no::text FROM weir.event_keys k WHERE NOT EXISTS (SELECT 1 FROM weir.instances i WHERE i.no = k.instance_no)`},
	})
}

// Left returns what is still to be done. Once all instances have ended, that becomes nothing.
func Left(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	return look(ctx, pool, []question{
		{"instance %s has not ended", `SELECT id || ' (' || name || ')' FROM weir.instances WHERE outcome IS NULL`},
		{"job %s is left", `SELECT id || ' (' || kind || ', ' || state || ')' FROM river.river_job WHERE finalized_at IS NULL`},
		{"the outbox still holds an event for %s", `SELECT target FROM weir.outbox`},
		{"a message is left of instance %s", `SELECT instance_no::text FROM weir.inbox`},
		{"a timer is left of instance %s", `SELECT instance_no::text FROM weir.timers`},
	})
}

type question struct{ fault, sql string }

// look asks the questions in one snapshot.
func look(ctx context.Context, pool *pgxpool.Pool, questions []question) ([]string, error) {
	var faults []string
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, q := range questions {
			rows, err := tx.Query(ctx, q.sql+" LIMIT 5")
			if err != nil {
				return err
			}
			found, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			for _, f := range found {
				faults = append(faults, fmt.Sprintf(q.fault, f))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("check database: %w", err)
	}
	return faults, nil
}

// Histories returns what is wrong with the histories in the database. Each is what the protocol promises: its rows
// follow each other without a gap and end where the instance says; decisions are numbered from 0 in each
// generation; every decision has at most one answer, after it; and exactly those instances that have ended carry an
// end, as their last event. It also returns the number of events read.
func Histories(ctx context.Context, pool *pgxpool.Pool) (events int, faults []string, err error) {
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		events, faults, err = histories(ctx, tx)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("check histories: %w", err)
	}
	return events, faults, nil
}

func histories(ctx context.Context, tx pgx.Tx) (total int, faults []string, err error) {
	type instance struct {
		no, seq int64
		base    int64
		id      string
		status  int16
	}
	rows, err := tx.Query(ctx, "SELECT no, seq, base_seq, id, status FROM weir.instances WHERE outcome IS DISTINCT FROM 100 ORDER BY no")
	if err != nil {
		return 0, nil, err
	}
	instances, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (i instance, err error) {
		return i, row.Scan(&i.no, &i.seq, &i.base, &i.id, &i.status)
	})
	if err != nil {
		return 0, nil, err
	}
	for _, i := range instances {
		rows, err := tx.Query(ctx, "SELECT seq, n, codec, events FROM weir.history WHERE instance_no = $1 ORDER BY seq", i.no)
		if err != nil {
			return 0, nil, err
		}
		var r history.Follower
		var (
			seq    int64
			n      int32
			codec  int16
			events []byte
		)
		_, err = pgx.ForEachRow(rows, []any{&seq, &n, &codec, &events}, func() error {
			decoded, err := history.Decode(codec, events)
			if err == nil {
				r.Row(seq, n, decoded)
			}
			return err
		})
		if err != nil {
			return 0, nil, fmt.Errorf("instance %s: %w", i.id, err)
		}
		r.Close(i.seq, i.base, history.Status(i.status))
		for _, fault := range r.Faults {
			faults = append(faults, fmt.Sprintf("instance %s: %s", i.id, fault.Text))
		}
		total += r.Events
	}
	return total, faults, nil
}
