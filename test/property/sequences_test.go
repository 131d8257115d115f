package property_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
	"github.com/weir-dev/weir/internal/weirtest/check"
)

// lanes is how many sequences run at once.
const lanes = 32

var sequences = flag.Int("sequences", 320, "how many sequences of operations are tried")

func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]int{"test.parallel": lanes, "rapid.checks": (*sequences + lanes - 1) / lanes} {
		if err := flag.Set(name, strconv.Itoa(value)); err != nil {
			panic(err)
		}
	}
	slog.SetDefault(logger())
	pgtest.Main(m)
}

// logger is silent, because connections are broken on purpose; WEIR_TEST_LOG has it speak.
func logger() *slog.Logger {
	to := io.Discard
	if os.Getenv("WEIR_TEST_LOG") != "" {
		to = os.Stderr
	}
	return slog.New(slog.NewTextHandler(to, nil))
}

// bench is a database with workers for machines.
type bench struct {
	ctx    context.Context
	pool   *pgxpool.Pool
	client *durable.Client
	gates  gates
	names  atomic.Int64
	ops    atomic.Int64
}

// trial is what runs in one lane. patience is how long the database may take to come to where the model is. It is long until
// something has gone wrong: what comes then is to become simpler, and quickly.
type trial struct {
	*bench
	patience time.Duration
}

func (b *bench) trial() *trial { return &trial{b, 20 * time.Second} }

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{ctx: t.Context(), pool: weirtest.Pool(t)}
	b.gates.all = map[Job]*gate{}
	var err error
	if b.client, err = durable.NewClient(b.pool); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	return b
}

// work runs a worker until the test ends, or stop is called.
func (b *bench) work(t *testing.T, cfg durable.Config) (stop func()) {
	t.Helper()
	cfg.Logger, cfg.DrainTimeout = logger(), time.Millisecond
	w, err := durable.NewWorker(b.pool, &cfg, Machine.Handler(machine), Work.Handler(b.gates.work), Collector.Handler(collector))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(ctx); err != nil {
			t.Errorf("worker: %v", err)
		}
	}()
	return func() { cancel(); <-done }
}

