// Command poll asks a street what it wants for lunch, and counts the answers.
//
//	go run ./examples/poll                        # asks all, a few at a time; the same command goes on where it was
//	go run ./examples/poll -voter you -choice tea # adds a vote of yours while it is open
package main

import (
	"context"
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
	"github.com/weir-dev/weir/examples/poll/polls"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "poll:", err)
		os.Exit(1)
	}
}

// street are the voters; the last one has moved away.
var street = []string{"Ada", "Ben", "Cora", "Dan", "Eve", "Finn", "Gus", "Hana", "Ines", "Jon", "Kim", "Lee"}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("poll", flag.ContinueOnError)
	url := flags.String("database", "", "the Postgres database; the default is WEIR_DATABASE_URL, else that of `weir dev`")
	name := flags.String("poll", "lunch", "the poll's name; each one is held once")
	atOnce := flags.Int("at-once", polls.AtOnce, "how many are asked at the same time")
	thinks := flags.Duration("thinks", time.Second, "how long a voter thinks")
	voter := flags.String("voter", "", "vote yourself, by this name")
	choice := flags.String("choice", "", "what you vote for")
	if err := flags.Parse(args); err != nil {
		return err
	}
	db, err := database.Open(ctx, *url, out)
	if err != nil {
		return err
	}
	defer db.Close()
	worker, err := durable.NewWorker(db.Pool, &durable.Config{
		DrainTimeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, polls.Handlers(func(ctx context.Context, d polls.Door) (string, error) {
		return asked(ctx, d, *thinks, out)
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
		if *voter != "" {
			n, err := polls.Vote.Ask(ctx, client, *name, polls.Ballot{Voter: *voter, Choice: *choice})
			if err == nil {
				_, _ = fmt.Fprintf(out, "votes counted: %d\n", n)
			}
			return err
		}
		return hold(ctx, client, polls.Round{Poll: *name, Voters: street, AtOnce: *atOnce}, out)
	})
	return g.Wait()
}

// hold has the street canvassed, or joins the canvass that was begun before, and tells how it ends.
func hold(ctx context.Context, client *durable.Client, r polls.Round, out io.Writer) error {
	inst, err := polls.Canvass.Start(ctx, client, r, durable.ID("canvass "+r.Poll), durable.Reuse{Existing: true})
	if err != nil {
		return err
	}
	if inst.Existing() {
		_, _ = fmt.Fprintf(out, "poll %s was begun before\n", r.Poll)
	}
	o, err := inst.Wait(ctx)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "poll %s is closed: %d votes, %d silent\n", r.Poll, o.Votes, len(o.Silent))
	for _, c := range o.Choices {
		_, _ = fmt.Fprintf(out, "%4d  %s\n", c.Votes, c.Choice)
	}
	return nil
}

// asked stands for a voter who opens the door, or does not.
func asked(ctx context.Context, d polls.Door, thinks time.Duration, out io.Writer) (string, error) {
	_, _ = fmt.Fprintf(out, "asking %s\n", d.Voter)
	select {
	case <-time.After(thinks):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if d.Voter == street[len(street)-1] {
		return "", fmt.Errorf("%s: %w", d.Voter, polls.ErrNobody)
	}
	return []string{"bread", "soup"}[len(d.Voter)%2], nil
}
