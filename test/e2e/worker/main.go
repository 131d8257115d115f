// Program worker is the worker of the browser tests: a small shop whose orchestrations wait, fail, fan out, call
// children and, when told to, change their code under way.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
)

// Order is what a customer buys. The number is larger than a JavaScript number holds exactly.
type Order struct {
	ID    int64  `json:"id"`
	Total string `json:"total"`
	Note  string `json:"note,omitempty"`
}

// The definitions of the shop.
const (
	Fulfil   durable.Orchestration[Order, string]              = "OrderFulfilment"
	Refund   durable.Orchestration[Order, string]              = "OrderRefund"
	Review   durable.Orchestration[Order, float64]             = "FraudReview"
	Greet    durable.Orchestration[string, string]             = "Greet"
	Approval durable.Orchestration[durable.None, bool]         = "Approval"
	Breaks   durable.Orchestration[string, durable.None]       = "Breaks"
	Parcels  durable.Orchestration[int, int]                   = "Parcels"
	Monitor  durable.Orchestration[int, durable.None]          = "Monitor"
	Drifts   durable.Orchestration[durable.None, string]       = "Drifts"
	Quiet    durable.Orchestration[durable.None, durable.None] = "Quiet"
	Odd      durable.Orchestration[durable.None, durable.None] = "Odd"
	Import   durable.Orchestration[int, int]                   = "Import"
	Mailing  durable.Orchestration[string, durable.None]       = "Mailing"

	Validate durable.Activity[Order, bool]          = "validateOrder"
	Reserve  durable.Activity[Order, string]        = "reserveStock"
	Charge   durable.Activity[Order, string]        = "chargeCard"
	Receipt  durable.Activity[Order, durable.None]  = "sendReceipt"
	Notify   durable.Activity[string, durable.None] = "notifyApprover"
	Label    durable.Activity[Order, string]        = "renderLabel"
	Score    durable.Activity[Order, float64]       = "scoreRules"
	Pack     durable.Activity[int, int]             = "packParcel"
	Hello    durable.Activity[string, string]       = "sayHello"
	Fail     durable.Activity[string, durable.None] = "alwaysFails"
	Courier  durable.Activity[Order, string]        = "bookCourier"
	Copy     durable.Activity[int, int]             = "copyRows"
	Mail     durable.Activity[string, durable.None] = "sendMail"

	Approved durable.Event[bool]         = "approval"
	GoOn     durable.Event[durable.None] = "go-on"

	ErrDeclined durable.Failure = "card_declined"
)