// TestSequences does what callers and operators can do to instances, in every order that chance brings, and compares
// all that can be seen of them with a model after each operation. Meanwhile workers come and go.
func TestSequences(t *testing.T) {
	b := newBench(t)
	defer b.work(t, durable.Config{Activities: 2000, Cache: 8, IdleRelease: 2 * time.Millisecond})()
	defer b.work(t, durable.Config{Activities: 2000, IdleRelease: 20 * time.Millisecond, Queues: []string{"far"}})()
	began := time.Now()
	t.Run("Lanes", func(t *testing.T) {
		stop := make(chan struct{})
		gone := make(chan struct{})
		t.Cleanup(func() { close(stop); <-gone }) // runs once all lanes have ended
		go func() {
			defer close(gone)
			for {
				leave := b.work(t, durable.Config{Activities: 2000, IdleRelease: 50 * time.Millisecond})
				select {
				case <-stop:
					leave()
					return
				case <-time.After(time.Second): // how long a worker stays
					leave()
				}
			}
		}()
		for n := range lanes {
			t.Run(fmt.Sprintf("%02d", n), func(t *testing.T) {
				t.Parallel()
				rapid.MakeCheck(b.trial().sequence)(t)
			})
		}
	})
	if t.Failed() {
		return
	}
	took := time.Since(began)
	faults, err := check.Always(b.ctx, b.pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	d, err := engine.Diagnose(b.ctx, engine.Config{Pool: b.pool}, engine.DoctorOptions{Rows: 100_000, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.Findings {
		if f.Health == engine.HealthBroken && strings.HasPrefix(f.Check, "I") {
			t.Errorf("the doctor says: %s: %s: %v", f.Check, f.Detail, f.First)
		}
	}
	events := weirtest.CheckHistories(b.ctx, t, b.pool)
	t.Logf("%d sequences, %d operations, %d events left in histories, %s", b.names.Load(), b.ops.Load(), events, took.Round(time.Second))
}

// sequence is one sequence of operations, in the database and in the model.
type sequence struct {
	*trial
	t    *rapid.T
	m    *model
	root string
	n    int
}

func (b *trial) sequence(t *rapid.T) {
	s := &sequence{trial: b, t: t, m: &model{all: map[string]*instance{}}, root: fmt.Sprintf("s%d", b.names.Add(1))}
	defer s.leave()
	for range rapid.IntRange(1, 24).Draw(t, "operations") {
		s.operate()
		s.ops.Add(1)
		s.compare()
	}
}

// leave ends what is left of the sequence.
func (s *sequence) leave() {
	for _, i := range s.m.all {
		for _, step := range i.waits() {
			s.let(i, step, false)
		}
	}
	for id := range s.m.all {
		err := Machine.Instance(s.client, id).Terminate(s.ctx, "the sequence is over")
		if err != nil && !errors.Is(err, durable.ErrFinished) && !errors.Is(err, durable.ErrNotFound) {
			s.t.Errorf("clean up: %v", err)
		}
	}
}

// is compares an error with what the model expects.
func (s *sequence) is(err, want error) {
	s.t.Helper()
	if (want == nil) != (err == nil) || !errors.Is(err, want) {
		s.t.Fatalf("got error %v, want %v", err, want)
	}
}

func (s *sequence) let(i *instance, step int, fail bool) {
	j := Job{i.id, i.code.pending[step].n}
	select {
	case <-s.gates.of(j).open:
	default:
		s.gates.open(j, fail)
	}
}

var commands = []string{
	opNote, opNote, opCall, opCall, opMust, opFar, opNap, opSleep, opChild, opMustChild, opGiveUp, opAgain, opEnd, opFail,
}

var operations = []string{
	"signal", "signal", "signal", "signal", "signal", "signal", "finish", "finish", "finish", "cancel", "terminate", "suspend",
	"resume", "resume", "rewind", "rewind", "rewindStep", "restart", "purge", "start", "replace", "raiseOrStart",
}

// operate does one operation.
func (s *sequence) operate() {
	var (
		t     = s.t
		m     = s.m
		in    = Input{}
		began = len(m.ids) > 0
	)
	if !began {
		in.Stubborn = rapid.Bool().Draw(t, "stubborn")
		id := s.root
		switch how := rapid.SampledFrom([]string{"start", "start", "start", "delayed", "raiseOrStart"}).Draw(t, "how"); how {
		case "raiseOrStart":
			s.raiseOrStart(id, in)
		default:
			opts := []durable.StartOption{durable.ID(id)}
			if how == "delayed" {
				opts = append(opts, durable.Delay(time.Hour))
			}
			t.Logf("start %s %s", id, how)
			_, err := Machine.Start(s.ctx, s.client, in, opts...)
			s.is(err, nil)
			m.start(id, in, parent{}, how == "delayed")
		}
		return
	}
	id := rapid.SampledFrom(m.ids).Draw(t, "instance")
	i := m.all[id]
	inst := Machine.Instance(s.client, id)
	op := rapid.SampledFrom(operations).Draw(t, "operation")
	if i == nil && op != "start" && op != "raiseOrStart" {
		s.missing(inst, op)
		return
	}
	switch op {
	case "signal":
		s.signal(i)
	case "finish":
		s.finish(i)
	case "cancel":
		t.Logf("cancel %s", id)
		s.is(inst.Cancel(s.ctx, "why"), ended(i))
		if i.live() {
			m.cancel(i)
		}
	case "terminate":
		recursive := rapid.Bool().Draw(t, "recursive")
		t.Logf("terminate %s recursive %v", id, recursive)
		s.is(inst.Terminate(s.ctx, "why", durable.Recursive(recursive)), ended(i))
		if i.live() {
			m.terminate(i, recursive)
		}
	case "suspend":
		t.Logf("suspend %s", id)
		s.is(inst.Suspend(s.ctx, "why"), ended(i))
		if i.live() {
			m.suspend(i)
		}
	case "resume":
		t.Logf("resume %s", id)
		s.is(inst.Resume(s.ctx, "why"), ended(i))
		if i.live() {
			m.resume(i)
		}
	case "rewind":
		s.rewind(i, -1)
	case "rewindStep":
		s.rewindStep(i)
	case "restart":
		t.Logf("restart %s", id)
		_, err := inst.Restart(s.ctx)
		if i.live() {
			s.is(err, durable.ErrWrongState)
			return
		}
		s.is(err, nil)
		m.restart(i)
	case "purge":
		recursive := rapid.Bool().Draw(t, "recursive")
		t.Logf("purge %s recursive %v", id, recursive)
		done, err := s.client.Purge(s.ctx, durable.Purge{IDs: []string{id}, Recursive: recursive})
		s.is(err, nil)
		n, refused := m.purge(i, recursive)
		s.is(done.Refused[id], refused)
		if done.Deleted != n {
			t.Fatalf("%d instances purged, want %d", done.Deleted, n)
		}
	case "start":
		t.Logf("start %s", id)
		_, err := Machine.Start(s.ctx, s.client, in, durable.ID(id))
		if i != nil {
			s.is(err, durable.ErrExists)
			return
		}
		s.is(err, nil)
		m.start(id, in, parent{}, false)
	case "replace":
		t.Logf("replace %s", id)
		_, err := Machine.Start(s.ctx, s.client, in, durable.ID(id), durable.Reuse{Replace: every})
		s.is(err, nil)
		m.replace(i, in)
	case "raiseOrStart":
		s.raiseOrStart(id, in)
	}
}

var (
	ends  = []string{"COMPLETED", "FAILED", "CANCELED", "TERMINATED"}
	every = append([]string{"PENDING", "RUNNING", "SUSPENDED"}, ends...)
)

// ended is the error of what needs a live instance.
func ended(i *instance) error {
	if i.live() {
		return nil
	}
	return durable.ErrFinished
}

// missing does something to an instance that is not there.
func (s *sequence) missing(inst *durable.Instance[string], op string) {
	s.t.Logf("%s %s, which is not there", op, inst.ID())
	var err error
	switch op {
	case "signal":
		err = Do.Raise(s.ctx, s.client, inst.ID(), Command{Op: opNote})
	case "cancel":
		err = inst.Cancel(s.ctx, "why")
	case "terminate":
		err = inst.Terminate(s.ctx, "why")
	case "suspend":
		err = inst.Suspend(s.ctx, "why")
	case "resume":
		err = inst.Resume(s.ctx, "why")
	case "rewind", "rewindStep":
		err = inst.Rewind(s.ctx, "why")
	case "restart":
		_, err = inst.Restart(s.ctx)
	case "purge":
		done, failed := s.client.Purge(s.ctx, durable.Purge{IDs: []string{inst.ID()}})
		s.is(failed, nil)
		err = done.Refused[inst.ID()]
	default:
		return
	}
	s.is(err, durable.ErrNotFound)
}

// command draws one. Machines have machines below them to a depth of two.
func (s *sequence) command(id string) Command {
	s.n++
	c := Command{rapid.SampledFrom(commands).Draw(s.t, "command"), s.n}
	if depth := len(id) - len(s.root); depth > 4 && (c.Op == opChild || c.Op == opMustChild) {
		c.Op = opNote
	}
	return c
}

// signal raises commands: some that are only written down, and one of any kind.
func (s *sequence) signal(i *instance) {
	var burst []Command
	for range rapid.IntRange(0, 3).Draw(s.t, "notes") {
		s.n++
		burst = append(burst, Command{opNote, s.n})
	}
	for _, c := range append(burst, s.command(i.id)) {
		key := fmt.Sprint(c.N)
		twice := rapid.IntRange(0, 4).Draw(s.t, "twice") == 0
		s.t.Logf("signal %s %s%d twice %v", i.id, c.Op, c.N, twice)
		err := Do.Raise(s.ctx, s.client, i.id, c, durable.Key(key))
		if errors.Is(err, durable.ErrFinished) && len(burst) > 0 && !i.live() {
			return
		}
		s.is(err, ended(i))
		if !i.live() {
			return
		}
		if twice {
			if err := Do.Raise(s.ctx, s.client, i.id, c, durable.Key(key)); !errors.Is(err, durable.ErrFinished) {
				s.is(err, nil)
			}
		}
		s.m.reach(i, input{kind: inCommand, cmd: c})
	}
}

func (s *sequence) finish(i *instance) {
	waits := i.waits()
	if len(waits) == 0 {
		return
	}
	step := rapid.SampledFrom(waits).Draw(s.t, "step")
	if slices.ContainsFunc(i.held, func(in input) bool { return in.kind == inResult && in.step == step }) {
		return
	}
	fail := rapid.Bool().Draw(s.t, "fails")
	s.t.Logf("finish %s step %d fails %v", i.id, step, fail)
	s.let(i, step, fail)
	out := ""
	if !fail {
		out = "done"
	}
	s.m.reach(i, input{kind: inResult, gen: i.gen, step: step, ok: !fail, out: out})
}

func (s *sequence) raiseOrStart(id string, in Input) {
	i := s.m.all[id]
	replace := rapid.Bool().Draw(s.t, "replace")
	c := s.command(id)
	s.t.Logf("raise %s%d or start %s replace %v", c.Op, c.N, id, replace)
	opts := []durable.StartOption{durable.ID(id)}
	if replace {
		opts = append(opts, durable.Reuse{Replace: ends})
	}
	existing, err := Do.RaiseOrStart(s.ctx, s.client, Machine.With(in, opts...), c)
	switch {
	case i != nil && !i.live() && !replace:
		s.is(err, durable.ErrExists)
		return
	case i != nil && i.live():
		s.is(err, nil)
	case i != nil:
		s.is(err, nil)
		s.m.replace(i, in)
	default:
		s.is(err, nil)
		s.m.start(id, in, parent{}, false)
	}
	if want := i != nil && i.live(); existing != want {
		s.t.Fatalf("existing %v, want %v", existing, want)
	}
	s.m.reach(s.m.all[id], input{kind: inCommand, cmd: c})
}

func (s *sequence) rewindStep(i *instance) {
	var steps []int
	for _, turn := range i.turns {
		for _, in := range turn {
			if in.kind == inResult {
				steps = append(steps, in.step)
			}
		}
	}
	if len(steps) > 0 {
		s.rewind(i, rapid.SampledFrom(steps).Draw(s.t, "step"))
	}
}

func (s *sequence) rewind(i *instance, step int) {
	r, ok := i.plan(step)
	if ok && len(r.taken) > 1 {
		return // two children would end in an order that nobody knows
	}
	s.t.Logf("rewind %s step %d", i.id, step)
	var opts []durable.RewindOption
	if step >= 0 {
		opts = append(opts, durable.FromStep(step))
	}
	if !i.live() {
		for _, id := range s.m.ids { // whatever is done again waits for us again
			s.gates.shut(id)
		}
	}
	err := Machine.Instance(s.client, i.id).Rewind(s.ctx, "why", opts...)
	if i.live() || !ok {
		s.is(err, durable.ErrWrongState)
		return
	}
	s.is(err, nil)
	s.m.rewind(i, step)
}

// seen is what can be seen of an instance.
type seen struct {
	Status, Shown, Output string
	Gen, Held             int
}

func (i *instance) seen() seen {
	w := seen{Status: i.status, Shown: i.shown, Output: i.output, Gen: i.gen}
	for _, in := range i.held {
		if in.kind != inStart {
			w.Held++
		}
	}
	return w
}

// compare waits until the database shows what the model does.
func (s *sequence) compare() {
	deadline := time.Now().Add(s.patience)
	for wait := time.Millisecond; ; wait = min(2*wait, 16*time.Millisecond) {
		got, err := s.look()
		if err != nil {
			s.t.Fatal(err)
		}
		wrong := ""
		for _, id := range s.m.ids {
			have, found := got[id]
			switch i := s.m.all[id]; {
			case i == nil && found:
				wrong = fmt.Sprintf("%s is there: %+v", id, have)
			case i != nil && !found:
				wrong = fmt.Sprintf("%s is not there", id)
			case i != nil && have != i.seen():
				wrong = fmt.Sprintf("%s\n is   %+v\n want %+v", id, have, i.seen())
			}
		}
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			s.patience = 3 * time.Second
			s.t.Fatal(wrong)
		}
		time.Sleep(wait) // what is waited for shows in the database only
	}
}

func (s *sequence) look() (map[string]seen, error) {
	rows, err := s.pool.Query(s.ctx, `SELECT id, status, coalesce(convert_from(custom_status, 'UTF8')::jsonb #>> '{}', ''),
		coalesce(convert_from(output, 'UTF8')::jsonb #>> '{}', ''), gen, (SELECT count(*) FROM weir.inbox b WHERE b.instance_no = i.no)
		FROM weir.instances i WHERE hub = 1 AND id = ANY($1)`, s.m.ids)
	if err != nil {
		return nil, err
	}
	out := map[string]seen{}
	var (
		id     string
		status int16
		one    seen
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &status, &one.Shown, &one.Output, &one.Gen, &one.Held}, func() error {
		one.Status = history.Status(status).String()
		out[id] = one
		return nil
	})
	return out, err
}
