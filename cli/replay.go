// Package cli holds the commands of the weir program that are more than starting a server.
package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Usage says that the command line is not one of the command's.
type Usage string

// Error implements error.
func (u Usage) Error() string { return string(u) }

// Replay is the command `weir replay`: do stored histories match the code of a worker that is to be deployed?
type Replay struct {
	Hub    string
	Binary string
	Args   []string
	Names  []string
	Last   int
	Save   string
	// Answer is how long the binary may take to begin, and for each history; 0 means 30 s.
	Answer time.Duration
}

const replayUsage = `weir replay: check stored histories against the code of a worker, before it is deployed.

  weir replay --hub HUB --binary PROGRAM [--name NAME]... [--last N] [--save FILE] [-- ARGUMENTS OF PROGRAM]
  weir replay --hub HUB --save FILE --name NAME... [--last N]

The program is a worker's: it is started with WEIR_REPLAY=1, and where it would begin to work (Worker.Run) it replays
histories instead. It opens no database of Weir's; what it does before Worker.Run, it does. For each of its orchestrations
and each version there is of them, the last N instances are replayed: live ones first, because the new code is to carry
them on. With --save the histories are written to a file, for durabletest.Replay; then --binary may be left out.

The database is that of WEIR_DATABASE_URL. Exit codes: 0 all histories match, 1 some do not, or it cannot be told,
2 the command line is not understood.

Flags:
`

// ParseReplay reads the arguments of `weir replay`. Errors: Usage; flag.ErrHelp, after help was printed to out.
func ParseReplay(args []string, out io.Writer) (*Replay, error) {
	r := &Replay{}
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&r.Hub, "hub", "", "the task hub whose histories to read")
	flags.StringVar(&r.Binary, "binary", "", "the worker's program")
	flags.Func("name", "an orchestration to look at; may be repeated (default: all that the program has)", func(v string) error {
		r.Names = append(r.Names, v)
		return engine.CheckName("name", v)
	})
	flags.IntVar(&r.Last, "last", 200, "how many instances of each name and version")
	flags.StringVar(&r.Save, "save", "", "a file to write the histories to, one a line")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprint(out, replayUsage)
		flags.SetOutput(out)
		flags.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, Usage("replay: " + err.Error() + ": see `weir replay --help`")
	}
	r.Args = flags.Args()
	wrong := ""
	switch {
	case r.Hub == "":
		wrong = "name the hub with --hub"
	case r.Binary == "" && r.Save == "":
		wrong = "name the worker's program with --binary"
	case r.Binary == "" && len(r.Names) == 0:
		wrong = "without --binary, name the orchestrations with --name"
	case r.Binary == "" && len(r.Args) > 0:
		wrong = fmt.Sprintf("%q is no flag", r.Args[0])
	case r.Last < 1 || r.Last > maxLast:
		wrong = fmt.Sprintf("--last is %d, want 1 to %d", r.Last, maxLast)
	}
	if wrong != "" {
		return nil, Usage("replay: " + wrong + ": see `weir replay --help`")
	}
	return r, nil
}

const (
	maxLast = 100_000
	// pageSize is how many instances are read at once; of a name, looking for further versions ends after
	// maxScanned.
	pageSize   = 500
	maxScanned = 50_000
)

// Run carries the command out and tells out how it goes. An error means exit code 1.
func (r *Replay) Run(ctx context.Context, e *engine.Engine, out io.Writer) error {
	if r.Answer == 0 {
		r.Answer = 30 * time.Second
	}
	var (
		p     *program
		names = r.Names
		save  io.Writer
	)
	if _, err := e.Hub(ctx, r.Hub); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if r.Save != "" {
		f, err := os.Create(r.Save)
		if err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		defer func() { _ = f.Close() }()
		save = f
	}
	if r.Binary != "" {
		var err error
		if p, err = r.launch(ctx); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		defer p.close()
		if names, err = r.choose(p.has); err != nil {
			return err
		}
		sayf(out, "Replaying histories of hub %s, %d orchestrations, the last %d instances of each name and version.", r.Hub, len(names), r.Last)
	}
	var all tally
	for _, name := range names {
		if err := r.name(ctx, e, p, name, save, out, &all); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
	}
	if r.Save != "" {
		sayf(out, "%d histories are saved in %s", all.replayed+all.unknown, r.Save)
	}
	switch {
	case p == nil:
	case all.differ > 0:
		return fmt.Errorf("replay: %d of %d histories do not match the code of %s", all.differ, all.replayed, r.Binary)
	case all.replayed == 0:
		sayf(out, "There was nothing to replay: hub %s has no histories of these orchestrations.", r.Hub)
	default:
		sayf(out, "All %d histories match.", all.replayed)
	}
	return nil
}

