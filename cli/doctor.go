package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/engine"
)

// Doctor is the command `weir doctor`: is a database as it must be?
type Doctor struct {
	Rows    int
	Timeout time.Duration
	JSON    bool
	All     bool
}

const doctorUsage = `weir doctor: look for what must not be in a database, and for what somebody should see.

  weir doctor [--rows N] [--timeout DURATION] [--all] [--json]

The database is that of WEIR_DATABASE_URL. It is only read: statement after statement, each bounded, so that it may run beside
full load; an account in the role weir_reader is enough. I1 to I14 are the promises of the engine.

Exit codes: 0 all is well, 1 something should be looked at, 2 something is as it must never be (or the command line is not
understood, and nothing is printed), 4 the database does not answer.

Flags:
`

// ParseDoctor reads the arguments of `weir doctor`. Errors: Usage; flag.ErrHelp, after help was printed to out.
func ParseDoctor(args []string, out io.Writer) (*Doctor, error) {
	d := &Doctor{}
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	d.declare(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprint(out, doctorUsage)
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, Usage("doctor: " + err.Error() + ": see `weir doctor --help`")
	case flags.NArg() > 0:
		return nil, Usage(fmt.Sprintf("doctor: %q is no flag: see `weir doctor --help`", flags.Arg(0)))
	}
	return d, nil
}

func (d *Doctor) declare(flags *flag.FlagSet) {
	flags.IntVar(&d.Rows, "rows", 10_000, "how many rows each check looks at, 1 to 1000000")
	flags.DurationVar(&d.Timeout, "timeout", 5*time.Second, "how long each statement may take, 10ms to 1h")
	flags.BoolVar(&d.JSON, "json", false, "print JSON")
	flags.BoolVar(&d.All, "all", false, "print checks that are well, too, with what they look at")
}

// Exit is an error with a code for the program to exit with.
type Exit struct {
	Code int
	Err  error
}

// Error implements error.
func (e *Exit) Error() string { return e.Err.Error() }

// Unwrap implements errors.
func (e *Exit) Unwrap() error { return e.Err }

// The codes of Exit.
const (
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitUnreachable = 4
)

// Run looks at the database, and tells out how it is. Errors: *Exit.
func (d *Doctor) Run(ctx context.Context, pool *pgxpool.Pool, schema, river string, out io.Writer) error {
	if d.Rows == 0 { // to the engine that is the default
		return Usage("doctor: rows: is 0, allowed are 1 to 1000000: see `weir doctor --help`")
	}
	found, err := engine.Diagnose(ctx, engine.Config{Pool: pool, Schema: schema, RiverSchema: river}, engine.DoctorOptions{Rows: d.Rows, Timeout: d.Timeout})
	switch engine.CodeOf(err) {
	case engine.CodeInvalid:
		return Usage("doctor: " + err.Error() + ": see `weir doctor --help`")
	case engine.CodeUnavailable:
		return &Exit{ExitUnreachable, fmt.Errorf("doctor: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("doctor: %w", err)
	}
	if d.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(found); err != nil {
			return fmt.Errorf("doctor: %w", err)
		}
	} else {
		d.print(found, out)
	}
	broken, warned := 0, 0
	for _, f := range found.Findings {
		switch f.Health {
		case engine.HealthBroken:
			broken++
		case engine.HealthWarning:
			warned++
		}
	}
	switch {
	case broken > 0:
		return &Exit{ExitUsage, fmt.Errorf("doctor: %d broken, %d to look at", broken, warned)}
	case warned > 0:
		return &Exit{ExitFailed, fmt.Errorf("doctor: %d to look at", warned)}
	}
	return nil
}

// print writes a table, and below each line that is not well what was found and what to do.
func (d *Doctor) print(found *engine.Diagnosis, out io.Writer) {
	t := table{head: []string{"CHECK", "HEALTH", "COUNT", "WHAT"}}
	for _, f := range found.Findings {
		count := ""
		if f.Count > 0 {
			count = strconv.Itoa(f.Count)
		}
		if f.More {
			count += "+"
		}
		what := f.Title
		if f.Detail != "" {
			what = f.Detail
		}
		t.add(f.Check, string(f.Health), count, what)
		if len(f.First) > 0 {
			t.under("first: " + strings.Join(f.First, ", "))
		}
		if f.Advice != "" {
			t.under("do: " + f.Advice)
		}
		if d.All && f.Detail != "" {
			t.under("looks at whether " + f.Title)
		}
	}
	t.print(out)
}