// oddText tries to break a layout: other scripts, other directions, and markup.
func oddText(n int) string {
	const piece = `<b onmouseover="alert(1)">Długa</b> نظام الطلبات 🛒 注文処理 `
	text := []rune(strings.Repeat(piece, n/len([]rune(piece))+1))
	return strings.TrimSpace(string(text[:n]))
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	pool, err := pgxpool.New(ctx, os.Getenv("WEIR_DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer pool.Close()
	w, err := durable.NewWorker(pool, &durable.Config{
		Hub: os.Getenv("WEIR_HUB"), Name: os.Getenv("WEIR_WORKER_NAME"), DrainTimeout: 100 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, handlers()...)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

func handlers() []durable.Handler {
	return []durable.Handler{
		Fulfil.Handler(fulfil, durable.Version("2.4.1")), Refund.Handler(refund, durable.Version("2.0.0")), Review.Handler(review), Greet.Handler(greet),
		Approval.Handler(approval), Breaks.Handler(breaks), Parcels.Handler(parcels), Monitor.Handler(monitor), Drifts.Handler(drifts),
		Quiet.Handler(quiet), Odd.Handler(odd), Import.Handler(imports), Mailing.Handler(mailing), Copy.Handler(copyRows), Mail.Handler(mail),
		Validate.Handler(after[Order](310*time.Millisecond, true)), Reserve.Handler(after[Order](640*time.Millisecond, "SKU-2291")),
		Charge.Handler(charge, durable.Retry{Attempts: 5, Initial: 700 * time.Millisecond, Factor: 2, Jitter: -1}),
		Receipt.Handler(receipt, durable.Retry{Attempts: 3, Initial: 500 * time.Millisecond, Jitter: -1}),
		Notify.Handler(after[string](220*time.Millisecond, durable.None{})), Label.Handler(label), Courier.Handler(courier, durable.Retry{Attempts: 50, Initial: time.Minute}),
		Score.Handler(after[Order](480*time.Millisecond, 0.07)), Pack.Handler(pack), Hello.Handler(hello), Fail.Handler(fail),
	}
}

// fulfil uses everything that a timeline shows.
func fulfil(ctx *durable.Context, o Order) (string, error) {
	if _, err := Validate.Call(ctx, o); err != nil {
		return "", err
	}
	if _, err := Reserve.Call(ctx, o); err != nil {
		return "", err
	}
	charged, reviewed := Charge.Go(ctx, o), Review.Go(ctx, o, durable.ID("fraud-"+ctx.ID()))
	if _, err := charged.Await(); err != nil {
		return "", fmt.Errorf("charge order %d: %w", o.ID, err)
	}
	if _, err := reviewed.Await(); err != nil {
		return "", err
	}
	sent := Receipt.Go(ctx, o)
	if _, err := Notify.Call(ctx, "mara"); err != nil {
		return "", err
	}
	_, _ = sent.Await() // the order goes on without a receipt
	Label.Go(ctx, o)
	Courier.Go(ctx, o)
	approved, ok, err := Approved.WaitFor(ctx, 23*time.Hour)
	switch {
	case err != nil:
		return "", err
	case !ok || !approved:
		return "refunded", nil
	}
	return "sent", nil
}

func refund(ctx *durable.Context, o Order) (string, error) { return Reserve.Call(ctx, o) }

func review(ctx *durable.Context, o Order) (float64, error) { return Score.Call(ctx, o) }

func greet(ctx *durable.Context, name string) (string, error) { return Hello.Call(ctx, name) }

func approval(ctx *durable.Context, _ durable.None) (bool, error) {
	ctx.SetStatus("waiting for a person")
	return Approved.Wait(ctx)
}

func breaks(ctx *durable.Context, why string) (durable.None, error) { return Fail.Call(ctx, why) }

// parcels fans out over n parcels and returns how many were packed.
func parcels(ctx *durable.Context, n int) (int, error) {
	packed, err := Pack.Map(ctx, make([]int, n))
	return len(packed), err
}

// monitor begins a new generation with each event.
func monitor(ctx *durable.Context, n int) (durable.None, error) {
	ctx.SetStatus(fmt.Sprintf("round %d", n))
	if _, err := GoOn.Wait(ctx); err != nil {
		return durable.None{}, err
	}
	return Monitor.ContinueAsNew(ctx, n+1)
}

// drifts does something else after a restart of the worker with WEIR_E2E_DRIFT set, which does not match the
// histories it has written before.
func drifts(ctx *durable.Context, _ durable.None) (string, error) {
	call := Hello
	if os.Getenv("WEIR_E2E_DRIFT") != "" {
		call = "sayGoodbye"
	}
	if _, err := call.Call(ctx, "drift"); err != nil {
		return "", err
	}
	if _, err := GoOn.Wait(ctx); err != nil {
		return "", err
	}
	return "done", nil
}

func quiet(ctx *durable.Context, _ durable.None) (durable.None, error) {
	return durable.None{}, ctx.Sleep(24 * time.Hour)
}

func odd(ctx *durable.Context, _ durable.None) (durable.None, error) {
	ctx.SetStatus(oddText(500))
	_, err := Approved.Wait(ctx)
	return durable.None{}, err
}

// rows is what an import says of how far it is.
type rows struct {
	Table string `json:"table"`
	Done  int    `json:"done"`
	Of    int    `json:"of"`
}

// imports says n times how far it is, has an activity say one thing more, and says a last one once it is approved.
func imports(ctx *durable.Context, n int) (int, error) {
	for i := range n {
		if err := durable.Progress(ctx, rows{"orders", i + 1, n}); err != nil {
			return 0, err
		}
	}
	if n > 0 {
		if _, err := Copy.Call(ctx, n, durable.Priority(1)); err != nil {
			return 0, err
		}
	}
	if _, err := Approved.Wait(ctx); err != nil {
		return 0, err
	}
	return n, durable.Progress(ctx, strings.Repeat("all rows are there; ", 50))
}

func copyRows(ctx context.Context, n int) (int, error) {
	return n, durable.Progress(ctx, rows{"copies", n, n})
}

// mailing sends a mail within the limit of that name.
func mailing(ctx *durable.Context, to string) (durable.None, error) {
	return Mail.Call(ctx, to, durable.Limit("mail"), durable.Key(to), durable.Priority(3))
}

// mail takes as long as nobody stops it.
func mail(ctx context.Context, _ string) (durable.None, error) {
	<-ctx.Done()
	return durable.None{}, ctx.Err()
}

// after makes an activity that takes its time, so that a bar can be seen.
func after[I, O any](d time.Duration, out O) func(context.Context, I) (O, error) {
	return func(ctx context.Context, _ I) (O, error) {
		select {
		case <-time.After(d):
			return out, nil
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
}

// charge fails twice for each order, then succeeds; an order without a total is declined.
func charge(ctx context.Context, o Order) (string, error) {
	if o.Total == "" {
		return "", fmt.Errorf("order %d: %w", o.ID, ErrDeclined)
	}
	n := attempts.next(o.ID)
	if _, err := after[Order](time.Duration(1200-300*n)*time.Millisecond, "")(ctx, o); err != nil {
		return "", err
	}
	if n < 3 {
		return "", fmt.Errorf("POST /v2/charges: no answer in %d ms", 1200-300*n)
	}
	return "rc_77fa0c", nil
}

func receipt(ctx context.Context, o Order) (durable.None, error) {
	if _, err := after[Order](300*time.Millisecond, "")(ctx, o); err != nil {
		return durable.None{}, err
	}
	return durable.None{}, errors.New("421 try again later")
}

// label runs until the worker ends.
func label(ctx context.Context, _ Order) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func courier(context.Context, Order) (string, error) {
	return "", errors.New("carrier-api: 503 service unavailable")
}

func pack(_ context.Context, n int) (int, error) { return n, nil }

func hello(_ context.Context, name string) (string, error) { return "Hello, " + name, nil }

func fail(_ context.Context, why string) (durable.None, error) {
	return durable.None{}, errors.New(why)
}

// counter counts attempts by order.
type counter struct {
	mu sync.Mutex
	by map[int64]int
}

var attempts = counter{by: map[int64]int{}}

func (c *counter) next(id int64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[id]++
	return c.by[id]
}
