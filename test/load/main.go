// Command load measures Weir: the workloads by which it is compared with others, on a Postgres of its own with
// fsync on, a worker in a process of its own, and yardsticks from the same run. `make bench` runs it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		if err := work(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	only := flag.String("only", "", "run only the workloads whose name matches this expression")
	out := flag.String("json", "", "write the figures to this file as JSON")
	scale := flag.Float64("scale", 1, "multiply the sizes of the workloads, for a quick look")
	idle := flag.Int("idle", 1_000_000, "idle instances for W7")
	timers := flag.Int("timers", 200_000, "pending timers for W7")
	dir := flag.String("dir", "/var/tmp", "put the Postgres of the run below this folder, which must be on a disk")
	verbose := flag.Bool("v", false, "print what each workload did to the tables, and the worker's log")
	worker := flag.String("worker", "", "more arguments for the worker processes, such as '-sessions 500'")
	statements := flag.Bool("statements", false, "print what each statement cost Postgres; needs pg_stat_statements")
	profile := flag.String("profile", "", "write CPU profiles of the worker into this folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	b := &bench{scale: *scale, idle: *idle, timers: *timers, profile: *profile, dir: *dir, verbose: *verbose, statements: *statements, worker: strings.Fields(*worker)}
	if *only != "" {
		re, err := regexp.Compile(*only)
		if err != nil {
			fmt.Fprintln(os.Stderr, "load: -only:", err)
			os.Exit(2)
		}
		if !slices.ContainsFunc(workloads, func(w workload) bool { return re.MatchString(w.name) }) {
			fmt.Fprintf(os.Stderr, "load: -only %q matches none of:", *only)
			for _, w := range workloads {
				fmt.Fprint(os.Stderr, " ", w.name)
			}
			fmt.Fprintln(os.Stderr)
			os.Exit(2)
		}
		b.only = re
	}
	err := b.run(ctx)
	b.report.print(os.Stdout)
	if *out != "" && err == nil {
		err = b.report.write(*out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// progress shows what is going on, on one line of a terminal.
func progressf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "\r\033[K%s  %s", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

func donef(format string, args ...any) {
	progressf(format, args...)
	fmt.Fprintln(os.Stderr)
}

func writeJSON(path string, v any) error {
	doc, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(doc, '\n'), 0o644)
}
