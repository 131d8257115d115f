// Command checkout sells one thing and asks you to be the clerk.
//
//	go run ./examples/checkout            # answer y or n, or wait until it expires
//	go run ./examples/checkout -piano     # approve it, and see the payment undone
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/examples/checkout/orders"
	"github.com/weir-dev/weir/examples/database"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "checkout:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("checkout", flag.ContinueOnError)
	url := flags.String("database", "", "the Postgres database; the default is WEIR_DATABASE_URL, else that of `weir dev`")
	within := flags.Duration("within", 30*time.Second, "how long the order waits for your approval")
	piano := flags.Bool("piano", false, "order a piano too, which the courier will not carry")
	if err := flags.Parse(args); err != nil {
		return err
	}
	db, err := database.Open(ctx, *url, out)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := orders.CreateTables(ctx, db.Pool); err != nil {
		return err
	}
	worker, err := durable.NewWorker(db.Pool, &durable.Config{
		DrainTimeout: 5 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, orders.Handlers(orders.Bicycle{Ride: 500 * time.Millisecond})...)
	if err != nil {
		return err
	}
	client, err := durable.NewClient(db.Pool)
	if err != nil {
		return err
	}
	defer client.Close()

	g, ctx := errgroup.WithContext(ctx)
	working, done := context.WithCancel(ctx)
	g.Go(func() error { return worker.Run(working) })
	g.Go(func() error {
		defer done()
		order := orders.Order{Customer: "you", ApproveWithin: *within, Items: []orders.Item{
			{Name: "lamp", Grams: 900, Price: 49_90}, {Name: "table", Grams: 24_000, Price: 199_00},
		}}
		if *piano {
			order.Items = append(order.Items, orders.Item{Name: "piano", Grams: 210_000, Price: 2_400_00})
		}
		return sell(ctx, db, client, order, in, out)
	})
	return g.Wait()
}

// sell places the order and follows it to its end.
func sell(ctx context.Context, db *database.Database, client *durable.Client, order orders.Order, in io.Reader, out io.Writer) error {
	number, err := orders.NextNumber(ctx, db.Pool)
	if err != nil {
		return err
	}
	id := fmt.Sprintf("order-%d", number)
	if err := orders.Place(ctx, db.Pool, client, id, order, order.Total(), nil); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%s: %d items, %s. Do you approve it? [y/n]\n", id, len(order.Items), order.Total())
	go func() { // reading cannot be called off; it ends with the process
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil && line == "" {
			return
		}
		d := orders.Decision{By: "you", Approved: strings.HasPrefix(strings.ToLower(line), "y"), Reason: "you said so"}
		if err := orders.Decided.Raise(ctx, client, id, d); err != nil {
			fmt.Fprintln(os.Stderr, "too late:", err)
		}
	}()
	inst := orders.Checkout.Instance(client, id)
	if err := watch(ctx, inst, out); err != nil {
		return err
	}
	receipt, err := inst.Wait(ctx)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%s paid, approved by %s, tracking numbers %s\n", receipt.Paid, receipt.ApprovedBy, strings.Join(receipt.Tracking, ", "))
	return nil
}

// watch prints the stages as they come, until the order has ended.
func watch(ctx context.Context, inst *durable.Instance[orders.Receipt], out io.Writer) error {
	w, err := inst.Watch(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	last := ""
	for {
		state, err := w.Next(ctx)
		if err != nil {
			return err
		}
		var status orders.Status
		if len(state.CustomStatus) > 0 {
			if err := json.Unmarshal(state.CustomStatus, &status); err != nil {
				return fmt.Errorf("read status: %w", err)
			}
		}
		if status.Stage != last {
			last = status.Stage
			_, _ = fmt.Fprintln(out, last)
		}
		if state.Status == "COMPLETED" || state.Status == "FAILED" || state.Status == "TERMINATED" {
			return nil
		}
	}
}