func sayf(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }

// choose tells which orchestrations to look at: those that were named, or all that the program has.
func (r *Replay) choose(has []engine.Definition) ([]string, error) {
	var names []string
	for _, d := range has {
		if !slices.Contains(names, d.Name) {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names)
	for _, want := range r.Names {
		if !slices.Contains(names, want) {
			return nil, fmt.Errorf("replay: %s has no orchestration %q; it has %q", r.Binary, want, names)
		}
	}
	if len(r.Names) > 0 {
		return r.Names, nil
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("replay: %s has no orchestrations", r.Binary)
	}
	return names, nil
}

// tally counts what was found.
type tally struct{ replayed, live, differ, unknown int }

// name replays the instances of a name, version by version as they are found: live ones first, the newest of each.
func (r *Replay) name(ctx context.Context, e *engine.Engine, p *program, name string, save, out io.Writer, all *tally) error {
	versions := map[string]*tally{}
	for _, live := range []bool{true, false} {
		filter := engine.Filter{Name: name}
		for _, s := range history.Statuses() {
			if s.Live() == live && s != history.ContinuedAsNew && s != history.Pending {
				filter.Statuses = append(filter.Statuses, s)
			}
		}
		page := engine.Page{Limit: pageSize}
		for scanned := 0; scanned < maxScanned; scanned += pageSize {
			instances, err := e.List(ctx, r.Hub, filter, page)
			if err != nil {
				return err
			}
			for _, i := range instances {
				v := versions[i.Version]
				if v == nil {
					v = &tally{}
					versions[i.Version] = v
				}
				if v.replayed+v.unknown == r.Last {
					continue
				}
				if err := r.one(ctx, e, p, i, v, save, out); err != nil {
					return err
				}
			}
			if len(instances) < pageSize {
				break
			}
			last := instances[len(instances)-1]
			page.After = &engine.Position{CreatedAt: last.CreatedAt, No: last.No()}
		}
	}
	var order []string
	for v := range versions {
		order = append(order, v)
	}
	slices.Sort(order)
	if order == nil {
		sayf(out, "%s: no histories", name)
	}
	for _, version := range order {
		v := versions[version]
		what := name
		if version != "" {
			what += ", version " + version
		}
		text := fmt.Sprintf("%s: %d histories, %d of live instances", what, v.replayed+v.unknown, v.live)
		switch {
		case p == nil:
		case v.unknown > 0:
			text += ": this program does not have this version; live instances wait for a worker that has"
		case v.differ > 0:
			text += fmt.Sprintf(": %d DO NOT MATCH", v.differ)
		default:
			text += ": all match"
		}
		sayf(out, "%s", text)
		all.replayed += v.replayed
		all.live += v.live
		all.differ += v.differ
		all.unknown += v.unknown
	}
	return nil
}

// one replays an instance.
func (r *Replay) one(ctx context.Context, e *engine.Engine, p *program, i *engine.Instance, v *tally, save, out io.Writer) error {
	rec, err := e.Record(ctx, i)
	if err != nil {
		return err
	}
	if rec == nil { // not begun, or gone on
		return nil
	}
	if i.Status.Live() {
		v.live++
	}
	line, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	if save != nil {
		if _, err := save.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if p == nil {
		v.replayed++
		return nil
	}
	answer, err := p.ask(ctx, rec.Instance, line)
	if err != nil {
		return err
	}
	if answer.NoHandler {
		v.unknown++
		return nil
	}
	v.replayed++
	if text := rec.Tell(answer); text != "" {
		v.differ++
		sayf(out, "%s", text)
	}
	if n := v.replayed; n%progressEvery == 0 {
		sayf(out, "%s: %d histories so far", i.Name, n)
	}
	return nil
}

// progressEvery is after how many histories of a version people are told that it goes on.
const progressEvery = 1000

// program is the worker's, running to replay.
type program struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan []byte // of the protocol; closed at the end of its output
	said   *tail
	answer time.Duration
	has    []engine.Definition
	ended  chan error
}

// launch starts the program and waits until it says what it can run.
func (r *Replay) launch(ctx context.Context) (*program, error) {
	cmd := exec.CommandContext(ctx, r.Binary, r.Args...) //nolint:gosec // to run a program that the caller names is what the command is for
	cmd.Env = append(os.Environ(), "WEIR_REPLAY=1", "WEIR_REPLAY_HUB="+r.Hub)
	p := &program{cmd: cmd, lines: make(chan []byte), said: &tail{}, answer: r.Answer, ended: make(chan error, 1)}
	cmd.WaitDelay = 2 * time.Second // what it has started may hold its output open
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, p.said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", r.Binary, err)
	}
	go func() { p.ended <- cmd.Wait(); _ = write.Close() }()
	go p.read(read)
	var others []string
	for {
		line, err := p.next(ctx, "say what it can run")
		if err != nil {
			p.close()
			if len(others) > 0 {
				return nil, fmt.Errorf("%w\nit has workers for the hubs %q, not for %q: how it is configured says which", err, others, r.Hub)
			}
			return nil, err
		}
		var hello engine.ReplayHello
		if err := json.Unmarshal(line, &hello); err != nil || hello.Protocol != engine.ReplayProtocol {
			p.close()
			return nil, fmt.Errorf("%s speaks another protocol than this version of weir: build both from the same version", r.Binary)
		}
		if hello.Hub == r.Hub {
			p.has = hello.Orchestrations
			return p, nil
		}
		others = append(others, hello.Hub)
	}
}

