// Command monitor watches an HTTP endpoint until it is told to stop.
//
//	go run ./examples/monitor https://go.dev
//
// Ctrl-C ends the command; the monitor itself lives on in the database and is continued by the next run, or by
// any other worker. `-do stop` ends it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/examples/database"
	"github.com/weir-dev/weir/examples/monitor/uptime"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "monitor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("monitor", flag.ContinueOnError)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(flags.Output(), "usage: monitor [flags] URL\n\nflags:\n")
		flags.PrintDefaults()
	}
	url := flags.String("database", "", "the Postgres database; the default is WEIR_DATABASE_URL, else that of `weir dev`")
	every := flags.Duration("every", 10*time.Second, "how often to check")
	do := flags.String("do", "", "tell the monitor of this URL something: pause, resume, check-now, interval (to -every), stop")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("name one URL to watch, such as: go run ./examples/monitor https://go.dev")
	}
	target := flags.Arg(0)
	db, err := database.Open(ctx, *url, out)
	if err != nil {
		return err
	}
	defer db.Close()
	worker, err := durable.NewWorker(db.Pool, &durable.Config{
		DrainTimeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, uptime.Handlers(func(_ context.Context, a uptime.Alarm) error {
		state := "DOWN"
		if a.Up {
			state = "UP again"
		}
		_, err := fmt.Fprintf(out, "ALARM  %s is %s (after %s) %s\n", a.URL, state, time.Duration(a.After).Round(time.Second), a.Error)
		return err
	})...)
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
		command := uptime.Command{Do: uptime.Verb(*do)}
		if command.Do == uptime.Interval {
			command.Every = uptime.Duration(*every)
		}
		return watch(ctx, client, uptime.Watch{URL: target, Every: uptime.Duration(*every)}, command, out)
	})
	return g.Wait()
}

// watch starts the monitor, or joins the one there is, tells it the command if there is one, and prints its
// states.
func watch(ctx context.Context, client *durable.Client, w uptime.Watch, command uptime.Command, out io.Writer) error {
	id, err := uptime.Ensure(ctx, client, "monitor "+w.URL, w)
	if err != nil {
		return err
	}
	if command.Do != "" {
		if err := uptime.Control.Raise(ctx, client, id, command); err != nil {
			return err
		}
	}
	stream, err := uptime.Monitor.Instance(client, id).Watch(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	checks := -1
	for {
		state, err := stream.Next(ctx)
		if err != nil {
			return err
		}
		var s uptime.Status
		if len(state.CustomStatus) > 0 {
			if err := json.Unmarshal(state.CustomStatus, &s); err != nil {
				return fmt.Errorf("read status: %w", err)
			}
		}
		if s.Refused != "" {
			_, _ = fmt.Fprintf(out, "refused: %s\n", s.Refused)
		}
		if s.Last != nil && s.Checks != checks {
			checks = s.Checks
			_, _ = fmt.Fprintf(out, "%s  %-6s %d in %s, up %s, %d checks\n", s.Last.At.Local().Format(time.TimeOnly), s.State,
				s.Last.Code, time.Duration(s.Last.Latency).Round(100*time.Microsecond), s.UpShare, s.Checks)
		}
		switch state.Status {
		case "COMPLETED", "FAILED", "CANCELED", "TERMINATED":
			_, _ = fmt.Fprintf(out, "the monitor has ended: %s\n", state.Status)
			return nil
		}
	}
}
