// Command api puts an HTTP API in front of work that takes longer than a request may: it is asked by POST, answers
// 202 with a Location at once, and has the result there in the end.
//
//	go run ./examples/api                                        # serves, until it is interrupted
//	go run ./examples/api -ask http://127.0.0.1:8090 kim 2025    # is a client of it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/examples/api/statements"
	"github.com/weir-dev/weir/examples/database"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("api", flag.ContinueOnError)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(flags.Output(), "usage: api [flags]\n       api -ask URL CUSTOMER YEAR\n\nflags:\n")
		flags.PrintDefaults()
	}
	url := flags.String("database", "", "the Postgres database; the default is WEIR_DATABASE_URL, else that of `weir dev`")
	listen := flags.String("listen", "127.0.0.1:8090", "where to serve")
	month := flags.Duration("month", 700*time.Millisecond, "how long it takes to add up a month")
	base := flags.String("ask", "", "ask the API at this `URL` instead of serving one")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *base != "" {
		return ask(ctx, strings.TrimSuffix(*base, "/"), flags.Args(), out)
	}
	db, err := database.Open(ctx, *url, out)
	if err != nil {
		return err
	}
	defer db.Close()
	worker, err := durable.NewWorker(db.Pool, &durable.Config{
		DrainTimeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, statements.Handlers(accounts(*month))...)
	if err != nil {
		return err
	}
	client, err := durable.NewClient(db.Pool)
	if err != nil {
		return err
	}
	defer client.Close()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	_, _ = fmt.Fprintf(out, "serving http://%s/statements\n", listener.Addr())

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return worker.Run(ctx) })
	g.Go(func() error { return serve(ctx, listener, statements.API(client)) })
	return g.Wait()
}

// serve serves until ctx ends, and then gives requests a moment to end too.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	})
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return <-stopped
}

// accounts stands for a slow system of accounts, which always says the same of a month.
func accounts(takes time.Duration) func(context.Context, statements.Month) (int64, error) {
	return func(ctx context.Context, m statements.Month) (int64, error) {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		return int64(len(m.Customer)*m.Year*m.Month) % 40_000, nil
	}
}

func ask(ctx context.Context, base string, args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("name a customer and a year, such as: kim 2025")
	}
	year, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("year: %w", err)
	}
	query := statements.Query{Customer: args[0], Year: year}
	s, err := statements.Ask(ctx, http.DefaultClient, base, query, func(a statements.Answer) {
		if a.Progress != nil {
			_, _ = fmt.Fprintf(out, "202 %s, %d of %d months\n", a.Status, a.Progress.Done, a.Progress.Total)
		} else {
			_, _ = fmt.Fprintln(out, "202 accepted")
		}
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "200 %s spent %d.%02d EUR in %d\n", s.Customer, s.Total/100, s.Total%100, s.Year)
	return nil
}