var protocolLine = []byte(`{"weirReplay":`)

// read sorts the program's output into lines of the protocol and what else it prints.
func (p *program) read(from io.Reader) {
	defer close(p.lines)
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if bytes.HasPrefix(line, protocolLine) {
			p.lines <- line
		} else if len(bytes.TrimSpace(line)) > 0 {
			_, _ = p.said.Write(line)
		}
		if err != nil {
			return
		}
	}
}

// next waits for a line of the protocol.
func (p *program) next(ctx context.Context, what string) ([]byte, error) {
	timer := time.NewTimer(p.answer)
	defer timer.Stop()
	var why string
	select {
	case line, ok := <-p.lines:
		if ok {
			return line, nil
		}
		why = "ended before it could " + what + "; it has to come to Worker.Run"
	case <-timer.C:
		why = fmt.Sprintf("did not %s within %s; it has to come to Worker.Run", what, p.answer)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%s %s%s", p.cmd.Path, why, p.said)
}

// ask has a recording replayed.
func (p *program) ask(ctx context.Context, instance string, line []byte) (engine.ReplayAnswer, error) {
	written := make(chan error, 1)
	go func() { _, err := p.in.Write(append(line, '\n')); written <- err }()
	for {
		line, err := p.next(ctx, fmt.Sprintf("replay instance %q", instance))
		if err != nil {
			return engine.ReplayAnswer{}, err
		}
		var a engine.ReplayAnswer
		if err := json.Unmarshal(line, &a); err != nil {
			return a, fmt.Errorf("%s answers %.200q: %w", p.cmd.Path, line, err)
		}
		if a.Instance != instance { // the hello of another worker in the program
			continue
		}
		return a, <-written
	}
}

// close ends the program: told by the end of its input, and by force if it does not listen.
func (p *program) close() {
	_ = p.in.Close()
	go func() {
		for range p.lines { // so that it can write to its end
		}
	}()
	select {
	case <-p.ended:
	case <-time.After(2 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// tail keeps the last of what a program prints.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 4000

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(p), nil
}

// String is what was printed, to be put after an error.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) == 0 {
		return ""
	}
	return "; its last words:\n" + strings.TrimSpace(string(t.text))
}
