package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// simStore is the database of a simulation: what the statements of a batch do, in memory. A batch is applied to a copy,
// which takes the place of the original when all of its statements have succeeded.
type simStore struct {
	instances map[int64]simInstance
	inbox     map[int64][]store.Inbox
	history   map[int64][]store.ReadGenerationRow
	timers    map[timerKey]time.Time
	jobs      map[int64]simJob
	lanes     map[int32]simLane
	workers   map[int32]int16 // states: 0 lives, 1 is fenced, 2 has left
	keys      map[simKey]bool
	wakes     []simWake // notifications to owners
	messages  int64
	ids       int64
}

type simInstance struct {
	no, seq, base         int64
	turnJob, parentNo     int64
	epoch, gen, owner     int32
	parentGen, parentTask int32
	status                history.Status
	started               bool
	id, name              string
	input, output         []byte
	failure, held         []byte
}

// simJob is a row of River's.
type simJob struct {
	id     int64
	state  string
	kind   string
	client string
	no     int64 // of turn jobs
	args   []byte
	key    taskKey
	task   bool
	tried  bool
}

type simLane struct {
	inc   int32
	batch int64
}

type simKey struct {
	no  int64
	key string
}

type simWake struct {
	owner int32
	no    int64
}

func newSimStore() *simStore {
	return &simStore{
		instances: map[int64]simInstance{}, inbox: map[int64][]store.Inbox{}, history: map[int64][]store.ReadGenerationRow{},
		timers: map[timerKey]time.Time{}, jobs: map[int64]simJob{}, lanes: map[int32]simLane{}, workers: map[int32]int16{},
		keys: map[simKey]bool{},
	}
}

func (s *simStore) clone() *simStore {
	c := *s
	c.instances, c.timers, c.jobs = maps.Clone(s.instances), maps.Clone(s.timers), maps.Clone(s.jobs)
	c.lanes, c.keys, c.wakes = maps.Clone(s.lanes), maps.Clone(s.keys), slices.Clone(s.wakes)
	c.inbox, c.history = maps.Clone(s.inbox), maps.Clone(s.history)
	for no, rows := range c.inbox {
		c.inbox[no] = slices.Clip(rows) // appending copies
	}
	for no, rows := range c.history {
		c.history[no] = slices.Clip(rows)
	}
	return &c
}

func (s *simStore) newID() int64 {
	s.ids++
	return s.ids
}

func pgError(code string) error { return &pgconn.PgError{Code: code} }

// commit is Batch.Run.
func (s *simStore) commit(b *store.Batch) (*store.Result, error) {
	t := &simTx{simStore: s.clone(), b: b, r: &store.Result{
		Purged: map[int64]store.PurgeInstancesRow{}, TakenOver: map[int64]bool{}, Terminated: map[int64]store.TerminateInstancesRow{},
		Controlled: map[int64]store.ControlInstancesRow{}, Restarted: map[int64]store.RestartInstancesRow{},
		Statuses: map[int64]store.ReadStatusesRow{}, Tags: map[int64]store.SetTagsRow{}, Parked: map[int64]bool{},
		Released: map[int64]bool{}, Delivered: map[int64]int{},
	}}
	if others := len(b.Purges.Nos) + len(b.Restarts) + len(b.CancelPending.Nos) + len(b.Parks.Tokens) + len(b.Retries.Nos) + len(b.Firings.Nos) +
		len(b.Sends.Hubs) + len(b.Deliveries.Nos) + len(b.Flow.Deadlines.Nos) + len(b.Tags.Nos); others > 0 {
		panic("the store of the simulation does not know this statement yet")
	}
	for _, part := range []func() error{t.rows, t.delivered, t.effects} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	*s = *t.simStore
	return t.r, nil
}

// simTx is a batch on its way.
type simTx struct {
	*simStore
	b *store.Batch
	r *store.Result
}

// compare is the compare-and-set of B2: it changes the instance, or the batch has lost.
func (t *simTx) compare(no, base int64, epoch int32, job int64, worker int32, change func(i *simInstance)) error {
	i, ok := t.instances[no]
	mine := job == 0 && i.owner == worker || job != 0 && i.owner == 0 && i.turnJob == job
	if !ok || i.seq != base || i.epoch != epoch || !i.status.Live() || !mine {
		return pgError(store.CodeLost)
	}
	change(&i)
	t.instances[no] = i
	return nil
}

