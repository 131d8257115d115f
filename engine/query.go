package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// Instance is an instance as it is read: everything but its values and its history.
type Instance struct {
	Hub         string
	ID          string
	Name        string
	Version     string
	Status      history.Status
	Generation  int
	ExecutionID string
	// Seq is the number of the last history event, FirstSeq of the first of this generation.
	Seq      int64
	FirstSeq int64

	CreatedAt   time.Time
	UpdatedAt   time.Time
	StartedAt   *time.Time
	CompletedAt *time.Time
	ScheduledAt *time.Time

	Parent *Ref
	// Tags are the names with values that it was given at its start and since.
	Tags         map[string]string
	CustomStatus []byte
	Failure      *history.Failure
	// Waiting is what it waits for, if nobody is at work on it; Held is why its turn is held, if it is.
	Waiting *Waiting
	Held    *Held
	// Suspended is who has suspended it, nil if it is not suspended.
	Suspended *Suspension
	// Queued tells that a turn is due and no worker has taken it up.
	Queued bool
	// Owner is the number of the worker at work on it; 0 = none.
	Owner int32
	// Priority is where its turns and activities stand in the queue: 1 goes first, 4 last.
	Priority int16

	no int64
}

// Ref names an instance and its orchestration.
type Ref struct {
	ID   string
	Name string
}

// No identifies the instance in subscriptions.
func (i *Instance) No() int64 { return i.no }

// Get reads an instance. Errors: NOT_FOUND (hub, or instance).
func (e *Engine) Get(ctx context.Context, hubName, id string) (*Instance, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return nil, err
	}
	if CheckID("instance", id) != nil { // no instance has such an id, and Postgres would refuse some
		return nil, instanceNotFound(id)
	}
	row, err := e.q.GetInstance(ctx, e.pool, store.GetInstanceParams{Hub: hub.no, ID: id})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, instanceNotFound(id)
	}
	if err != nil {
		return nil, fmt.Errorf("get instance: %w", err)
	}
	r := row.Instance
	i := &Instance{
		Hub: row.HubName, ID: r.ID, Name: r.Name, Version: deref(r.Version), Status: statusOf(r.Status), Generation: int(r.Gen),
		ExecutionID: executionID(r.No, r.Gen), Seq: r.Seq, FirstSeq: r.BaseSeq, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		StartedAt: r.StartedAt, CompletedAt: r.CompletedAt, ScheduledAt: r.ScheduledAt, CustomStatus: r.CustomStatus,
		Queued: row.TurnState == "available" || row.TurnState == "scheduled", Owner: deref(r.Owner),
		Priority: r.Priority, no: r.No,
	}
	if row.ParentID != "" {
		i.Parent = &Ref{ID: row.ParentID, Name: row.ParentName}
	}
	return i, i.decode(r.Failure, r.Waiting, r.Held, r.Suspended, r.Tags)
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// decode takes in the columns that hold JSON.
func (i *Instance) decode(failed, waiting, held, suspended, tags []byte) error {
	var err error
	if i.Tags, err = decodeTags(tags); err != nil {
		return err
	}
	if failed != nil {
		i.Failure = &history.Failure{}
		if err := json.Unmarshal(failed, i.Failure); err != nil {
			return fmt.Errorf("read failure: %w", err)
		}
	}
	if waiting != nil {
		i.Waiting = &Waiting{}
		if err := json.Unmarshal(waiting, i.Waiting); err != nil {
			return fmt.Errorf("read wait state: %w", err)
		}
	}
	if held != nil {
		i.Held = &Held{}
		if err := json.Unmarshal(held, i.Held); err != nil {
			return fmt.Errorf("read hold: %w", err)
		}
	}
	if suspended != nil {
		i.Suspended = &Suspension{}
		if err := json.Unmarshal(suspended, i.Suspended); err != nil {
			return fmt.Errorf("read suspension: %w", err)
		}
	}
	return nil
}

// Inputs reads the inputs of instances, of their present generation, in one statement and one more for the sizes
// of large ones, which stay where they are: ReadValue fetches as much of them as is wanted. Those of instances
// that are gone are absent.
func (e *Engine) Inputs(ctx context.Context, all []*Instance) ([]history.Payload, error) {
	rows, err := e.q.ReadInputs(ctx, e.pool, numbers(all))
	if err != nil {
		return nil, fmt.Errorf("read inputs: %w", err)
	}
	values := make(map[int64]storedValue, len(rows))
	for _, r := range rows {
		values[r.No] = storedValue{r.Value, r.Ref}
	}
	return e.values(ctx, all, values)
}

