package store

import (
	"context"
	"fmt"
	"slices"
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
	Names       []string // any of them
	Versions    []string // any of them; "" is none
	IDs         []string // any of them
	IDPrefix    string
	CreatedFrom time.Time // inclusive
	CreatedTo   time.Time // exclusive
	// CompletedFrom is inclusive, CompletedTo exclusive; each selects instances that have ended.
	CompletedFrom time.Time
	CompletedTo   time.Time
	// Likewise.
	UpdatedFrom, UpdatedTo time.Time
	StartedFrom, StartedTo time.Time
	// How long it has run, or ran: at least, and less than.
	LongerThan, ShorterThan time.Duration
	FailureType             string
	FailureText             string // somewhere in the message, in any case
	Input, Output           string // predicates of the SQL/JSON path language
	Parent                  int64
	RootsOnly               bool
	Nos                     []int64
	Tags                    []Tag // all of them
	// The page: at most Limit rows after (or, backwards, before) a key, newest first unless Ascending.
	Limit     int
	AfterAt   time.Time
	AfterNo   int64
	Ascending bool
}

// Tag is a name with a value that an instance has.
type Tag struct{ Key, Value string }

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
	ParentID     string
	ParentName   string
	CustomStatus []byte
	Waiting      []byte
	Held         []byte
	Failure      []byte
	Tags         []byte
	TurnState    string
	Owner        *int32
	Suspended    []byte
	Priority     int16
}

// query is a statement under construction.
type query struct{ args []any }

// arg adds a parameter and returns its placeholder.
func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return fmt.Sprintf("$%d", len(q.args))
}

// branches writes the filter as conditions whose rows do not overlap: one for live instances, one for each final
// status. An index serves each of them in the order of lists, so that a page reads no more than its rows however
// many instances there are, which no index could do for "any status" and "one status" alike.
func (f *ListFilter) branches(q *query) []string {
	common := f.common(q)
	if f.few() {
		return []string{common + f.anyStatus(q)}
	}
	var out []string
	all := len(f.Live)+len(f.Ended) == 0
	ended := f.Ended
	if all {
		ended = outcomes
	}
	if f.FailureType != "" || f.FailureText != "" { // what runs, or has completed, has not failed
		ended = slices.DeleteFunc(slices.Clone(ended), func(status int16) bool { return status == completed })
	}
	if f.live() && (all || len(f.Live) > 0) {
		live := common + " AND " + f.driver() + ".outcome IS NULL"
		if !all {
			live += " AND i.status = ANY(" + q.arg(f.Live) + ")"
		}
		out = append(out, live)
	}
	for _, status := range ended {
		out = append(out, common+" AND "+f.driver()+".outcome = "+q.arg(status))
	}
	if out == nil {
		return []string{common + " AND false"}
	}
	return out
}

// live tells whether instances that live can be among the rows.
func (f *ListFilter) live() bool {
	return f.FailureType == "" && f.FailureText == "" && f.CompletedFrom.IsZero() && f.CompletedTo.IsZero()
}

// few tells that there are few rows, found by themselves.
func (f *ListFilter) few() bool { return f.Nos != nil || f.IDs != nil || f.Parent != 0 }

// driver is the table whose index yields the rows in the order of lists: t, with a row for each tag, or i itself.
func (f *ListFilter) driver() string {
	if len(f.Tags) > 0 && !f.few() {
		return "t"
	}
	return "i"
}

const completed = 1

// outcomes are the final statuses: completed, failed, canceled, terminated.
var outcomes = []int16{completed, 3, 4, 5}

func (f *ListFilter) anyStatus(q *query) string {
	if len(f.Live)+len(f.Ended) == 0 {
		return ""
	}
	return " AND i.status = ANY(" + q.arg(slices.Concat(f.Live, f.Ended)) + ")"
}