// rows is B0 to B3.
func (t *simTx) rows() error {
	b := t.b
	if w := b.Lane.WorkerNo; w != 0 {
		l, ok := t.lanes[w]
		if !ok || l.inc != b.Lane.Inc || l.batch != b.Lane.Previous {
			return pgError(store.CodeFenced)
		}
		l.batch++
		t.lanes[w] = l
	}
	for n, no := range b.Turns.Nos {
		status := history.Status(b.Turns.Statuses[n])
		err := t.compare(no, b.Turns.Bases[n], b.Turns.Epochs[n], b.Turns.Jobs[n], b.WorkerNo, func(i *simInstance) {
			i.seq, i.status, i.owner, i.held = b.Turns.Seqs[n], status, b.WorkerNo, nil
			i.output, i.failure = b.Turns.Outputs[n], b.Turns.Failures[n]
			if status == history.Running || !status.Live() {
				i.started = true
			}
			if !status.Live() {
				i.owner, i.turnJob = 0, 0
			}
		})
		if err != nil {
			return err
		}
	}
	for n, no := range b.Continues.Nos {
		c := &b.Continues
		err := t.compare(no, c.Bases[n], c.Epochs[n], c.Jobs[n], b.WorkerNo, func(i *simInstance) {
			i.seq, i.base, i.status, i.owner, i.held = c.Seqs[n], c.Seqs[n]+1, history.Running, b.WorkerNo, nil
			i.gen++
			i.started, i.input = true, c.Inputs[n]
		})
		if err != nil {
			return err
		}
	}
	for n, no := range b.Claims.Nos {
		c := &b.Claims
		if err := t.compare(no, c.Bases[n], c.Epochs[n], c.Jobs[n], b.WorkerNo, func(i *simInstance) { i.owner = b.WorkerNo }); err != nil {
			return err
		}
	}
	for n, no := range b.Holds.Nos {
		h := &b.Holds
		err := t.compare(no, h.Bases[n], h.Epochs[n], h.Jobs[n], b.WorkerNo, func(i *simInstance) { i.owner, i.held = 0, h.Helds[n] })
		if err != nil {
			return err
		}
	}
	for n, no := range b.TakeOvers.Nos {
		if i, ok := t.instances[no]; ok && i.turnJob == b.TakeOvers.Jobs[n] && i.turnJob != 0 && i.status.Live() {
			i.owner = b.WorkerNo
			i.epoch++
			t.instances[no] = i
			t.r.TakenOver[no] = true
		}
	}
	t.terminates()
	t.controls()
	for n, no := range b.Starts.Nos {
		s := &b.Starts
		for _, i := range t.instances {
			if i.id == s.Ids[n] {
				return &pgconn.PgError{Code: "23505", ConstraintName: "instances_id"}
			}
		}
		t.instances[no] = simInstance{
			no: no, base: 1, turnJob: s.TurnJobs[n], parentNo: s.ParentNos[n], parentGen: s.ParentGens[n], parentTask: s.ParentTasks[n],
			status: history.Pending, id: s.Ids[n], name: s.Names[n], input: slices.Clone(s.Inputs[n]),
		}
	}
	return nil
}

func (t *simTx) terminates() {
	for n, no := range t.b.Terminates.Nos {
		i, ok := t.instances[no]
		if !ok || !i.status.Live() {
			continue
		}
		t.r.Terminated[no] = store.TerminateInstancesRow{No: no, Seq: i.seq + int64(t.b.Terminates.Counts[n]), Owner: i.owner}
		delete(t.jobs, i.turnJob)
		i.seq += int64(t.b.Terminates.Counts[n])
		i.epoch++
		i.status, i.owner, i.turnJob, i.failure = history.Terminated, 0, 0, t.b.Terminates.Failures[n]
		t.instances[no] = i
		t.record(no, i.seq, t.b.Terminates.Counts[n], t.b.Terminates.Events[n])
	}
}

