package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
)

// work is the worker process: an ordinary worker with the handlers of the workloads.
func work(args []string) error {
	flags := flag.NewFlagSet("worker", flag.ExitOnError)
	dsn := flags.String("dsn", "", "database")
	profile := flags.String("profile", "", "write a CPU profile to this file, and one of allocations beside it")
	activities := flags.Int("activities", 0, "slots")
	sessions := flags.Int("sessions", 0, "sessions")
	verbose := flags.Bool("v", false, "log what is not a warning too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		allocs, err := os.Create(*profile + ".allocs")
		if err != nil {
			return err
		}
		defer func() { _ = pprof.Lookup("allocs").WriteTo(allocs, 0); _ = allocs.Close() }()
	}
	pool, err := pgxpool.New(ctx, *dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	traced, flush, err := traces()
	if err != nil {
		return err
	}
	defer flush()
	w, err := durable.NewWorker(pool, &durable.Config{Logger: logger, Activities: *activities, Sessions: *sessions, Tracing: traced}, handlers()...)
	if err != nil {
		return err
	}
	fmt.Println("started")
	return w.Run(ctx)
}
