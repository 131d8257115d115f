package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-dev/weir/engine"
)

// A command asks a server's API. Its name has one word or two.
type command struct {
	name string
	// args names what comes beside flags, for people: words in brackets may be left out.
	args     string
	min, max int
	about    string
	// more is what else there is to say in help.
	more string
	// signsIn is for a command that takes no sign-in of before.
	signsIn bool
	// bind declares the command's flags, and returns what the command does.
	bind func(*flag.FlagSet) func(context.Context, *call) error
}

// call is one run of a command.
type call struct {
	client *client
	hub    string
	json   bool
	args   []string
	env    func(string) (string, bool)
	in     io.Reader
	out    io.Writer
	notes  io.Writer
	raw    json.RawMessage // the last answer
	now    func() time.Time
}

// common are the flags that all commands have.
type common struct {
	server, token, hub, output string
	json                       bool
	timeout                    time.Duration
}

func (o *common) declare(flags *flag.FlagSet) {
	flags.StringVar(&o.server, "server", "", "the server's address (WEIR_SERVER; default "+DefaultServer+")")
	flags.StringVar(&o.token, "token", "", "a bearer token (better in WEIR_TOKEN: others see command lines)")
	flags.StringVar(&o.hub, "hub", "", "the task hub (WEIR_HUB; default default)")
	flags.StringVar(&o.output, "output", "table", "table or json")
	flags.BoolVar(&o.json, "json", false, "the same as --output json")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long an answer may take")
}

// Has tells whether there is a command of this name that asks a server.
func Has(word string) bool {
	return slices.ContainsFunc(commands(), func(c *command) bool { return c.name == word || strings.HasPrefix(c.name, word+" ") })
}

// find returns the command that the words begin with, and the words after it. Errors: Usage.
func find(args []string) (*command, []string, error) {
	for _, n := range []int{2, 1} {
		if len(args) < n {
			continue
		}
		name := strings.Join(args[:n], " ")
		for _, c := range commands() {
			if c.name == name {
				return c, args[n:], nil
			}
		}
	}
	var verbs []string
	for _, c := range commands() {
		if rest, ok := strings.CutPrefix(c.name, args[0]+" "); ok {
			verbs = append(verbs, rest)
		}
	}
	if len(verbs) == 0 {
		return nil, nil, Usage(fmt.Sprintf("there is no command %q: see `weir help`", args[0]))
	}
	return nil, nil, Usage(fmt.Sprintf("%s: say what to do: %s: see `weir help %[1]s`", args[0], strings.Join(verbs, ", ")))
}

// Run carries out a command that asks a server. Notes are for people and go beside the output. Errors: Usage, *Exit.
func Run(ctx context.Context, args []string, env func(string) (string, bool), in io.Reader, out, notes io.Writer) error {
	if len(args) > 1 && isHelp(args[1]) {
		return Help(out, args[:1])
	}
	cmd, rest, err := find(args)
	if err != nil {
		return err
	}
	wrong := func(format string, args ...any) error {
		return Usage(fmt.Sprintf("%s: %s: see `weir help %[1]s`", cmd.name, fmt.Sprintf(format, args...)))
	}
	flags := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var o common
	o.declare(flags)
	do := cmd.bind(flags)
	c := &call{env: env, in: in, out: out, notes: notes, now: time.Now}
	switch c.args, err = parse(flags, rest); {
	case errors.Is(err, flag.ErrHelp):
		return Help(out, strings.Fields(cmd.name))
	case err != nil:
		return wrong("%v", err)
	}
	switch {
	case len(c.args) < cmd.min:
		return wrong("it takes %s", cmd.args)
	case len(c.args) > cmd.max && cmd.max == 0:
		return wrong("%q is no flag", c.args[0])
	case len(c.args) > cmd.max:
		return wrong("%q is too much: it takes %s", c.args[cmd.max], cmd.args)
	case o.output != "table" && o.output != "json":
		return wrong("--output: is %q, allowed are table and json", o.output)
	}
	for _, a := range c.args {
		if !utf8.ValidString(a) {
			return wrong("%q is not valid UTF-8", a)
		}
	}
	c.json = o.json || o.output == "json"
	c.hub = first(o.hub, c.variable("WEIR_HUB"), "default")
	c.client, err = newClient(first(o.server, c.variable("WEIR_SERVER"), DefaultServer), first(o.token, c.variable("WEIR_TOKEN")), o.timeout)
	if err != nil {
		return wrong("%v", err)
	}
	if file, wrong := credentialsFile(); wrong == nil && c.client.token == "" && !cmd.signsIn { // without a home there is no sign-in
		c.client.signIn = &signIn{c.client.server, file, c.client.provider()}
	}
	err = do(ctx, c)
	var (
		exit  *Exit
		usage Usage
	)
	switch {
	case errors.As(err, &usage):
		return wrong("%s", string(usage))
	case errors.As(err, &exit):
		return &Exit{exit.Code, fmt.Errorf("%s: %w", cmd.name, exit.Err)}
	case err != nil && ctx.Err() != nil: // somebody has had enough
		return nil //nolint:nilerr // which is no failure
	case err != nil:
		return fmt.Errorf("%s: %w", cmd.name, err)
	}
	return nil
}

func (c *call) variable(name string) string {
	if v, ok := c.env(name); ok {
		return v
	}
	return ""
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

func isHelp(word string) bool { return word == "-h" || word == "-help" || word == "--help" }

// parse reads flags and other words in any order; after -- everything is a word.
func parse(flags *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		rest := flags.Args()
		if len(rest) == 0 {
			return words, nil
		}
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			return append(words, rest...), nil
		}
		words, args = append(words, rest[0]), rest[1:]
	}
}

