package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/tracing"
)

// Config says which database an Engine works on, and its limits.
type Config struct {
	// Pool names the database. The engine opens connections of its own with the pool's configuration; the
	// pool itself is used for nothing.
	Pool *pgxpool.Pool
	// Schema and RiverSchema are where Weir's and River's tables live; empty means "weir" and "river".
	Schema      string
	RiverSchema string
	// PayloadLimit bounds one value (input, output, event, custom status), in bytes; 0 means 16 MiB.
	PayloadLimit int
	// PoolSize bounds the connections for reads; 0 means 8.
	PoolSize int32
	Logger   *slog.Logger
	// Tracing says what becomes of spans.
	Tracing tracing.Config
	// SecretKey seals the secrets of webhooks: 32 bytes, the same for all servers; nil means a key that is in the database,
	// where only its servers may read it.
	SecretKey []byte
}

// DefaultPayloadLimit is the largest value that is accepted unless a Config says otherwise: 16 MiB.
const DefaultPayloadLimit = 16 << 20

// Engine is a process's handle on the instances of a database: it starts and controls them, reads them, and
// watches them change. Executing them is the business of a Node, which an Engine can join.
type Engine struct {
	cfg Config
	db  *store.DB
	// pool is for statements of a fixed form, whose plans are pinned: planning one anew costs more than running it.
	// lists is for those whose form and plan depend on what is asked for.
	pool  *pgxpool.Pool
	lists *pgxpool.Pool
	q     *store.Queries
	log   *slog.Logger

	instanceNos *blocks
	jobIDs      *blocks
	payloadIDs  *blocks

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu    sync.Mutex
	hubs  map[int32]*Hub
	names map[string]*Hub
	calls *lane // commits what callers of this process ask for; opened on first use
	feed  *feed
	ids   *idCache

	herald  *herald
	trail   *trail
	limiter *limiter
	plans   planAge
	known   knownVersions
	metrics *laneMetrics
}

// Hub is a task hub: an isolated set of instances with workers of their own.
type Hub struct {
	no   int32
	Name string
	// ActivityRows says that every activity gets a River row of its own from the start, visible in any River
	// tool, at the price of a row's insert and delete.
	ActivityRows bool
	readAt       time.Time
}

// hubFresh is how long a hub's options are believed.
const hubFresh = 5 * time.Second

// Open makes an Engine. It checks that the database is at the version this program needs, and returns an error
// that says what to do if it is not.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Pool == nil {
		return nil, invalid("pool", "must not be nil")
	}
	if cfg.Schema == "" {
		cfg.Schema = "weir"
	}
	if cfg.RiverSchema == "" {
		cfg.RiverSchema = "river"
	}
	if cfg.PayloadLimit == 0 {
		cfg.PayloadLimit = DefaultPayloadLimit
	}
	if cfg.PoolSize == 0 {
		cfg.PoolSize = 8
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	e := &Engine{
		cfg: cfg, db: store.NewDB(cfg.Pool.Config(), cfg.Schema, cfg.RiverSchema), q: store.New(), log: cfg.Logger,
		hubs: map[int32]*Hub{}, names: map[string]*Hub{}, ids: newIDCache(10_000), metrics: newLaneMetrics(),
	}
	var err error
	if e.pool, err = e.db.Pool(ctx, "reads", cfg.PoolSize, e.unhurried(), e.plans.now); err != nil {
		return nil, err
	}
	if e.lists, err = e.db.Pool(ctx, "lists", cfg.PoolSize, store.Paging(), nil); err != nil {
		e.pool.Close()
		return nil, err
	}
	if err := e.checkVersion(ctx); err != nil {
		e.closePools()
		return nil, err
	}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.instanceNos = &blocks{size: blockSize, fetch: e.fetchInstanceNos}
	e.jobIDs = &blocks{size: 512, fetch: func(ctx context.Context, n int) ([]int64, error) {
		return e.q.TakeJobIDs(ctx, e.pool, int32(n))
	}}
	e.payloadIDs = &blocks{size: 8, fetch: func(ctx context.Context, n int) ([]int64, error) {
		return e.q.TakePayloadIDs(ctx, e.pool, int32(n))
	}}
	e.feed = newFeed(e)
	e.herald, e.trail = newHerald(e), newTrail(e)
	e.limiter = newLimiter(e)
	return e, nil
}

// blockSize is the increment of the sequence instance_no: each value drawn stands for so many numbers.
const blockSize = 64

