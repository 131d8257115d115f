package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/archive"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// ExistingPolicy is what an import does with an instance whose id exists in the hub.
type ExistingPolicy int

// The policies.
const (
	// RefuseExisting ends the import with ALREADY_EXISTS.
	RefuseExisting ExistingPolicy = iota
	// SkipExisting leaves what exists as it is, and goes on: an import that is repeated does nothing twice.
	SkipExisting
)

// Imported is what an import has done.
type Imported struct {
	Instances int64
	// Skipped counts those whose ids existed.
	Skipped int64
}

// Import reads a file in the form of package archive, and adds its instances to a hub. Each is added as a whole, in a commit
// of its own, with its own times, history, values, tags and progress; a parent is found by its id if it is in the hub by
// then. It stops at the first that is not what it should be: those before it have been added. To know beforehand that a
// file is whole, read it to its end with archive.Reader. tell, if it is not nil, hears of each instance. Errors:
// INVALID_ARGUMENT, which names the line, NOT_FOUND (hub), ALREADY_EXISTS, TOO_LARGE.
func (e *Engine) Import(ctx context.Context, hubName string, from io.Reader, existing ExistingPolicy, tell func(Imported)) (Imported, error) {
	var done Imported
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return done, err
	}
	r, err := archive.NewReader(from)
	if err != nil {
		return done, importError(err)
	}
	for n := int64(2); ; n++ {
		i, err := r.Next()
		if errors.Is(err, io.EOF) {
			return done, nil
		}
		if err != nil {
			return done, importError(err)
		}
		in := &importer{e: e, hub: hub.no, i: i}
		switch added, err := in.add(ctx); {
		case err != nil:
			return done, atLine(n, err)
		case added:
			done.Instances++
		case existing == RefuseExisting:
			return done, atLine(n, idTaken("id", i.ID))
		default:
			done.Skipped++
		}
		if tell != nil {
			tell(done)
		}
	}
}

// importError makes what is wrong with a file a coded error.
func importError(err error) error {
	var wrong *archive.Error
	if errors.As(err, &wrong) {
		return &Error{Code: CodeInvalid, Field: "file", Message: wrong.Error()}
	}
	return err
}

// atLine adds the line to a coded error.
func atLine(n int64, err error) error {
	var coded *Error
	if !errors.As(err, &coded) {
		return fmt.Errorf("import line %d: %w", n, err)
	}
	at := *coded
	at.Message = fmt.Sprintf("line %d: %s", n, coded.Error())
	at.Field = "file"
	return &at
}

// importer adds one instance.
type importer struct {
	e      *Engine
	hub    int32
	i      *archive.Instance
	no     int64
	status history.Status
	refs   map[int64]int64 // numbers of large values: in the file, here
	row    store.ImportInstanceParams
	turns  store.ImportHistoryParams
	values store.ImportPayloadsParams
	steps  store.ImportProgressParams
}

