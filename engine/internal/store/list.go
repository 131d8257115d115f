package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// ListFilter selects instances of a hub. Zero fields select everything.
type ListFilter struct {
	Hub         int32
	Live        []int16 // statuses of live instances
	Ended       []int16 // statuses of ended ones
	Name        string
	IDPrefix    string
	CreatedFrom time.Time // inclusive
	CreatedTo   time.Time // exclusive
	Parent      int64
	RootsOnly   bool
	Nos         []int64
	// The page: at most Limit rows after (or, backwards, before) a key, newest first unless Ascending.
	Limit     int
	AfterAt   time.Time
	AfterNo   int64
	Ascending bool
}

// ListRow is an instance as lists show it: no input, no output.
type ListRow struct {
	No           int64
	ID           string
	Name         string
	Version      *string
	Status       int16
	Seq          int64
	BaseSeq      int64
	Gen          int32
	CreatedAt    time.Time
	UpdatedAt    time.Time
	StartedAt    *time.Time
	CompletedAt  *time.Time
	ScheduledAt  *time.Time
	ParentNo     *int64
	CustomStatus []byte
	Waiting      []byte
	Held         []byte
	Failure      []byte
	TurnState    string
	Owner        *int32
}

// conditions writes the filter as SQL.
func (f *ListFilter) conditions() (where string, args []any) {
	var parts []string
	cond := func(sql string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			sql = strings.Replace(sql, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		parts = append(parts, sql)
	}
	cond("i.hub = ?", f.Hub)
	switch {
	case len(f.Ended) > 0 && len(f.Live) > 0:
		cond("(i.outcome = ANY(?) OR (i.outcome IS NULL AND i.status = ANY(?)))", f.Ended, f.Live)
	case len(f.Ended) > 0:
		cond("i.outcome = ANY(?)", f.Ended)
	case len(f.Live) > 0:
		cond("i.outcome IS NULL AND i.status = ANY(?)", f.Live)
	}
	if f.Name != "" {
		cond("i.name = ?", f.Name)
	}
	if f.IDPrefix != "" {
		cond("i.id >= ? AND i.id < ?", f.IDPrefix, f.IDPrefix+"\x7f") // ids are printable ASCII
	}
	if !f.CreatedFrom.IsZero() {
		cond("i.created_at >= ?", f.CreatedFrom)
	}
	if !f.CreatedTo.IsZero() {
		cond("i.created_at < ?", f.CreatedTo)
	}
	if f.Parent != 0 {
		cond("i.parent_no = ?", f.Parent)
	}
	if f.RootsOnly {
		cond("i.parent_no IS NULL")
	}
	if f.Nos != nil {
		cond("i.no = ANY(?)", f.Nos)
	}
	if f.AfterNo != 0 {
		than := "<"
		if f.Ascending {
			than = ">"
		}
		cond("(i.created_at, i.no) "+than+" (?, ?)", f.AfterAt, f.AfterNo)
	}
	return strings.Join(parts, " AND "), args
}

// List reads a page of instances. It is the one statement that is put together at run time, because a fixed
// one with optional conditions would have one plan for all of them. Each form is served by an index:
// instances_outcome for ended statuses, instances_name for a name, instances_id for an id prefix, else
// instances_created; the page stops at Limit.
func (q *Queries) List(ctx context.Context, db DBTX, f ListFilter) ([]ListRow, error) {
	where, args := f.conditions()
	order := "DESC"
	if f.Ascending {
		order = "ASC"
	}
	args = append(args, f.Limit)
	sql := fmt.Sprintf(`SELECT i.no, i.id, i.name, i.version, i.status, i.seq, i.base_seq, i.gen, i.created_at, i.updated_at, i.started_at,
		i.completed_at, i.scheduled_at, i.parent_no, i.custom_status, i.waiting, i.held, i.failure,
		coalesce((SELECT j.state::text FROM river_job j WHERE j.id = i.turn_job), '') AS turn_state, i.owner
		FROM instances i WHERE %s ORDER BY i.created_at %s, i.no %s LIMIT $%d`, where, order, order, len(args))
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ListRow])
}

// CountByStatus counts the instances a filter selects, by status, looking at no more than limit of them.
func (q *Queries) CountByStatus(ctx context.Context, db DBTX, f ListFilter, limit int) (map[int16]int64, error) {
	f.AfterNo = 0
	where, args := f.conditions()
	args = append(args, limit)
	sql := fmt.Sprintf(`SELECT recent.status, count(*) FROM (SELECT i.status FROM instances i WHERE %s ORDER BY i.created_at DESC, i.no DESC
		LIMIT $%d) AS recent GROUP BY recent.status`, where, len(args))
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	counts := map[int16]int64{}
	err = each(func(row struct {
		Status int16
		N      int64
	},
	) {
		counts[row.Status] = row.N
	})(rows)
	return counts, err
}