func (e *Engine) fetchInstanceNos(ctx context.Context, n int) ([]int64, error) {
	tops, err := e.q.TakeInstanceBlocks(ctx, e.pool, int32((n+blockSize-1)/blockSize))
	if err != nil {
		return nil, err
	}
	out := make([]int64, 0, len(tops)*blockSize)
	for _, top := range tops {
		for no := top - blockSize + 1; no <= top; no++ {
			out = append(out, no)
		}
	}
	return out, nil
}

// SchemaVersion is the version of the database schema that this package is written for.
const SchemaVersion = 20

func (e *Engine) checkVersion(ctx context.Context) error {
	have, err := e.q.MigrationVersion(ctx, e.pool)
	switch {
	case store.Code(err) == "42P01": // no such table
		have = 0
	case err != nil:
		return fmt.Errorf("read schema version: %w", err)
	}
	switch {
	case have < SchemaVersion:
		return &Error{Code: CodeWrongState, Field: "database", Message: fmt.Sprintf(
			"schema %q is at version %d, this program needs %d: run `weir migrate`, or migrations.Apply from Go", e.cfg.Schema, have, SchemaVersion)}
	case have > SchemaVersion:
		return &Error{Code: CodeWrongState, Field: "database", Message: fmt.Sprintf(
			"schema %q is at version %d, this program knows %d: use a newer version of it", e.cfg.Schema, have, SchemaVersion)}
	}
	var river bool
	table := pgx.Identifier{e.cfg.RiverSchema, "river_job"}.Sanitize()
	if err := e.pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&river); err != nil {
		return fmt.Errorf("look for river: %w", err)
	}
	if !river {
		return &Error{Code: CodeWrongState, Field: "database", Message: fmt.Sprintf(
			"schema %q has no tables of River: name the schema that has, or run `weir migrate`, or migrations.Apply from Go", e.cfg.RiverSchema)}
	}
	return nil
}

// Tracing says what becomes of spans in this process.
func (e *Engine) Tracing() *tracing.Config { return &e.cfg.Tracing }

// Close ends what the Engine runs in the background and closes its connections. Calls under way return with
// UNAVAILABLE.
func (e *Engine) Close() {
	e.cancel()
	e.work.Wait()
	e.closePools()
}

func (e *Engine) closePools() {
	e.pool.Close()
	e.lists.Close()
}

// unhurried are the settings of connections that have pinned plans and no lane's haste.
func (e *Engine) unhurried() map[string]string {
	settings := store.Pinned()
	settings["lock_timeout"] = "0"
	return settings
}

// EnsureHub creates a task hub if there is none of that name. Names have 3 to 45 letters, digits and hyphens
// and start with a letter.
func (e *Engine) EnsureHub(ctx context.Context, name string) error {
	if err := CheckHub("hub", name); err != nil {
		return err
	}
	if _, err := e.q.EnsureHub(ctx, e.pool, name); err != nil {
		return fmt.Errorf("create hub: %w", err)
	}
	return nil
}

// CreateHub creates a task hub. Errors: INVALID_ARGUMENT (name), ALREADY_EXISTS.
func (e *Engine) CreateHub(ctx context.Context, name string) error {
	if err := CheckHub("name", name); err != nil {
		return err
	}
	if name == SystemHub {
		return invalid("name", "%s is the servers' own hub", name)
	}
	n, err := e.q.EnsureHub(ctx, e.pool, name)
	if err != nil {
		return fmt.Errorf("create hub: %w", err)
	}
	if n == 0 {
		return &Error{Code: CodeAlreadyExists, Field: "name", Message: fmt.Sprintf("there is a hub %q already", name)}
	}
	return nil
}

// SetActivityRows sets a hub's option of the same name. Workers follow within 5 seconds.
func (e *Engine) SetActivityRows(ctx context.Context, hub string, on bool) error {
	n, err := e.q.SetHubActivityRows(ctx, e.pool, store.SetHubActivityRowsParams{ActivityRows: on, Name: hub})
	if err != nil {
		return fmt.Errorf("set hub option: %w", err)
	}
	if n == 0 {
		return hubNotFound(hub)
	}
	return nil
}

// Hubs lists the task hubs by name, without SystemHub.
func (e *Engine) Hubs(ctx context.Context) ([]string, error) {
	rows, err := e.q.ListHubs(ctx, e.pool)
	if err != nil {
		return nil, fmt.Errorf("list hubs: %w", err)
	}
	names := make([]string, 0, len(rows))
	for _, row := range rows {
		if row.Name != SystemHub {
			names = append(names, row.Name)
		}
	}
	return names, nil
}