// add adds the instance; false if its id exists.
func (in *importer) add(ctx context.Context) (added bool, err error) {
	if err := in.check(); err != nil {
		return false, err
	}
	if in.no, err = in.e.instanceNos.one(ctx); err != nil {
		return false, err
	}
	for _, prepare := range []func(context.Context) error{in.prepareValues, in.prepareHistory, in.prepareProgress, in.prepareRow} {
		if err := prepare(ctx); err != nil {
			return false, err
		}
	}
	q := in.e.q
	err = pgx.BeginFunc(ctx, in.e.pool, func(tx pgx.Tx) error {
		if _, err := q.ImportInstance(ctx, tx, in.row); err != nil {
			return err
		}
		return errors.Join(q.ImportPayloads(ctx, tx, in.values), q.ImportHistory(ctx, tx, in.turns), q.ImportProgress(ctx, tx, in.steps))
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("instance %q: %w", in.i.ID, err)
	}
	return true, nil
}

// check tests what the database would refuse, or what would make no sense in it.
func (in *importer) check() error {
	i := in.i
	err := first(CheckID("id", i.ID), CheckName("name", i.Name), CheckVersion("version", i.Version), CheckTags("tags", i.Tags))
	if err == nil && i.Parent != nil {
		err = CheckID("parent.id", i.Parent.ID)
	}
	if err == nil && i.Priority != 0 {
		err = CheckPriority("priority", int(i.Priority))
	}
	if err != nil {
		return err
	}
	if err := in.status.UnmarshalText([]byte(i.Status)); err != nil || !endedStatuses.has(in.status) {
		return invalid("status", "is %.40q: an instance that is imported has ended", i.Status)
	}
	switch {
	case i.CreatedAt.IsZero() || i.UpdatedAt.IsZero():
		return invalid("createdAt", "and updatedAt are needed")
	case i.CompletedAt == nil:
		return invalid("completedAt", "is missing: an instance that is imported has ended")
	case i.FirstSeq < 1 || i.Seq < i.FirstSeq-1:
		return invalid("seq", "is %d, and firstSeq %d: want at least 1, and seq not before it", i.Seq, i.FirstSeq)
	case i.Generation < 0:
		return invalid("generation", "is %d: generations count from 0", i.Generation)
	case i.Failure != nil && json.Unmarshal(i.Failure, &history.Failure{}) != nil:
		return invalid("failure", "is no failure")
	}
	for _, at := range []time.Time{i.CreatedAt, i.UpdatedAt, orZero(i.StartedAt), orZero(i.CompletedAt), orZero(i.ScheduledAt)} {
		if at.Year() > 9999 {
			return invalid("createdAt", "and other times must not be later than the year 9999")
		}
	}
	return nil
}

// prepareValues gives large values numbers of this database.
func (in *importer) prepareValues(ctx context.Context) error {
	in.refs = make(map[int64]int64, len(in.i.Values))
	in.values.No = in.no
	for n := range in.i.Values {
		v := &in.i.Values[n]
		if v.ID <= 0 || in.refs[v.ID] != 0 || v.Data.Ref != 0 {
			return invalid("values", "has a value with the number %d twice, or none", v.ID)
		}
		data := v.Data.Data()
		if len(data) > in.e.cfg.PayloadLimit {
			return &Error{Code: CodeTooLarge, Field: "values", Message: fmt.Sprintf("has a value of %d bytes, the limit is %d", len(data), in.e.cfg.PayloadLimit)}
		}
		id, err := in.e.payloadIDs.one(ctx)
		if err != nil {
			return err
		}
		in.refs[v.ID] = id
		in.values.Ids, in.values.Seqs, in.values.Datas = append(in.values.Ids, id), append(in.values.Seqs, v.Seq), append(in.values.Datas, data)
	}
	return nil
}

// ref returns the number that a large value has here.
func (in *importer) ref(id int64) (int64, error) {
	if here := in.refs[id]; here != 0 {
		return here, nil
	}
	return 0, invalid("values", "lacks the value %d, to which something refers", id)
}

// prepareHistory decodes the history: what cannot be read here is not stored.
func (in *importer) prepareHistory(context.Context) error {
	in.turns.No = in.no
	last := int64(0)
	for n, t := range in.i.History {
		field := fmt.Sprintf("history[%d]", n)
		events, err := history.Decode(1, t.Events)
		if err != nil {
			return invalid(field, "cannot be read: %s", err)
		}
		if int(t.N) != len(events) || t.N < 1 || t.Seq-int64(t.N) < last {
			return invalid(field, "has %d events, and n %d and seq %d after %d", len(events), t.N, t.Seq, last)
		}
		last = t.Seq
		for _, e := range events {
			history.EachValue(e, func(v *history.Payload) {
				if id, stored := v.Stored(); stored && err == nil {
					id, err = in.ref(id)
					*v = v.WithRef(id)
				}
			})
		}
		if err != nil {
			return err
		}
		doc, err := history.Encode(events)
		if err != nil {
			return invalid(field, "%s", err)
		}
		in.turns.Seqs, in.turns.Ns, in.turns.Events = append(in.turns.Seqs, t.Seq), append(in.turns.Ns, t.N), append(in.turns.Events, doc)
	}
	if last != in.i.Seq && (last != 0 || in.i.Seq >= in.i.FirstSeq) {
		return invalid("history", "ends with event %d, the instance with %d", last, in.i.Seq)
	}
	return nil
}

func (in *importer) prepareProgress(context.Context) error {
	s := &in.steps
	s.No = in.no
	last := int64(0)
	for n, r := range in.i.Progress {
		field := fmt.Sprintf("progress[%d]", n)
		if r.Seq <= last || strings.ContainsRune(r.Name, 0) || r.At.Year() > 9999 {
			return invalid(field, "is out of order, or has a name or time that is none")
		}
		last = r.Seq
		data, ref, err := in.value(r.Value)
		if err != nil {
			return err
		}
		s.Seqs, s.Ats, s.Gens, s.Tasks = append(s.Seqs, r.Seq), append(s.Ats, r.At), append(s.Gens, r.Generation), append(s.Tasks, r.Task)
		s.Attempts, s.Names, s.Datas, s.Refs = append(s.Attempts, r.Attempt), append(s.Names, r.Name), append(s.Datas, data), append(s.Refs, deref(ref))
	}
	return nil
}

// value is a value as the database has it: in place, or by its number.
func (in *importer) value(v *archive.Value) (data []byte, ref *int64, err error) {
	switch {
	case v == nil:
		return nil, nil, nil
	case v.Ref != 0:
		id, err := in.ref(v.Ref)
		return nil, &id, err
	}
	if data = v.Data(); data == nil {
		data = []byte{}
	}
	if len(data) > in.e.cfg.PayloadLimit {
		return nil, nil, &Error{Code: CodeTooLarge, Field: "input", Message: fmt.Sprintf("or another value has %d bytes, the limit is %d", len(data), in.e.cfg.PayloadLimit)}
	}
	return data, nil, nil
}

func (in *importer) prepareRow(context.Context) error {
	i := in.i
	r := &in.row
	*r = store.ImportInstanceParams{
		No: in.no, Seq: i.Seq, BaseSeq: i.FirstSeq, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt, StartedAt: i.StartedAt, CompletedAt: i.CompletedAt,
		ScheduledAt: i.ScheduledAt, Hub: in.hub, Gen: i.Generation, Status: int16(in.status), ID: i.ID, Name: i.Name, Priority: i.Priority,
		Failure: i.Failure, Tags: encodeTags(i.Tags),
	}
	if i.Version != "" {
		r.Version = &i.Version
	}
	if i.Priority == 0 {
		r.Priority = DefaultPriority
	}
	if p := i.Parent; p != nil {
		r.ParentID, r.ParentGen, r.ParentTask = p.ID, p.Generation, p.Task
	}
	var errs [3]error
	r.Input, r.InputRef, errs[0] = in.value(i.Input)
	r.Output, r.OutputRef, errs[1] = in.value(i.Output)
	r.CustomStatus, _, errs[2] = in.value(i.CustomStatus)
	return first(errs[:]...)
}