// common writes what does not concern the status.
func (f *ListFilter) common(q *query) string {
	driver := f.driver()
	parts := []string{driver + ".hub = " + q.arg(f.Hub)}
	cond := func(sql string, values ...any) {
		for _, v := range values {
			sql = strings.Replace(sql, "?", q.arg(v), 1)
		}
		parts = append(parts, sql)
	}
	if f.Name != "" {
		cond("i.name = ?", f.Name)
	}
	f.details(cond)
	if f.IDPrefix != "" {
		cond("i.id >= ? AND i.id < ?", f.IDPrefix, f.IDPrefix+"\x7f") // ids are printable ASCII
	}
	if !f.CreatedFrom.IsZero() {
		cond(driver+".created_at >= ?", f.CreatedFrom)
	}
	if !f.CreatedTo.IsZero() {
		cond(driver+".created_at < ?", f.CreatedTo)
	}
	if !f.CompletedFrom.IsZero() {
		cond("i.completed_at >= ?", f.CompletedFrom)
	}
	if !f.CompletedTo.IsZero() { // nothing ends before it is created, which an index knows about
		cond("i.completed_at < ? AND "+driver+".created_at < ?", f.CompletedTo, f.CompletedTo)
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
	tags := f.Tags
	if driver == "t" {
		cond("t.key = ? AND t.value = ?", tags[0].Key, tags[0].Value)
		tags = tags[1:]
	}
	for _, tag := range tags {
		cond("EXISTS (SELECT 1 FROM instance_tags o WHERE o.instance_no = i.no AND o.key = ? AND o.value = ?)", tag.Key, tag.Value)
	}
	if f.AfterNo != 0 {
		than := "<"
		if f.Ascending {
			than = ">"
		}
		cond(fmt.Sprintf("(%s.created_at, %s) %s (?, ?)", driver, f.number(), than), f.AfterAt, f.AfterNo)
	}
	return strings.Join(parts, " AND ")
}

// details writes conditions that no index serves, but for ids and a single name: they choose among what the others select.
func (f *ListFilter) details(cond func(sql string, values ...any)) {
	if f.Names != nil {
		cond("i.name = ANY(?)", f.Names)
	}
	if f.Versions != nil {
		cond("coalesce(i.version, '') = ANY(?)", f.Versions)
	}
	if f.IDs != nil {
		cond("i.id = ANY(?)", f.IDs)
	}
	for _, r := range []struct {
		column   string
		from, to time.Time
	}{{"updated_at", f.UpdatedFrom, f.UpdatedTo}, {"started_at", f.StartedFrom, f.StartedTo}} {
		if !r.from.IsZero() {
			cond("i."+r.column+" >= ?", r.from)
		}
		if !r.to.IsZero() {
			cond("i."+r.column+" < ?", r.to)
		}
	}
	if f.LongerThan > 0 {
		cond("coalesce(i.completed_at, now()) - i.started_at >= ?", f.LongerThan)
	}
	if f.ShorterThan > 0 {
		cond("coalesce(i.completed_at, now()) - i.started_at < ?", f.ShorterThan)
	}
	if f.FailureType != "" {
		cond("i.failure IS NOT NULL AND json_of(i.failure)->>'type' = ?", f.FailureType)
	}
	if f.FailureText != "" {
		cond("i.failure IS NOT NULL AND position(lower(?) IN lower(json_of(i.failure)->>'message')) > 0", f.FailureText)
	}
	if f.Input != "" {
		cond("json_of(i.input) @@ ?::text::jsonpath", f.Input)
	}
	if f.Output != "" {
		cond("json_of(i.output) @@ ?::text::jsonpath", f.Output)
	}
}

// CheckPath tests a predicate of the SQL/JSON path language. The error is Postgres's.
func CheckPath(ctx context.Context, db DBTX, path string) error {
	var ok bool
	return db.QueryRow(ctx, "SELECT '{}'::jsonb @@ $1::text::jsonpath IS NULL", path).Scan(&ok)
}

// number is the instance's number in the driving table.
func (f *ListFilter) number() string {
	if f.driver() == "t" {
		return "t.instance_no"
	}
	return "i.no"
}

// page writes the statement that reads columns of the first limit rows, newest first unless f says otherwise.
func (f *ListFilter) page(q *query, columns string, limit int) string {
	direction := "DESC"
	if f.Ascending {
		direction = "ASC"
	}
	branches := f.branches(q)
	n := q.arg(limit)
	order := fmt.Sprintf(" ORDER BY created_at %[1]s, no %[1]s LIMIT %[2]s", direction, n)
	from, inner := "instances i", order
	if f.driver() == "t" {
		from = "instance_tags t JOIN instances i ON i.no = t.instance_no"
	}
	if !f.few() {
		// In each branch the outcome is one. Of a null the planner does not know that, unless it is in the order.
		inner = fmt.Sprintf(" ORDER BY %[3]s.outcome %[1]s, %[3]s.created_at %[1]s, %[4]s %[1]s LIMIT %[2]s", direction, n, f.driver(), f.number())
	}
	for i, where := range branches {
		branches[i] = "(SELECT " + columns + " FROM " + from + " WHERE " + where + inner + ")"
	}
	if len(branches) == 1 {
		return branches[0] // in its order, which is that of lists: the outcome is one
	}
	return strings.Join(branches, " UNION ALL ") + order
}

// List reads a page of instances. It is the one statement that is put together at run time, because a fixed
// one with optional conditions would have one plan for all of them.
func (q *Queries) List(ctx context.Context, db DBTX, f ListFilter) ([]ListRow, error) {
	sql, args := f.statement()
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ListRow])
}