// NoHub is the error of a hub that there is not.
func NoHub(name string) error { return hubNotFound(name) }

func hubNotFound(name string) error {
	return &Error{Code: CodeNotFound, Field: "hub", Message: fmt.Sprintf("there is no hub %q", name)}
}

// hub returns a hub by name. Errors: NOT_FOUND.
func (e *Engine) hub(ctx context.Context, name string) (*Hub, error) {
	e.mu.Lock()
	h := e.names[name]
	e.mu.Unlock()
	if h != nil && time.Since(h.readAt) < hubFresh {
		return h, nil
	}
	if CheckHub("hub", name) != nil { // there is none of such a name, and Postgres would refuse some
		return nil, hubNotFound(name)
	}
	row, err := e.q.GetHub(ctx, e.pool, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, hubNotFound(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read hub: %w", err)
	}
	return e.remember(row), nil
}

func (e *Engine) hubByNo(ctx context.Context, no int32) (*Hub, error) {
	e.mu.Lock()
	h := e.hubs[no]
	e.mu.Unlock()
	if h != nil && time.Since(h.readAt) < hubFresh {
		return h, nil
	}
	row, err := e.q.GetHubByNo(ctx, e.pool, no)
	if err != nil {
		return nil, fmt.Errorf("read hub %d: %w", no, err)
	}
	return e.remember(row), nil
}

func (e *Engine) remember(row store.Hub) *Hub {
	h := &Hub{no: row.No, Name: row.Name, ActivityRows: row.ActivityRows, readAt: time.Now()}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hubs[row.No], e.names[row.Name] = h, h
	return h
}

// callLane returns the lane on which this process commits what its callers ask for. It is not fenced by
// anybody, because nobody has to notice a caller's death; its row proves what has landed.
func (e *Engine) callLane(ctx context.Context) (*lane, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.calls != nil {
		return e.calls, nil
	}
	no, err := e.q.TakeWorkerNo(ctx, e.pool)
	if err != nil {
		return nil, fmt.Errorf("open lane: %w", err)
	}
	l := newLane(&lane{
		db: e.db, link: &pgLink{db: e.db, q: e.q, name: "calls"}, log: e.log, no: no, jobIDs: e.jobIDs,
		watched: e.feed.watchedBy(), plans: e.plans.now, tell: e.herald.tell, woken: func([]int64) {}, committed: e.feed.local, fenced: e.lostCallLane,
		limited: e.limiter.let, tracing: &e.cfg.Tracing, metrics: e.metrics,
	})
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	e.calls = l
	e.work.Go(func() { l.run(e.ctx) })
	e.plans.watch(e, time.Second)
	return l, nil
}

// lostCallLane forgets the lane after somebody removed its row (a process asleep for days): the next call opens
// another.
func (e *Engine) lostCallLane(error) {
	e.mu.Lock()
	e.calls = nil
	e.mu.Unlock()
}

// commit brings one unit of a caller into the database and returns its outcome. The caller may stop waiting;
// the unit goes on.
func (e *Engine) commit(ctx context.Context, u *unit) (outcome, error) {
	l, err := e.callLane(ctx)
	if err != nil {
		return outcome{}, err
	}
	answer := make(chan outcome, 1)
	u.done = func(_ *unit, o outcome) { answer <- o }
	l.submit(u)
	select {
	case o := <-answer:
		return o, o.err
	case <-ctx.Done():
		return outcome{}, ctx.Err()
	}
}

func statusOf(n int16) history.Status { return history.Status(n) }

// Hub returns a task hub by name. Errors: NOT_FOUND.
func (e *Engine) Hub(ctx context.Context, name string) (*Hub, error) { return e.hub(ctx, name) }

// RiverPool opens a pool for a River client. The caller closes it.
//
// River's own commits do not wait for the disk. What they say (this job is running here, it is done with) is
// only lost with the server itself; then every worker loses its number too, and the rows in its name are given
// out again. A commit of ours that builds on one of River's is later in the log, and is waited for.
func (e *Engine) RiverPool(ctx context.Context) (*pgxpool.Pool, error) {
	settings := e.unhurried()
	settings["synchronous_commit"] = "off"
	e.plans.watch(e, 250*time.Millisecond)
	return e.db.Pool(ctx, "river", 8, settings, e.plans.now)
}

// RiverSchema is the schema of River's tables.
func (e *Engine) RiverSchema() string { return e.cfg.RiverSchema }

// table qualifies a name of the weir schema, for statements in the transactions of others.
func (e *Engine) table(name string) string { return pgx.Identifier{e.cfg.Schema, name}.Sanitize() }
