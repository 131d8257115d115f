package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// local is a command that asks no server.
type local struct {
	name, about string
	// help prints all there is to know; nil: about is all.
	help func(io.Writer) error
	// flags declares its flags, for completion.
	flags func(*flag.FlagSet)
}

func locals() []local {
	files := func(name string) func(io.Writer) error {
		return func(out io.Writer) error { _, err := ParseFiles(name, []string{"--help"}, out); return err }
	}
	return []local{
		{name: "server", about: "run the server: dashboard, API, timers, recovery"},
		{name: "dev", about: "run everything on an embedded Postgres, with a demo worker"},
		{
			name: "migrate", about: "bring the database to this version; with --roles, make roles for server, workers and readers, too",
			flags: func(f *flag.FlagSet) { f.Bool("roles", false, "make roles, too") },
		},
		{
			name: "doctor", about: "look for what must not be in the database, and for what somebody should see",
			help: func(out io.Writer) error { _, err := ParseDoctor([]string{"--help"}, out); return err }, flags: (&Doctor{}).declare,
		},
		{
			name: "replay", about: "check stored histories against the code of a worker, before it is deployed",
			help: func(out io.Writer) error { _, err := ParseReplay([]string{"--help"}, out); return err },
		},
		{name: "export", about: "write instances that have ended to a file", help: files("export")},
		{name: "import", about: "add the instances of a file to a hub", help: files("import")},
		{name: "archive", about: "move instances that have ended to files, in a folder or an S3 store", help: files("archive")},
		{name: "completion", about: "print what makes a shell complete commands: bash, zsh or fish", help: completionHelp},
		{name: "version", about: "print the version"},
		{name: "help", about: "print this, or all about a command: weir help COMMAND"},
	}
}

// Overview lists all commands.
func Overview(out io.Writer) {
	sayf(out, "Weir: durable execution on your Postgres.\n\nThe program itself, on the database of WEIR_DATABASE_URL:\n")
	for _, p := range locals() {
		sayf(out, "  weir %-12s %s", p.name, p.about)
	}
	sayf(out, "\nCommands that ask a server, the one of --server or WEIR_SERVER:\n")
	for _, c := range commands() {
		sayf(out, "  weir %-18s %s", c.name, c.about)
	}
	sayf(out, "\nThey all take --server, --token (WEIR_TOKEN), --hub (WEIR_HUB), --output table|json, --json and --timeout. Exit codes: 0 done,\n"+
		"1 refused or failed, 2 the command line is not understood, 3 there is no such thing, 4 the server cannot be reached, is not\n"+
		"available, or does not let the caller in.\n\nEnvironment variables of the program itself:\n")
}

// Help prints all about a command, or about those that begin with a word. Errors: Usage.
func Help(out io.Writer, words []string) error {
	name := strings.Join(words, " ")
	for _, p := range locals() {
		if p.name != name {
			continue
		}
		if p.help == nil {
			sayf(out, "weir %s: %s", p.name, p.about)
			return nil
		}
		if err := p.help(out); !errors.Is(err, flag.ErrHelp) {
			return err
		}
		return nil
	}
	found := slices.DeleteFunc(commands(), func(c *command) bool { return c.name != name && !strings.HasPrefix(c.name, name+" ") })
	switch {
	case name == "" || len(found) == 0:
		return Usage(fmt.Sprintf("help: there is no command %q: see `weir help`", name))
	case len(found) > 1 || found[0].name != name:
		for _, c := range found {
			sayf(out, "  weir %-18s %s", strings.TrimSpace(c.name+" "+c.args), c.about)
		}
		sayf(out, "\nSee `weir help %s ...` for each.", name)
		return nil
	}
	c := found[0]
	sayf(out, "weir %s: %s\n\n  weir %s [flags]\n", c.name, c.about, strings.TrimSpace(c.name+" "+c.args))
	if c.more != "" {
		sayf(out, "%s\n", c.more)
	}
	own, shared := flag.NewFlagSet(c.name, flag.ContinueOnError), flag.NewFlagSet("", flag.ContinueOnError)
	own.SetOutput(out)
	shared.SetOutput(out)
	c.bind(own)
	new(common).declare(shared)
	if hasFlags(own) {
		sayf(out, "Flags:")
		own.PrintDefaults()
		sayf(out, "")
	}
	sayf(out, "Flags of all commands that ask a server:")
	shared.PrintDefaults()
	return nil
}

func hasFlags(flags *flag.FlagSet) (has bool) {
	flags.VisitAll(func(*flag.Flag) { has = true })
	return has
}
