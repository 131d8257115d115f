// Package files counts the lines, words and bytes of many files, one activity a file, and adds them up. Files are
// read as streams, so their size does not matter.
package files

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode"
	"unicode/utf8"

	"github.com/weir-dev/weir/durable"
)

// What this package defines.
const (
	Ingest durable.Orchestration[Job, Report] = "ingest"
	Count  durable.Activity[string, Counts]   = "count_file" // takes an absolute path
)

// ErrUnreadable is a file that cannot be read, however often one tries.
const ErrUnreadable durable.Failure = "unreadable"

// MaxFiles bounds one run: its report, with some 300 bytes a file, has to fit into one value.
const MaxFiles = 20_000

// Job is what to count.
type Job struct {
	Files []string `json:"files"`
	// AtOnce is how many files are read at the same time; 0 means 8.
	AtOnce int `json:"atOnce"`
}

// Counts is what was found in a file.
type Counts struct {
	Lines  int64  `json:"lines"`
	Words  int64  `json:"words"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// File is one line of the report.
type File struct {
	Path string `json:"path"`
	Counts
	// Error tells why the file was not counted.
	Error string `json:"error,omitempty"`
}

// Report is the result of a run, in the order of the job.
type Report struct {
	Files  []File `json:"files"`
	Lines  int64  `json:"lines"`
	Words  int64  `json:"words"`
	Bytes  int64  `json:"bytes"`
	Failed int    `json:"failed"`
}

// Progress is a run's custom status.
type Progress struct {
	Done   int `json:"done"`
	Total  int `json:"total"`
	Failed int `json:"failed"`
}

// ingest counts the files of a job. What is counted is in the history: a run that is interrupted goes on with the
// files that are not.
func ingest(ctx *durable.Context, job Job) (Report, error) {
	if n := len(job.Files); n == 0 || n > MaxFiles {
		return Report{}, fmt.Errorf("%d files, want 1 to %d: %w", n, MaxFiles, durable.ErrInvalid)
	}
	report := Report{Files: make([]File, len(job.Files))}
	progress := Progress{Total: len(job.Files)}
	ctx.SetStatus(progress)
	// As many branches as files may be read at once, each of which takes the next file when it is done with one.
	// Only one branch runs at a time, so they share their variables without a lock.
	next := 0
	read := func(ctx *durable.Context) (durable.None, error) {
		for next < len(job.Files) {
			i := next
			next++
			counts, err := Count.Call(ctx, job.Files[i])
			report.Files[i] = File{Path: job.Files[i], Counts: counts}
			if err != nil {
				report.Files[i].Error = reason(err)
				progress.Failed++
			}
			progress.Done++
			ctx.SetStatus(progress)
		}
		return durable.None{}, nil
	}
	atOnce := job.AtOnce
	if atOnce <= 0 {
		atOnce = 8
	}
	readers := make([]*durable.Future[durable.None], min(atOnce, len(job.Files)))
	for i := range readers {
		readers[i] = durable.Go(ctx, read)
	}
	if _, err := durable.All(readers...); err != nil {
		return Report{}, err
	}
	for _, f := range report.Files {
		report.Lines += f.Lines
		report.Words += f.Words
		report.Bytes += f.Bytes
	}
	report.Failed = progress.Failed
	return report, nil
}

// reason is the activity's own error text.
func reason(err error) string {
	var failed *durable.TaskError
	if errors.As(err, &failed) {
		return failed.Message
	}
	return err.Error()
}

// Handlers binds the definitions. counted is called after each file that was counted here; it may be nil.
func Handlers(counted func(path string)) []durable.Handler {
	return []durable.Handler{
		Ingest.Handler(ingest),
		Count.Handler(func(ctx context.Context, path string) (Counts, error) {
			c, err := count(ctx, path)
			if err == nil && counted != nil {
				counted(path)
			}
			return c, err
		}),
	}
}

// chunk is how much is read at once; the context is looked at between two chunks.
const chunk = 256 << 10

// count reads a file from its beginning to its end.
func count(ctx context.Context, path string) (Counts, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the point
	if err != nil {
		return Counts{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	defer func() { _ = f.Close() }()
	return countStream(ctx, f)
}

// countStream counts as wc does: a line is a line feed, a word is what white space surrounds.
func countStream(ctx context.Context, r io.Reader) (Counts, error) {
	var (
		c      Counts
		inWord bool
		hash   = sha256.New()
		text   = bufio.NewReaderSize(io.TeeReader(r, hash), chunk)
	)
	for {
		if err := ctx.Err(); err != nil {
			return Counts{}, err // interrupted, not unreadable: someone else begins anew
		}
		// At least one whole character, unless the file ends with a part of one.
		_, err := text.Peek(utf8.UTFMax)
		if err != nil && !errors.Is(err, io.EOF) {
			return Counts{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		b, _ := text.Peek(text.Buffered())
		if len(b) == 0 {
			c.SHA256 = hex.EncodeToString(hash.Sum(nil))
			return c, nil
		}
		used := 0
		for used < len(b) {
			r, size := rune(b[used]), 1
			if r >= utf8.RuneSelf {
				if err == nil && !utf8.FullRune(b[used:]) {
					break // the rest of the character comes with the next chunk
				}
				r, size = utf8.DecodeRune(b[used:])
			}
			used += size
			if r == '\n' {
				c.Lines++
			}
			space := unicode.IsSpace(r)
			if !space && !inWord {
				c.Words++
			}
			inWord = !space
		}
		c.Bytes += int64(used)
		_, _ = text.Discard(used)
	}
}