// statement writes what List runs.
func (f *ListFilter) statement() (sql string, args []any) {
	var q query
	page := f.page(&q, "i.no, i.created_at", f.Limit)
	direction := "DESC"
	if f.Ascending {
		direction = "ASC"
	}
	return `SELECT i.no, i.id, i.name, i.version, i.status, i.seq, i.base_seq, i.gen, i.created_at, i.updated_at, i.started_at,
		i.completed_at, i.scheduled_at, coalesce(p.id, ''), coalesce(p.name, ''), i.custom_status, i.waiting, i.held, i.failure, i.tags,
		coalesce((SELECT j.state::text FROM river_job j WHERE j.id = i.turn_job), '') AS turn_state, i.owner, i.suspended, i.priority
		FROM (` + page + `) AS page JOIN instances i ON i.no = page.no
		LEFT JOIN instances p ON p.no = i.parent_no ORDER BY i.created_at ` + direction + `, i.no ` + direction, q.args
}

// CountByStatus counts the instances a filter selects, by status, looking at no more than limit of them.
func (q *Queries) CountByStatus(ctx context.Context, db DBTX, f ListFilter, limit int) (map[int16]int64, error) {
	f.AfterNo = 0
	var sql query
	page := f.page(&sql, "i.no, i.created_at, i.status", limit)
	rows, err := db.Query(ctx, "SELECT recent.status, count(*) FROM ("+page+") AS recent GROUP BY recent.status", sql.args...)
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

// PayloadPrefix is the beginning of a value that is stored by itself, and how long all of it is.
type PayloadPrefix struct {
	ID   int64
	Size int
	Data []byte
}

// ReadPayloadPrefixes reads the first limit bytes of values. A length alone is read without the value.
func (q *Queries) ReadPayloadPrefixes(ctx context.Context, db DBTX, ids []int64, limit int) ([]PayloadPrefix, error) {
	rows, err := db.Query(ctx, `SELECT p.id, octet_length(p.data), CASE WHEN $2::integer > 0 THEN substring(p.data FROM 1 FOR $2::integer) ELSE '' END
		FROM payloads p WHERE p.id = ANY($1)`, ids, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[PayloadPrefix])
}