// Outputs is Inputs for outputs.
func (e *Engine) Outputs(ctx context.Context, all []*Instance) ([]history.Payload, error) {
	rows, err := e.q.ReadOutputs(ctx, e.pool, numbers(all))
	if err != nil {
		return nil, fmt.Errorf("read outputs: %w", err)
	}
	values := make(map[int64]storedValue, len(rows))
	for _, r := range rows {
		values[r.No] = storedValue{r.Value, r.Ref}
	}
	return e.values(ctx, all, values)
}

type storedValue struct {
	inline []byte
	ref    *int64
}

func numbers(all []*Instance) []int64 {
	nos := make([]int64, len(all))
	for n, i := range all {
		nos[n] = i.no
	}
	return nos
}

func (e *Engine) values(ctx context.Context, all []*Instance, values map[int64]storedValue) ([]history.Payload, error) {
	var refs []int64
	for _, v := range values {
		if v.ref != nil {
			refs = append(refs, *v.ref)
		}
	}
	sizes := map[int64]int{}
	if len(refs) > 0 {
		large, err := e.q.ReadPayloadPrefixes(ctx, e.pool, refs, 0)
		if err != nil {
			return nil, fmt.Errorf("read the sizes of large values: %w", err)
		}
		for _, row := range large {
			sizes[row.ID] = row.Size
		}
	}
	out := make([]history.Payload, len(all))
	for n, i := range all {
		switch v := values[i.no]; {
		case v.ref != nil:
			out[n] = history.Ref(*v.ref, sizes[*v.ref])
		case v.inline != nil:
			out[n] = history.Bytes(v.inline)
		}
	}
	return out, nil
}

