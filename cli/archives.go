package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/archive"
	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/internal/archives"
)

// Files is one of the commands `weir export`, `weir import` and `weir archive`: instances that have ended, on their way to
// files and back.
type Files struct {
	Command string
	Hub     string
	Filter  engine.Filter
	// OlderThan selects instances that ended longer ago.
	OlderThan time.Duration
	// Where is the file of an export or import, and the place of an archive.
	Where    string
	Existing engine.ExistingPolicy
	PerFile  int
	DryRun   bool
}

const filesUsage = `weir %s

The database is that of WEIR_DATABASE_URL. A place is file:///folder, or s3://bucket/prefix with the parameters endpoint and
region (s3://backups/weir?endpoint=https://minio.internal:9000); S3's keys come from AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY. Exit codes: 0 done, 1 not all could be done, 2 the command line is not understood.

Flags:
`

var filesAbout = map[string]string{
	"export": `export: write instances that have ended to a file, and leave them where they are.

  weir export --hub HUB [--name NAME]... [--status STATUS]... [--older-than AGE] -o FILE

The file is gzip, with a line of JSON for each instance; - is the standard output. An address of a file in a place is
understood, too: s3://bucket/prefix/orders.jsonl.gz.`,
	"import": `import: add the instances of a file to a hub, such as one that was archived, or of another database.

  weir import --hub HUB [--existing refuse|skip] FILE

The file is read to its end first: of one that is damaged nothing is imported. A hub that is not there is made.`,
	"archive": `archive: move instances that have ended to files.

  weir archive --hub HUB --older-than AGE [--name NAME]... [--status STATUS]... [--per-file N] [--dry-run] --to PLACE

Each file is written first. When it is safely there, those of its instances are purged that have not changed since.`,
}

// ParseFiles reads the arguments of a command. Errors: Usage; flag.ErrHelp, after help was printed to out.
func ParseFiles(command string, args []string, out io.Writer) (*Files, error) {
	f := &Files{Command: command, Existing: engine.RefuseExisting}
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&f.Hub, "hub", "", "the task hub")
	if command == "import" {
		flags.Func("existing", "what to do when an id exists: refuse (the default) or skip", func(v string) error {
			switch v {
			case "refuse":
			case "skip":
				f.Existing = engine.SkipExisting
			default:
				return errors.New("allowed are refuse and skip")
			}
			return nil
		})
	} else {
		f.selecting(flags)
	}
	switch command {
	case "export":
		flags.StringVar(&f.Where, "o", "", "the file; - is the standard output")
	case "archive":
		flags.StringVar(&f.Where, "to", "", "the place for the files")
		flags.IntVar(&f.PerFile, "per-file", 10_000, "how many instances a file has at most")
		flags.BoolVar(&f.DryRun, "dry-run", false, "only count what would be archived")
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprintf(out, filesUsage, filesAbout[command])
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, f.usage(err.Error())
	}
	rest := flags.Args()
	if command == "import" && len(rest) > 0 {
		f.Where, rest = rest[0], rest[1:]
	}
	switch {
	case len(rest) > 0:
		return nil, f.usage(fmt.Sprintf("%q is no flag", rest[0]))
	case f.Hub == "":
		return nil, f.usage("name the hub with --hub")
	case command == "archive" && f.OlderThan == 0:
		return nil, f.usage("say with --older-than how long ago instances have ended, such as 30d")
	case f.Where == "" && command == "import":
		return nil, f.usage("name the file")
	case f.Where == "" && command == "export":
		return nil, f.usage("name the file with -o")
	case f.Where == "" && !f.DryRun:
		return nil, f.usage("name the place with --to")
	}
	return f, nil
}

func (f *Files) usage(wrong string) error {
	return Usage(fmt.Sprintf("%s: %s: see `weir %[1]s --help`", f.Command, wrong))
}

// selecting adds the flags that select instances.
func (f *Files) selecting(flags *flag.FlagSet) {
	flags.Func("name", "an orchestration; may be repeated (default: all)", func(v string) error {
		f.Filter.Names = append(f.Filter.Names, v)
		return engine.CheckName("name", v)
	})
	flags.Func("status", "COMPLETED, FAILED, CANCELED or TERMINATED; may be repeated (default: all)", func(v string) error {
		var s history.Status
		if err := s.UnmarshalText([]byte(strings.ToUpper(v))); err != nil || s.Live() || s == history.ContinuedAsNew {
			return errors.New("allowed are COMPLETED, FAILED, CANCELED and TERMINATED")
		}
		f.Filter.Statuses = append(f.Filter.Statuses, s)
		return nil
	})
	flags.Func("older-than", "how long ago they have ended, at least: 90m, 36h, 30d", func(v string) (err error) {
		if f.OlderThan, err = engine.ParseLength("", v); err == nil && f.OlderThan <= 0 {
			err = errors.New("must be positive")
		}
		return err
	})
}

