package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/examples/checkout/orders"
	"github.com/weir-dev/weir/examples/ingest/files"
	"github.com/weir-dev/weir/examples/monitor/uptime"
)

// demoPace is how fast things happen in the demo.
type demoPace struct {
	// Order is the wait after the n-th order in this database.
	Order func(n int64) time.Duration
	// Think is the longest that the clerk takes, Within how long an order waits for it, and Linger how long an order
	// waits that no clerk ever looks at.
	Think, Within, Linger time.Duration
	// Ride is what the courier takes for a parcel.
	Ride time.Duration
	// Check is between two looks at the server's health, Ingest between two counts of the sample.
	Check, Ingest time.Duration
}

// calm is lively for whoever has just started it, and slows down, so that a dashboard left open over night does
// not fill the disk: some 3,000 orders in the first day, 720 in each that follows.
var calm = demoPace{
	Order: func(n int64) time.Duration {
		switch {
		case n < 60:
			return 4 * time.Second
		case n < 3000:
			return 25 * time.Second
		}
		return 2 * time.Minute
	},
	Think: 12 * time.Second, Within: 40 * time.Second, Linger: 30 * time.Minute, Ride: 2 * time.Second,
	Check: 10 * time.Second, Ingest: 10 * time.Minute,
}

// demo is a worker with all examples, and those who give it work: customers and a clerk for checkout, a monitor
// of the server's own health, a folder of sample texts to count.
type demo struct {
	pace   demoPace
	pool   *pgxpool.Pool
	hub    durable.Hub
	client *durable.Client
	sample string // folder
	health string // address
	log    *slog.Logger
}

// runDemo works until ctx ends, and then drains.
func runDemo(ctx context.Context, cfg *Config, pool *pgxpool.Pool, health string, pace demoPace) error {
	dir, err := cfg.devDir()
	if err != nil {
		return err
	}
	quiet := *cfg
	if quiet.LogLevel == slog.LevelInfo { // the demo has nothing to say unless something is wrong
		quiet.LogLevel = slog.LevelWarn
	}
	schemas := durable.Schemas{Weir: cfg.Schema, River: cfg.RiverSchema}
	d := &demo{
		pace: pace, pool: pool, hub: durable.Hub(cfg.Hubs[0]), sample: filepath.Join(dir, "sample"), health: health, log: quiet.logger(),
	}
	telemetry := cfg.telemetry(d.log)
	defer telemetry.close(d.log)
	if d.client, err = durable.NewClient(pool, d.hub, schemas, durable.PayloadLimit(cfg.PayloadLimit), durable.WithTracing(telemetry.tracing)); err != nil {
		return err
	}
	defer d.client.Close()
	if err := orders.CreateTables(ctx, pool); err != nil {
		return err
	}
	handlers := orders.Handlers(orders.Bicycle{Ride: pace.Ride})
	handlers = append(handlers, files.Handlers(nil)...)
	handlers = append(handlers, uptime.Handlers(d.alert)...)
	worker, err := durable.NewWorker(pool, &durable.Config{
		Hub: cfg.Hubs[0], Schemas: schemas, PayloadLimit: cfg.PayloadLimit, Name: "demo", Build: version(),
		DrainTimeout: min(cfg.ShutdownTimeout, 5*time.Second), Logger: d.log, Tracing: telemetry.tracing,
	}, handlers...)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return worker.Run(ctx) })
	g.Go(func() error { d.repeat(ctx, "order", d.order); return nil })
	g.Go(func() error { d.repeat(ctx, "count the sample", d.count); return nil })
	g.Go(func() error { d.repeat(ctx, "start the monitor", d.monitor); return nil })
	return g.Wait()
}