func (t *simTx) controls() {
	c := &t.b.Controls
	for n, no := range c.Nos {
		i, ok := t.instances[no]
		if !ok {
			continue
		}
		row := store.ControlInstancesRow{No: no, Status: int16(i.status), NowStatus: int16(i.status)}
		busy := i.owner != 0 || slices.ContainsFunc(t.inbox[no], func(x store.Inbox) bool { return x.Kind == msgSuspend || x.Kind == msgResume })
		switch {
		case busy && i.status.Live():
			t.post(no, i.gen, 0, c.Kinds[n], c.Payloads[n])
		case c.Kinds[n] == msgSuspend && i.status.Live() && i.status != history.Suspended, c.Kinds[n] == msgResume && i.status == history.Suspended:
			i.seq += int64(c.Counts[n])
			switch {
			case c.Kinds[n] == msgSuspend:
				i.status = history.Suspended
			case i.started:
				i.status = history.Running
			default:
				i.status = history.Pending
			}
			t.instances[no] = i
			t.record(no, i.seq, c.Counts[n], c.Events[n])
			row.Seq, row.NowStatus = i.seq, int16(i.status)
		}
		t.r.Controlled[no] = row
	}
}

func (t *simTx) record(no, seq int64, n int32, events []byte) {
	t.history[no] = append(t.history[no], store.ReadGenerationRow{Seq: seq, N: n, Codec: history.JSON, Events: slices.Clone(events)})
}

func (t *simTx) post(no int64, gen, task int32, kind int16, payload []byte) {
	t.messages++
	t.inbox[no] = append(t.inbox[no], store.Inbox{InstanceNo: no, ID: t.messages, Gen: gen, Task: task, Kind: kind, Payload: slices.Clone(payload)})
	t.r.Delivered[no]++
}

// waits tells whether an instance of that generation is there and live.
func (t *simTx) waits(no int64, gen int32) bool {
	i, ok := t.instances[no]
	return ok && i.status.Live() && (gen == -1 || i.gen == gen)
}

// delivered is B4 to B6.
func (t *simTx) delivered() error {
	b := t.b
	for n, no := range b.History.Nos {
		t.record(no, b.History.Seqs[n], b.History.Counts[n], b.History.Events[n])
	}
	for n, no := range b.Cuts.Nos {
		t.history[no] = slices.DeleteFunc(slices.Clone(t.history[no]), func(row store.ReadGenerationRow) bool { return row.Seq < b.Cuts.Befores[n] })
	}
	for n, no := range b.Consumed.Nos {
		at := slices.IndexFunc(t.inbox[no], func(x store.Inbox) bool { return x.ID == b.Consumed.Ids[n] })
		if at < 0 {
			return pgError(store.CodeBug)
		}
		t.inbox[no] = slices.Delete(slices.Clone(t.inbox[no]), at, at+1)
	}
	for _, no := range b.DropInboxes {
		delete(t.inbox, no)
	}
	for n, token := range b.Tasks.Tokens {
		_, there := t.jobs[token]
		delete(t.jobs, token)
		if no, gen := b.Tasks.Nos[n], b.Tasks.Gens[n]; there && t.waits(no, gen) {
			t.post(no, gen, b.Tasks.Tasks[n], msgResult, b.Tasks.Payloads[n])
		}
	}
	for n, no := range b.Timers.Nos {
		key := timerKey{taskKey{no, b.Timers.Gens[n], b.Timers.Tasks[n]}, b.Timers.Kinds[n]}
		at, there := t.timers[key]
		if !there || at.After(time.Now()) {
			continue
		}
		delete(t.timers, key)
		if t.waits(no, key.gen) {
			t.post(no, key.gen, key.task, msgTimer, nil)
		}
	}
	for n, no := range b.Raises.Nos {
		i := t.instances[no]
		t.r.Statuses[no] = store.ReadStatusesRow{No: no, Status: int16(i.status), Seq: i.seq}
		key := simKey{no, b.Raises.Keys[n]}
		if i.status.Live() && (key.key == "" || !t.keys[key]) {
			t.keys[key] = true
			t.post(no, i.gen, 0, msgEvent, b.Raises.Payloads[n])
		}
	}
	for n, no := range b.Messages.Nos {
		if t.waits(no, b.Messages.Gens[n]) {
			t.post(no, t.instances[no].gen, b.Messages.Tasks[n], b.Messages.Kinds[n], b.Messages.Payloads[n])
		}
	}
	return nil
}