// Run carries the command out and tells progress how it goes; an export to - goes to out. An error means exit code 1.
func (f *Files) Run(ctx context.Context, e *engine.Engine, out, progress io.Writer) error {
	if f.OlderThan > 0 {
		f.Filter.CompletedTo = time.Now().Add(-f.OlderThan)
	}
	var err error
	switch f.Command {
	case "export":
		err = f.export(ctx, e, out, progress)
	case "import":
		err = f.bring(ctx, e, progress)
	case "archive":
		err = f.archive(ctx, e, progress)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Command, err)
	}
	return nil
}

func (f *Files) export(ctx context.Context, e *engine.Engine, out, progress io.Writer) error {
	var done engine.Exported
	write := func(to io.Writer) (err error) {
		done, err = e.Export(ctx, f.Hub, f.Filter, to)
		return err
	}
	if f.Where == "-" {
		if err := write(out); err != nil {
			return err
		}
	} else {
		place, name, err := f.file()
		if err != nil {
			return err
		}
		if err := place.Put(ctx, name, write); err != nil {
			return err
		}
	}
	sayf(progress, "%s exported.", instances(done.Instances))
	return nil
}

// file finds the place and the name of a file.
func (f *Files) file() (archives.Place, string, error) {
	where, name, err := archives.Split(f.Where)
	if err != nil {
		return nil, "", err
	}
	place, err := archives.At(where)
	return place, name, err
}

func (f *Files) bring(ctx context.Context, e *engine.Engine, progress io.Writer) error {
	place, name, err := f.file()
	if err != nil {
		return err
	}
	read := func(fn func(io.Reader) error) error {
		in, err := place.Open(ctx, name)
		if err != nil {
			return err
		}
		return errors.Join(fn(in), in.Close())
	}
	whole := int64(0)
	if err := read(func(in io.Reader) (err error) { whole, err = count(in); return err }); err != nil {
		return fmt.Errorf("%s: %w", f.Where, err)
	}
	if err := e.EnsureHub(ctx, f.Hub); err != nil {
		return err
	}
	sayf(progress, "%s: %s.", f.Where, instances(whole))
	every := steps(progress)
	var done engine.Imported
	err = read(func(in io.Reader) (err error) {
		done, err = e.Import(ctx, f.Hub, in, f.Existing, func(n engine.Imported) {
			every("%d of %d imported, %d existed", n.Instances, whole, n.Skipped)
		})
		return err
	})
	sayf(progress, "%s imported, %d existed and were left as they are.", instances(done.Instances), done.Skipped)
	return err
}

// count reads a file to its end, and returns how many instances it has.
func count(in io.Reader) (n int64, err error) {
	r, err := archive.NewReader(in)
	for err == nil {
		if _, err = r.Next(); err == nil {
			n++
		}
	}
	if errors.Is(err, io.EOF) {
		return n, nil
	}
	return n, err
}

func (f *Files) archive(ctx context.Context, e *engine.Engine, progress io.Writer) error {
	if f.DryRun {
		if _, err := e.Hub(ctx, f.Hub); err != nil {
			return err
		}
		p, err := e.PreviewOperation(ctx, engine.OperationRequest{Hub: f.Hub, Kind: engine.OperationPurge, Filter: f.Filter})
		if err != nil {
			return err
		}
		more := ""
		if !p.Exact {
			more = "more than "
		}
		sayf(progress, "%s%s would be archived.", more, instances(p.Matched))
		return nil
	}
	place, err := archives.At(f.Where)
	if err != nil {
		return err
	}
	every := steps(progress)
	done, err := e.Archive(ctx, engine.ArchiveRequest{
		Hub: f.Hub, Filter: f.Filter, To: place, PerFile: f.PerFile,
		Tell: func(n engine.Archived) {
			every("%d written, %d of them purged, %d files", n.Instances, n.Purged, len(n.Files))
		},
	})
	for _, name := range done.Files {
		sayf(progress, "%s", name)
	}
	sayf(progress, "%s archived in %s.", instances(done.Purged+done.Changed), counted(int64(len(done.Files)), "file"))
	if done.Changed > 0 {
		sayf(progress, "%s changed meanwhile, and stay.", instances(done.Changed))
	}
	return err
}

func instances(n int64) string { return counted(n, "instance") }

func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// steps says something once a second, at most.
func steps(out io.Writer) func(format string, args ...any) {
	last := time.Now()
	return func(format string, args ...any) {
		if time.Since(last) > time.Second {
			last = time.Now()
			sayf(out, format, args...)
		}
	}
}