// repeat does something again and again, each time after the wait that it asks for, until ctx ends. What fails is
// tried again: a database that restarts must not end the demo.
func (d *demo) repeat(ctx context.Context, what string, do func(context.Context) (time.Duration, error)) {
	for ctx.Err() == nil {
		wait, err := do(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.log.WarnContext(ctx, "demo: "+what, logkey.Err, err)
			}
			wait = 5 * time.Second
		}
		if wait == 0 {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// alert is where a team would be paged. The dashboard shows the alarm.
func (d *demo) alert(ctx context.Context, a uptime.Alarm) error {
	what := "rings"
	if a.Up {
		what = "is over"
	}
	d.log.InfoContext(ctx, "demo: alarm "+what, logkey.Address, a.URL, logkey.Err, a.Error)
	return nil
}

// monitor has exactly one monitor watch this server, however often that is restarted and under whatever address.
func (d *demo) monitor(ctx context.Context) (time.Duration, error) {
	_, err := uptime.Ensure(ctx, d.client, "weir health", uptime.Watch{URL: d.health, Every: uptime.Duration(d.pace.Check)})
	return 0, err
}

// count counts the sample texts, once in each span of pace.Ingest, whoever restarts meanwhile.
func (d *demo) count(ctx context.Context) (time.Duration, error) {
	paths, err := files.WriteSample(d.sample)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	slot := now.Truncate(d.pace.Ingest)
	_, err = files.Ingest.Start(ctx, d.client, files.Job{Files: paths, AtOnce: 2}, durable.ID("sample "+slot.UTC().Format(time.RFC3339)))
	if err != nil && !errors.Is(err, durable.ErrExists) {
		return 0, err
	}
	return slot.Add(d.pace.Ingest).Sub(now), nil
}

// The mix of orders; what an order is to become is drawn from it in turn.
const (
	ordinary    = iota // approved, paid, shipped
	refusable          // the clerk says no
	undecided          // the clerk takes too long
	unpayable          // the customer does not have the money
	unshippable        // one parcel is too heavy: the others are recalled, the money goes back
	forgotten          // waits for a long time
)

var orderMix = []int{
	ordinary, ordinary, unshippable, ordinary, refusable, forgotten, ordinary, undecided, ordinary, unpayable, ordinary, ordinary,
}

var (
	customers = []string{"Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Femi", "Greta", "Hiro", "Ines", "Jonas", "Kofi", "Lena"}
	clerks    = []string{"Marta", "Nils", "Olu"}
	goods     = []orders.Item{
		{Name: "lamp", Grams: 900, Price: 49_90},
		{Name: "chair", Grams: 6_500, Price: 89_00},
		{Name: "table", Grams: 24_000, Price: 199_00},
		{Name: "kettle", Grams: 1_200, Price: 34_50},
		{Name: "bookshelf", Grams: 18_000, Price: 120_00},
		{Name: "rug", Grams: 7_400, Price: 75_00},
		{Name: "mirror", Grams: 5_100, Price: 64_90},
	}
	piano = orders.Item{Name: "piano", Grams: 210_000, Price: 2_400_00}
)

// firstOrder is the number that the shop begins with.
const firstOrder = 1001

// order has a customer order something, and puts the order on a clerk's desk.
func (d *demo) order(ctx context.Context) (time.Duration, error) {
	number, err := orders.NextNumber(ctx, d.pool)
	if err != nil {
		return 0, err
	}
	n := number - firstOrder
	kind := orderMix[n%int64(len(orderMix))]
	o := orders.Order{Customer: pick(customers), ApproveWithin: d.pace.Within}
	for _, i := range rand.Perm(len(goods))[:1+rand.N(3)] {
		o.Items = append(o.Items, goods[i])
	}
	id := fmt.Sprintf("order-%d", number)
	desk := orders.Case{
		Order: id, After: d.pace.Think/4 + rand.N(d.pace.Think*3/4), Decision: orders.Decision{By: pick(clerks), Approved: true},
	}
	if kind == unshippable {
		o.Items = append(o.Items, piano)
	}
	paysIn := o.Total()
	decides := true
	switch kind {
	case refusable:
		desk.Decision.Approved, desk.Decision.Reason = false, "the address is a letter box"
	case unpayable:
		// Wallets hold exactly what pays for the orders under way, so that somebody new has nothing.
		o.Customer, paysIn = fmt.Sprintf("somebody new (%d)", number), o.Total()/2
	case undecided:
		decides = false
	case forgotten:
		decides = false
		o.ApproveWithin = d.pace.Linger
	}
	err = orders.Place(ctx, d.pool, d.client, id, o, paysIn, func(tx pgx.Tx) error {
		if !decides {
			return nil
		}
		_, err := orders.Clerk.StartTx(ctx, d.client, tx, desk, durable.ID(fmt.Sprintf("clerk-%d", number)))
		return err
	})
	return d.pace.Order(n), err
}

func pick(from []string) string { return from[rand.N(len(from))] }
