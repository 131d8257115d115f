// Command ingest counts the lines, words and bytes of files and folders.
//
//	go run ./examples/ingest README.md docs
//
// It may be killed at any time: run again, it goes on where it was.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/examples/database"
	"github.com/weir-dev/weir/examples/ingest/files"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "ingest: interrupted; run it again to go on")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "ingest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ingest", flag.ContinueOnError)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(flags.Output(), "usage: ingest [flags] FILE|FOLDER...\n\nflags:\n")
		flags.PrintDefaults()
	}
	url := flags.String("database", "", "the Postgres database; the default is WEIR_DATABASE_URL, else that of `weir dev`")
	id := flags.String("id", "", "the id of the run; the default follows from the files, so that the same files are the same run")
	atOnce := flags.Int("at-once", 8, "how many files are read at the same time")
	journal := flags.String("journal", "", "a file to which the path of each file counted by this process is appended")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("name the files or folders to count, such as: go run ./examples/ingest README.md examples")
	}
	if *atOnce < 1 {
		return errors.New("-at-once: want at least 1")
	}
	paths, err := files.Find(flags.Args())
	if err != nil {
		return err
	}
	if *id == "" {
		if *id, err = files.RunID(paths); err != nil {
			return err
		}
	}
	counted, closeJournal, err := openJournal(*journal)
	if err != nil {
		return err
	}
	defer closeJournal()
	db, err := database.Open(ctx, *url, out)
	if err != nil {
		return err
	}
	defer db.Close()
	worker, err := durable.NewWorker(db.Pool, &durable.Config{
		DrainTimeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, files.Handlers(counted)...)
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
		return ingest(ctx, client, *id, files.Job{Files: paths, AtOnce: *atOnce}, out)
	})
	return g.Wait()
}

// ingest starts the run, or joins the one there is, and follows it to its end.
func ingest(ctx context.Context, client *durable.Client, id string, job files.Job, out io.Writer) error {
	run, err := files.Ingest.Start(ctx, client, job, durable.ID(id))
	switch {
	case err == nil:
		_, _ = fmt.Fprintf(out, "Run %s: %d files\n", id, len(job.Files))
	case errors.Is(err, durable.ErrExists):
		run = files.Ingest.Instance(client, id)
		state, err := run.State(ctx)
		if err != nil {
			return err
		}
		p, err := progressOf(state)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "Run %s was begun before: %d of %d files are counted already\n", id, p.Done, p.Total)
	default:
		return err
	}
	if err := follow(ctx, run, out); err != nil {
		return err
	}
	report, err := run.Wait(ctx)
	if err != nil {
		return err
	}
	return show(report, out)
}

// follow prints the progress of a run until it ends, in steps of a hundredth at least.
func follow(ctx context.Context, run *durable.Instance[files.Report], out io.Writer) error {
	w, err := run.Watch(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	printed := -1
	for {
		state, err := w.Next(ctx)
		if err != nil {
			return err
		}
		p, err := progressOf(state)
		if err != nil {
			return err
		}
		if p.Total > 0 && p.Done != printed && (p.Done == p.Total || p.Done >= printed+p.Total/100) {
			printed = p.Done
			_, _ = fmt.Fprintf(out, "counted %d of %d files\n", p.Done, p.Total)
		}
		switch state.Status {
		case "COMPLETED", "FAILED", "CANCELED", "TERMINATED":
			return nil
		}
	}
}

func progressOf(s durable.State) (p files.Progress, err error) {
	if len(s.CustomStatus) == 0 {
		return p, nil
	}
	if err := json.Unmarshal(s.CustomStatus, &p); err != nil {
		return p, fmt.Errorf("read progress: %w", err)
	}
	return p, nil
}

// show prints the report as a table.
func show(r files.Report, out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(t, "\nlines\twords\tbytes\tsha256\t  file\n")
	for _, f := range r.Files {
		if f.Error != "" {
			_, _ = fmt.Fprintf(t, "-\t-\t-\t-\t  %s\n", f.Error)
			continue
		}
		_, _ = fmt.Fprintf(t, "%d\t%d\t%d\t%.12s\t  %s\n", f.Lines, f.Words, f.Bytes, f.SHA256, f.Path)
	}
	_, _ = fmt.Fprintf(t, "%d\t%d\t%d\t\t  in %d files\n", r.Lines, r.Words, r.Bytes, len(r.Files)-r.Failed)
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Failed > 0 {
		return fmt.Errorf("%d of %d files could not be read", r.Failed, len(r.Files))
	}
	return nil
}

// openJournal opens the file that records what this process counts. Without a path it records nothing.
func openJournal(path string) (counted func(string), closeFile func(), err error) {
	if path == "" {
		return nil, func() {}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // the user's own file
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	var (
		mu     sync.Mutex
		failed error
	)
	counted = func(file string) {
		mu.Lock()
		defer mu.Unlock()
		_, err := fmt.Fprintln(f, file)
		failed = cmp.Or(failed, err)
	}
	return counted, func() {
		mu.Lock()
		defer mu.Unlock()
		if err := errors.Join(failed, f.Close()); err != nil {
			fmt.Fprintln(os.Stderr, "ingest: journal:", err)
		}
	}, nil
}