// ReadValue returns the first limit bytes of a value, wherever it is stored. What is gone meanwhile is empty.
func (e *Engine) ReadValue(ctx context.Context, v history.Payload, limit int) ([]byte, error) {
	ref, elsewhere := v.Stored()
	if data := v.Data(); data != nil || !elsewhere {
		return data[:min(limit, len(data))], nil
	}
	rows, err := e.q.ReadPayloadPrefixes(ctx, e.pool, []int64{ref}, limit)
	if err != nil {
		return nil, fmt.Errorf("read large value: %w", err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	return rows[0].Data, nil
}

// Filter selects instances of a hub; zero fields select everything.
type Filter struct {
	Statuses    []history.Status `json:"statuses,omitempty"`
	Name        string           `json:"name,omitempty"`
	IDPrefix    string           `json:"idPrefix,omitempty"`
	CreatedFrom time.Time        `json:"createdFrom,omitzero"` // inclusive
	CreatedTo   time.Time        `json:"createdTo,omitzero"`   // exclusive
	// CompletedFrom and CompletedTo select instances that ended at that time or later, and before that time.
	CompletedFrom time.Time `json:"completedFrom,omitzero"`
	CompletedTo   time.Time `json:"completedTo,omitzero"`
	// Names, Versions and IDs select instances that have any of these, at most 100, 100 and 500; the version "" is none.
	Names    []string `json:"names,omitempty"`
	Versions []string `json:"versions,omitempty"`
	IDs      []string `json:"ids,omitempty"`
	// UpdatedFrom, StartedFrom are inclusive, UpdatedTo, StartedTo exclusive.
	UpdatedFrom time.Time `json:"updatedFrom,omitzero"`
	UpdatedTo   time.Time `json:"updatedTo,omitzero"`
	StartedFrom time.Time `json:"startedFrom,omitzero"`
	StartedTo   time.Time `json:"startedTo,omitzero"`
	// LongerThan and ShorterThan bound how long an instance has run, until now if it has not ended.
	LongerThan  time.Duration `json:"longerThan,omitempty"`
	ShorterThan time.Duration `json:"shorterThan,omitempty"`
	// FailureType is the class or the declared failure that it failed with; FailureText is in the failure's message,
	// in any case.
	FailureType string `json:"failureType,omitempty"`
	FailureText string `json:"failureText,omitempty"`
	// Input and Output are predicates in the language of SQL/JSON paths, such as "$.total > 100". Values over 64 KiB, and
	// those that are encrypted or no JSON, match none.
	Input     string `json:"input,omitempty"`
	Output    string `json:"output,omitempty"`
	RootsOnly bool   `json:"rootsOnly,omitempty"`
	// Parent selects the children of an instance.
	Parent string `json:"parent,omitempty"`
	// Tags selects instances that have all of these.
	Tags map[string]string `json:"tags,omitempty"`
	// Nos selects by number, for subscriptions.
	Nos []int64 `json:"-"`
}

// Position is a place in a list: the key of a row.
type Position struct {
	CreatedAt time.Time
	No        int64
}

// Page says which part of a list to read: at most Limit rows after a position, newest first, or oldest first
// if Ascending.
type Page struct {
	Limit     int
	After     *Position
	Ascending bool
}

// noInstance is a number that no instance has.
const noInstance = -1

func (e *Engine) storeFilter(ctx context.Context, hubName string, f Filter) (store.ListFilter, error) {
	hub, err := e.hub(ctx, hubName)
	if err != nil {
		return store.ListFilter{}, err
	}
	out := store.ListFilter{
		Hub: hub.no, Name: f.Name, IDPrefix: f.IDPrefix, CreatedFrom: f.CreatedFrom, CreatedTo: f.CreatedTo, RootsOnly: f.RootsOnly,
		CompletedFrom: f.CompletedFrom, CompletedTo: f.CompletedTo,
		Nos: f.Nos, Names: f.Names, Versions: f.Versions, IDs: f.IDs, UpdatedFrom: f.UpdatedFrom, UpdatedTo: f.UpdatedTo,
		StartedFrom: f.StartedFrom, StartedTo: f.StartedTo, LongerThan: f.LongerThan, ShorterThan: f.ShorterThan,
		FailureType: f.FailureType, FailureText: f.FailureText, Input: f.Input, Output: f.Output,
	}
	if err := e.checkFilter(ctx, &f); err != nil {
		return out, err
	}
	for _, key := range slices.Sorted(maps.Keys(f.Tags)) {
		if err := CheckTag("tags", key, f.Tags[key]); err != nil {
			return out, err
		}
		out.Tags = append(out.Tags, store.Tag{Key: key, Value: f.Tags[key]})
	}
	for n, s := range f.Statuses {
		switch {
		case slices.Contains(f.Statuses[:n], s): // each status is a branch of the statement, to be read once
		case s.Live():
			out.Live = append(out.Live, int16(s))
		default:
			out.Ended = append(out.Ended, int16(s))
		}
	}
	if f.Parent != "" {
		out.Parent, err = e.find(ctx, instanceName{hub.no, f.Parent})
		if errors.Is(err, ErrNotFound) {
			out.Parent, err = noInstance, nil // an instance that does not exist has no children
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// List reads a page of a hub's instances. Errors: NOT_FOUND (hub).
func (e *Engine) List(ctx context.Context, hub string, f Filter, p Page) ([]*Instance, error) {
	filter, err := e.storeFilter(ctx, hub, f)
	if err != nil {
		return nil, err
	}
	filter.Limit, filter.Ascending = p.Limit, p.Ascending
	if p.After != nil {
		filter.AfterAt, filter.AfterNo = p.After.CreatedAt, p.After.No
	}
	rows, err := e.q.List(ctx, e.lists, filter)
	if err != nil {
		return nil, fmt.Errorf("list instances: %w", err)
	}
	out := make([]*Instance, len(rows))
	for n, r := range rows {
		i := &Instance{
			Hub: hub, ID: r.ID, Name: r.Name, Version: deref(r.Version), Status: statusOf(r.Status), Generation: int(r.Gen),
			ExecutionID: executionID(r.No, r.Gen), Seq: r.Seq, FirstSeq: r.BaseSeq, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, StartedAt: r.StartedAt,
			CompletedAt: r.CompletedAt, ScheduledAt: r.ScheduledAt, CustomStatus: r.CustomStatus,
			Queued: r.TurnState == "available" || r.TurnState == "scheduled", Owner: deref(r.Owner), Priority: r.Priority, no: r.No,
		}
		if r.ParentID != "" {
			i.Parent = &Ref{ID: r.ParentID, Name: r.ParentName}
		}
		if err := i.decode(r.Failure, r.Waiting, r.Held, r.Suspended, r.Tags); err != nil {
			return nil, err
		}
		out[n] = i
	}
	return out, nil
}

// Counts counts the instances a filter selects, by status, looking at the newest limit of them; exact is false
// when there are more.
func (e *Engine) Counts(ctx context.Context, hub string, f Filter, limit int) (counts map[history.Status]int64, exact bool, err error) {
	filter, err := e.storeFilter(ctx, hub, f)
	if err != nil {
		return nil, false, err
	}
	found, err := e.q.CountByStatus(ctx, e.lists, filter, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("count instances: %w", err)
	}
	counts = make(map[history.Status]int64, len(found))
	var total int64
	for status, n := range found {
		counts[statusOf(status)] = n
		total += n
	}
	return counts, total <= int64(limit), nil
}

// NumberedEvent is a history event with its number, which counts from 1 over all generations.
type NumberedEvent struct {
	Seq   int64
	Event history.Event
}

// History reads events after a number, at most limit and a commit more, and whether there are more. Values
// stored elsewhere are left there. Only what belongs to the present generation is read, unless all is set.
// Errors: NOT_FOUND.
func (e *Engine) History(ctx context.Context, i *Instance, after int64, limit int, all bool) (events []NumberedEvent, more bool, err error) {
	base := i.FirstSeq
	if all {
		base = 0
	}
	const rowsAtOnce = 200
	for {
		rows, err := e.q.ReadHistory(ctx, e.pool, store.ReadHistoryParams{No: i.no, After: after, BaseSeq: base, MaxRows: rowsAtOnce})
		if err != nil {
			return nil, false, fmt.Errorf("read history: %w", err)
		}
		for _, row := range rows {
			part, err := history.Decode(row.Codec, row.Events)
			if err != nil {
				return nil, false, err
			}
			for n, ev := range part {
				seq := row.Seq - int64(len(part)) + int64(n) + 1
				if seq <= after {
					continue
				}
				if len(events) == limit {
					return events, true, nil
				}
				events = append(events, NumberedEvent{seq, ev})
			}
			after = row.Seq
		}
		if len(rows) < rowsAtOnce {
			return events, false, nil
		}
	}
}

// WorkerInfo is a process that takes part, as the dashboard shows it.
type WorkerInfo struct {
	No          int32
	Hub         string // empty for a server
	Name        string
	Build       string
	State       WorkerState
	StartedAt   time.Time
	HeartbeatAt time.Time
	EndedAt     *time.Time
	Capabilities
}

// WorkerState is what is known of a worker's life.
type WorkerState int16

// The states of a worker.
const (
	WorkerOnline WorkerState = 0
	WorkerLost   WorkerState = 1
	WorkerLeft   WorkerState = 2
)

// Workers lists a hub's workers that are online, and those that ended within a time. Errors: NOT_FOUND (hub).
func (e *Engine) Workers(ctx context.Context, hubName string, endedWithin time.Duration) ([]WorkerInfo, error) {
	return e.ListWorkers(ctx, WorkerQuery{Hub: hubName, EndedWithin: endedWithin, Limit: math.MaxInt32})
}

// WorkerQuery selects workers of a hub.
type WorkerQuery struct {
	Hub string
	// States are those that are listed; none means all.
	States []WorkerState
	// EndedWithin is how long ago those that are not online may have ended. They are known for a day.
	EndedWithin time.Duration
	// After is the number after which the list begins, and Limit how many it has at most.
	After int32
	Limit int
}

// ListWorkers lists workers by number. Errors: NOT_FOUND (hub).
func (e *Engine) ListWorkers(ctx context.Context, q WorkerQuery) ([]WorkerInfo, error) {
	hub, err := e.hub(ctx, q.Hub)
	if err != nil {
		return nil, err
	}
	states := make([]int16, len(q.States))
	for n, s := range q.States {
		states[n] = int16(s)
	}
	rows, err := e.q.ListWorkers(ctx, e.pool, store.ListWorkersParams{
		Hub: &hub.no, EndedWithin: q.EndedWithin.Seconds(), After: q.After, States: states, MaxRows: int32(min(q.Limit, math.MaxInt32)),
	})
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	out := make([]WorkerInfo, 0, len(rows))
	for _, r := range rows {
		w := WorkerInfo{
			No: r.No, Hub: q.Hub, Name: r.Name, Build: r.Build, State: WorkerState(r.State), StartedAt: r.StartedAt,
			HeartbeatAt: r.HeartbeatAt, EndedAt: r.EndedAt,
		}
		if err := json.Unmarshal(r.Caps, &w.Capabilities); err != nil {
			return nil, fmt.Errorf("read worker %d: %w", r.No, err)
		}
		out = append(out, w)
	}
	return out, nil
}

// Secret reads a value that all servers of the database share, such as "cursor_key".
func (e *Engine) Secret(ctx context.Context, key string) ([]byte, error) {
	value, err := e.q.GetSetting(ctx, e.pool, key)
	if err != nil {
		return nil, fmt.Errorf("read setting %s: %w", key, err)
	}
	return value, nil
}

// Now is the database's time.
func (e *Engine) Now(ctx context.Context) (time.Time, error) {
	now, err := e.q.Now(ctx, e.pool)
	if err != nil {
		return time.Time{}, fmt.Errorf("read time: %w", err)
	}
	return now, nil
}

// PayloadLimit is the largest value accepted, in bytes.
func (e *Engine) PayloadLimit() int { return e.cfg.PayloadLimit }

// RiverOwned tells whether River's tables were made for Weir, so that Weir's River clients may do River's
// housekeeping. In the tables of another application they must not.
func (e *Engine) RiverOwned(ctx context.Context) bool {
	value, err := e.q.GetSetting(ctx, e.pool, "river_owned")
	return err == nil && string(value) == "true"
}