// vars are the variables of an operation: the hub, and what else there is.
func (c *call) vars(pairs ...any) map[string]any {
	v := map[string]any{"hub": c.hub}
	for i := 0; i+1 < len(pairs); i += 2 {
		v[pairs[i].(string)] = pairs[i+1]
	}
	return v
}

// input are the variables of a mutation with its one argument; pairs with an empty value are left out.
func (c *call) input(pairs ...any) map[string]any {
	v := map[string]any{"hub": c.hub}
	for i := 0; i+1 < len(pairs); i += 2 {
		switch value := pairs[i+1].(type) {
		case string:
			if value == "" {
				continue
			}
		case json.RawMessage:
			if value == nil {
				continue
			}
		}
		v[pairs[i].(string)] = pairs[i+1]
	}
	return map[string]any{"input": v}
}

// emit prints the last answer as JSON, if that is wanted, and tells whether it did.
func (c *call) emit() (done bool, err error) { return c.json, c.emitRaw(c.raw) }

func (c *call) emitRaw(raw json.RawMessage) error {
	if !c.json {
		return nil
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := c.out.Write(b.Bytes())
	return err
}

// sayf prints a line.
func (c *call) sayf(format string, args ...any) { sayf(c.out, format, args...) }

// value reads a value from the command line: JSON; @FILE is what a file has, - what the standard input has. Errors: Usage.
func (c *call) value(flag, text string) (json.RawMessage, error) {
	const most = 24 << 20
	var (
		raw []byte
		err error
	)
	read := func(r io.Reader) {
		if raw, err = io.ReadAll(io.LimitReader(r, most+1)); err == nil && len(raw) > most {
			err = fmt.Errorf("it is larger than %d bytes", most)
		}
	}
	switch {
	case text == "":
		return nil, nil
	case text == "-":
		read(c.in)
	case strings.HasPrefix(text, "@"):
		var f *os.File
		if f, err = os.Open(text[1:]); err == nil {
			read(f)
			_ = f.Close()
		}
	default:
		raw = []byte(text)
	}
	switch {
	case err != nil:
		return nil, Usage(fmt.Sprintf("%s: %v", flag, err))
	case !utf8.Valid(raw):
		return nil, Usage(flag + ": is not valid UTF-8")
	case !json.Valid(raw):
		return nil, Usage(fmt.Sprintf(`%s: is no JSON: %s (text needs quotes: '"text"'; @FILE reads a file, - the standard input)`, flag, cut(printable(string(raw)), 40)))
	}
	return bytes.TrimSpace(raw), nil
}

// list is a flag that may be repeated.
type list []string

// String implements flag.Value.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(v string) error {
	if !utf8.ValidString(v) {
		return errors.New("it is not valid UTF-8")
	}
	*l = append(*l, v)
	return nil
}

// tag is a name with a value, as the API takes it and gives it.
type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// tags is a flag NAME=VALUE that may be repeated.
type tags []tag

// String implements flag.Value.
func (t *tags) String() string {
	var out []string
	for _, tag := range *t {
		out = append(out, tag.Key+"="+tag.Value)
	}
	return strings.Join(out, " ")
}

// Set implements flag.Value.
func (t *tags) Set(v string) error {
	key, value, ok := strings.Cut(v, "=")
	switch {
	case !utf8.ValidString(v):
		return errors.New("it is not valid UTF-8")
	case !ok || key == "":
		return errors.New("want NAME=VALUE")
	}
	*t = append(*t, tag{key, value})
	return nil
}

// moment is a flag for a time: RFC 3339, or how long ago, or from now, such as 90m or 7d.
type moment struct {
	text   string
	future bool
}

// String implements flag.Value.
func (m *moment) String() string { return m.text }

// Set implements flag.Value.
func (m *moment) Set(v string) error {
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil {
		ago, wrong := engine.ParseLength("", v)
		if wrong != nil {
			return errors.New("want a time such as 2026-11-27T09:00:00Z, or a length of time such as 90m, 36h or 7d")
		}
		if m.future {
			ago = -ago
		}
		t = time.Now().Add(-ago)
	}
	m.text = t.UTC().Format(time.RFC3339Nano)
	return nil
}

// enum is a flag for one of a few words, in any case.
type enum struct {
	value   string
	allowed []string
}

// String implements flag.Value.
func (e *enum) String() string { return e.value }

// Set implements flag.Value.
func (e *enum) Set(v string) error {
	word := strings.ToUpper(strings.ReplaceAll(v, "-", "_"))
	if !slices.Contains(e.allowed, word) {
		return fmt.Errorf("allowed are %s", strings.Join(e.allowed, ", "))
	}
	e.value = word
	return nil
}

// enums is such a flag that may be repeated.
type enums struct {
	values  []string
	allowed []string
}

// String implements flag.Value.
func (e *enums) String() string { return strings.Join(e.values, ",") }

// Set implements flag.Value.
func (e *enums) Set(v string) error {
	one := enum{allowed: e.allowed}
	if err := one.Set(v); err != nil {
		return err
	}
	e.values = append(e.values, one.value)
	return nil
}

// at formats a time of the API's for a table.
func at(s *string) string {
	if s == nil || *s == "" {
		return ""
	}
	t, err := time.Parse(time.RFC3339Nano, *s)
	if err != nil {
		return *s
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