// effects is B7 to B10.
func (t *simTx) effects() error {
	b := t.b
	for n, no := range b.Cancels.Nos {
		key := taskKey{no, b.Cancels.Gens[n], b.Cancels.Tasks[n]}
		maps.DeleteFunc(t.timers, func(k timerKey, _ time.Time) bool { return k.taskKey == key })
		t.deleteTasks(func(k taskKey) bool { return k == key })
	}
	for _, no := range b.DropTimers {
		maps.DeleteFunc(t.timers, func(k timerKey, _ time.Time) bool { return k.no == no })
	}
	for n, no := range b.NewTimers.Nos {
		t.timers[timerKey{taskKey{no, b.NewTimers.Gens[n], b.NewTimers.Tasks[n]}, b.NewTimers.Kinds[n]}] = b.NewTimers.FireAts[n]
	}
	for _, no := range b.DropTasks {
		t.deleteTasks(func(k taskKey) bool { return k.no == no })
	}
	for _, id := range b.DeleteJobs {
		delete(t.jobs, id)
	}
	for n, old := range b.Replaces.Olds {
		if j, ok := t.jobs[old]; ok {
			delete(t.jobs, old)
			j.id, j.state, j.client = b.Replaces.News[n], "available", ""
			t.jobs[j.id] = j
		}
	}
	for n, id := range b.Jobs.Ids {
		j := simJob{id: id, state: b.Jobs.States[n], kind: b.Jobs.Kinds[n], args: slices.Clone(b.Jobs.Args[n])}
		if j.state == "running" {
			j.client = b.Jobs.Client
		}
		j.key, j.task = parseTaskKey(b.Jobs.UniqueKeys[n])
		if !j.task {
			j.no = noOf(j.args)
		}
		for _, other := range t.jobs {
			if j.task && other.task && other.key == j.key {
				return pgError("23505") // two rows of one task
			}
		}
		t.jobs[id] = j
	}
	for n, no := range b.HandOvers.Nos {
		i := t.instances[no]
		i.owner, i.turnJob = 0, b.HandOvers.TurnJobs[n]
		i.epoch++
		t.instances[no] = i
	}
	t.releases()
	t.wake()
	for n, no := range b.Inboxes.Nos {
		for _, x := range t.inbox[no] {
			if x.ID > b.Inboxes.Afters[n] {
				t.r.Inboxes = append(t.r.Inboxes, x)
			}
		}
	}
	return nil
}

func (t *simTx) deleteTasks(which func(taskKey) bool) {
	maps.DeleteFunc(t.jobs, func(_ int64, j simJob) bool { return j.task && which(j.key) })
}

// actable tells whether a session has something to do.
func (s *simStore) actable(i simInstance) bool {
	return i.status == history.Pending || slices.ContainsFunc(s.inbox[i.no], func(x store.Inbox) bool {
		return i.status != history.Suspended || x.Kind == msgSuspend || x.Kind == msgResume
	})
}

func (t *simTx) releases() {
	r := &t.b.Releases
	for n, no := range r.Nos {
		i, owner := t.instances[no], int32(0)
		if r.Claims[n] {
			owner = t.b.WorkerNo
		}
		if i.seq != r.Seqs[n] || i.epoch != r.Epochs[n] || i.turnJob != r.Jobs[n] || !i.status.Live() || i.owner != owner || t.actable(i) {
			continue
		}
		delete(t.jobs, i.turnJob)
		i.owner, i.turnJob, i.held = 0, 0, nil
		t.instances[no] = i
		t.r.Released[no] = true
	}
}

func (t *simTx) wake() {
	for n, no := range t.b.Wakes.Nos {
		i, ok := t.instances[no]
		switch {
		case !ok || !i.status.Live():
		case i.owner == 0 && i.turnJob == 0 && t.actable(i):
			i.turnJob = t.b.Wakes.Jobs[n]
			t.instances[no] = i
			t.jobs[i.turnJob] = simJob{id: i.turnJob, state: "available", kind: "turn:" + i.name, no: no}
		case i.owner == t.b.WorkerNo:
			t.r.Mine = append(t.r.Mine, no)
		case i.owner != 0:
			t.wakes = append(t.wakes, simWake{i.owner, no})
		}
	}
}

