package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/archive"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// exportAtOnce is how many instances are read at once: with all their values, so they are few.
const exportAtOnce = 20

// Exported is what an export has written.
type Exported struct {
	Instances int64
	// Gone counts instances that were selected and, when it came to them, had not ended any more, or were gone.
	Gone int64
}

// Export writes the instances of a hub that have ended and that a filter selects to a file in the form of package archive,
// the oldest first: each with its history, values, tags and progress, in one snapshot each few. Values that were encrypted
// stay so. Entities never end, and are not exported. Errors: INVALID_ARGUMENT, NOT_FOUND (hub).
func (e *Engine) Export(ctx context.Context, hub string, f Filter, to io.Writer) (Exported, error) {
	x, err := e.exporter(ctx, hub, f)
	if err != nil {
		return Exported{}, err
	}
	_, err = x.file(ctx, to, -1)
	return x.done, err
}

// exporter goes through instances, file by file.
type exporter struct {
	e      *Engine
	hub    string
	filter Filter
	page   Page
	done   Exported
	over   bool // all have been written
	// tell, if set, hears of each few instances.
	tell func(Exported)
}

func (e *Engine) exporter(ctx context.Context, hub string, f Filter) (*exporter, error) {
	if err := endedOnly(&f); err != nil {
		return nil, err
	}
	if _, err := e.storeFilter(ctx, hub, f); err != nil {
		return nil, err
	}
	if f.CreatedTo.IsZero() { // what is started meanwhile would never let it come to an end
		f.CreatedTo = time.Now()
	}
	return &exporter{e: e, hub: hub, filter: f, page: Page{Limit: exportAtOnce, Ascending: true}}, nil
}

// endedOnly has a filter select none but instances that have ended.
func endedOnly(f *Filter) error {
	for _, s := range f.Statuses {
		if !endedStatuses.has(s) {
			return invalid("statuses", "an instance that is %s has not ended", s)
		}
	}
	if len(f.Statuses) == 0 {
		f.Statuses = []history.Status{history.Completed, history.Failed, history.Canceled, history.Terminated}
	}
	return nil
}

// file writes a file of at most so many instances; less than 0 means all. It returns what is in it.
func (x *exporter) file(ctx context.Context, to io.Writer, most int) (all []seen, err error) {
	w, err := archive.NewWriter(to, archive.Header{Hub: x.hub, CreatedAt: time.Now().UTC()})
	if err != nil {
		return nil, err
	}
	for most < 0 || len(all) < most {
		page := x.page
		if most >= 0 {
			page.Limit = min(page.Limit, most-len(all))
		}
		found, err := x.e.List(ctx, x.hub, x.filter, page)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			written, err := x.write(ctx, w, found)
			if err != nil {
				return nil, err
			}
			if most >= 0 {
				all = append(all, written...)
			}
			x.done.Instances += int64(len(written))
			x.done.Gone += int64(len(found) - len(written))
			last := found[len(found)-1]
			x.page.After = &Position{last.CreatedAt, last.no}
			if x.tell != nil {
				x.tell(x.done)
			}
		}
		if len(found) < page.Limit {
			x.over = true
			break
		}
	}
	return all, w.Close()
}

// write reads all that belongs to instances, and writes it.
func (x *exporter) write(ctx context.Context, w *archive.Writer, found []*Instance) ([]seen, error) {
	nos := make([]int64, len(found))
	for n, i := range found {
		nos[n] = i.no
	}
	var rows []store.ExportInstancesRow
	parts := map[int64]*archive.Instance{}
	err := pgx.BeginTxFunc(ctx, x.e.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if rows, err = x.e.q.ExportInstances(ctx, tx, nos); err != nil {
			return err
		}
		for n := range rows {
			i, err := archived(&rows[n])
			if err != nil {
				return err
			}
			parts[rows[n].Instance.No] = i
		}
		return x.e.exportParts(ctx, tx, nos, parts)
	})
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	out := make([]seen, len(rows))
	for n := range rows {
		i := &rows[n].Instance
		if err := w.Write(parts[i.No]); err != nil {
			return nil, err
		}
		out[n] = seen{i.No, i.Seq, i.UpdatedAt}
	}
	return out, nil
}

// archived is the part of an instance that its row has.
func archived(row *store.ExportInstancesRow) (*archive.Instance, error) {
	r := &row.Instance
	i := &archive.Instance{
		ID: r.ID, Name: r.Name, Version: deref(r.Version), Status: statusOf(r.Status).String(), Priority: r.Priority,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), StartedAt: utc(r.StartedAt), CompletedAt: utc(r.CompletedAt), ScheduledAt: utc(r.ScheduledAt),
		Generation: r.Gen, Input: archivedValue(r.Input, deref(r.InputRef)), Output: archivedValue(r.Output, deref(r.OutputRef)),
		Failure: r.Failure, CustomStatus: archivedValue(r.CustomStatus, 0), Seq: r.Seq, FirstSeq: r.BaseSeq, History: []archive.Turn{},
	}
	if row.ParentID != "" {
		i.Parent = &archive.Parent{ID: row.ParentID, Generation: deref(r.ParentGen), Task: deref(r.ParentTask)}
	}
	if r.Tags != nil {
		if err := json.Unmarshal(r.Tags, &i.Tags); err != nil {
			return nil, fmt.Errorf("tags of %q: %w", r.ID, err)
		}
	}
	return i, nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

func archivedValue(data []byte, ref int64) *archive.Value {
	switch {
	case ref != 0:
		return &archive.Value{Ref: ref}
	case data == nil:
		return nil
	}
	v := archive.NewValue(data)
	return &v
}

// exportParts adds what other tables have of instances.
func (e *Engine) exportParts(ctx context.Context, tx pgx.Tx, nos []int64, parts map[int64]*archive.Instance) error {
	turns, err := e.q.ExportHistory(ctx, tx, nos)
	if err != nil {
		return err
	}
	for _, t := range turns {
		i := parts[t.InstanceNo]
		if i == nil {
			continue
		}
		events, err := history.Decode(t.Codec, t.Events)
		if err != nil {
			return fmt.Errorf("history of %q: %w", i.ID, err)
		}
		doc, err := history.Encode(events)
		if err != nil {
			return fmt.Errorf("history of %q: %w", i.ID, err)
		}
		i.History = append(i.History, archive.Turn{Seq: t.Seq, N: t.N, Events: doc})
	}
	values, err := e.q.ExportPayloads(ctx, tx, nos)
	if err != nil {
		return err
	}
	for _, v := range values {
		if i := parts[v.InstanceNo]; i != nil {
			i.Values = append(i.Values, archive.Large{ID: v.ID, Seq: v.Seq, Data: archive.NewValue(v.Data)})
		}
	}
	records, err := e.q.ExportProgress(ctx, tx, nos)
	if err != nil {
		return err
	}
	for _, r := range records {
		if i := parts[r.InstanceNo]; i != nil {
			i.Progress = append(i.Progress, archive.Progress{
				Seq: r.Seq, At: r.At.UTC(), Generation: r.Gen, Task: r.Task, Attempt: r.Attempt, Name: r.Name, Value: archivedValue(r.Data, r.Ref),
			})
		}
	}
	return nil
}