// open is OpenSessions for one instance.
func (s *simStore) open(worker int32, client string, no int64) *store.OpenSessionsRow {
	i, ok := s.instances[no]
	row := &store.OpenSessionsRow{No: no, WorkerState: s.workers[worker], Found: ok}
	if !ok {
		return row
	}
	at := time.Time{}
	row.CreatedAt = &at
	if i.started {
		row.StartedAt = &at
	} else {
		row.Input = i.input
	}
	row.Seq, row.BaseSeq, row.TurnJob, row.ParentNo, row.Hub = i.seq, i.base, i.turnJob, i.parentNo, 1
	row.Epoch, row.Gen, row.Owner, row.ParentGen, row.ParentTask = i.epoch, i.gen, i.owner, i.parentGen, i.parentTask
	row.Status, row.Held, row.ID, row.Name = int16(i.status), i.held != nil, i.id, i.name
	if p, ok := s.instances[i.parentNo]; ok {
		row.ParentID, row.ParentName = p.id, p.name
	}
	for _, x := range s.inbox[no] {
		row.Ids, row.Gens, row.Tasks = append(row.Ids, x.ID), append(row.Gens, x.Gen), append(row.Tasks, x.Task)
		row.Kinds, row.Payloads = append(row.Kinds, x.Kind), append(row.Payloads, x.Payload)
	}
	for _, j := range s.sorted() {
		if j.task && j.key.no == no && i.seq > 0 {
			row.JobIds, row.JobGens, row.JobTasks = append(row.JobIds, j.id), append(row.JobGens, j.key.gen), append(row.JobTasks, j.key.task)
			row.JobMine = append(row.JobMine, j.state == "running" && j.client == client)
		}
	}
	return row
}

// sorted are the jobs by id.
func (s *simStore) sorted() []simJob {
	return slices.SortedFunc(maps.Values(s.jobs), func(a, b simJob) int { return cmp.Compare(a.id, b.id) })
}

// generation is ReadGeneration.
func (s *simStore) generation(p store.ReadGenerationParams) (rows []store.ReadGenerationRow) {
	for _, row := range s.history[p.No] {
		if row.Seq >= p.BaseSeq && row.Seq <= p.Seq {
			rows = append(rows, row)
		}
	}
	return rows
}

// sweep replaces a job that runs in the name of a worker that does not live (SweepTurns and SweepTasks).
func (s *simStore) sweep(j simJob) {
	delete(s.jobs, j.id)
	no := j.no
	if j.task {
		no = j.key.no
	}
	i, ok := s.instances[no]
	switch {
	case !ok || !i.status.Live():
	case j.task:
		if i.gen == j.key.gen {
			j.id, j.state, j.client = s.newID(), "available", ""
			s.jobs[j.id] = j
		}
	case i.turnJob == j.id:
		i.turnJob, i.owner = s.newID(), 0
		i.epoch++
		s.instances[no] = i
		s.jobs[i.turnJob] = simJob{id: i.turnJob, state: "available", kind: j.kind, no: no}
	}
}

// wrong is what must not be in any state; "" if all is right.
func (s *simStore) wrong() string {
	for no, i := range s.instances {
		j, there := s.jobs[i.turnJob]
		switch {
		case !i.status.Live() && (i.owner != 0 || i.turnJob != 0 || len(s.inbox[no]) > 0):
			return i.id + " has ended, and has an owner, a turn job or messages"
		case i.owner != 0 && i.turnJob == 0:
			return i.id + " has an owner and no turn job"
		case i.turnJob != 0 && (!there || j.task):
			return i.id + " names a turn job that is not there"
		case i.status.Live() && i.turnJob == 0 && s.actable(i):
			return i.id + " has something to do, and nobody is to do it"
		}
	}
	for key := range s.timers {
		if i := s.instances[key.no]; !i.status.Live() || i.gen != key.gen {
			return "a timer is left of " + i.id
		}
	}
	for _, j := range s.jobs {
		if i := s.instances[j.key.no]; j.task && (!i.status.Live() || i.gen != j.key.gen) {
			return fmt.Sprintf("a task's row is left of %s (%+v): %+v", i.id, i, j)
		}
	}
	return ""
}
