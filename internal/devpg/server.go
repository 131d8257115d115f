package devpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/weir-dev/weir/internal/devpg/flock"
)

// AnyPort as Options.Port means a free TCP port, told by Server.Port.
const AnyPort = -1

// ErrInUse says that another process, or another Server of this one, runs a
// server on the directory.
var ErrInUse = errors.New("directory is in use by another process")

// Options say which server to start. Only Dir is required.
type Options struct {
	// Dir is the folder of the server; it is made if missing. See the package
	// comment for what it holds.
	Dir string

	// Binaries is the PostgreSQL to run. If zero, Start calls Find, and prefers
	// the version that made the data. The folder alone will do.
	Binaries Binaries

	// Port opens TCP on 127.0.0.1, guarded by a password: a port number, or
	// AnyPort. Zero leaves TCP closed.
	Port int

	// Superuser is the name of the owner of everything; "weir" if empty. It is
	// fixed when the data directory is made.
	Superuser string

	// Settings are server settings, as in postgresql.conf, on top of
	// DefaultSettings. Those that Start itself decides are refused.
	Settings map[string]string

	// NoFsync trades safety for speed: a crash of the machine, though not of
	// the server, may then spoil the data beyond repair.
	NoFsync bool

	// InitCache is a folder where a new data directory is kept, to be copied
	// when the next one is made, which takes a tenth of the time of initdb.
	// Empty means that initdb is run each time. For tests and benchmarks.
	InitCache string

	// Each of the two guards alone must do; tests switch the other one off.
	noSignal, noShell bool
}

// DefaultSettings returns the settings of a server that Options do not
// override: modest memory, room for connections, and a vacuum that keeps up
// with queue tables.
func DefaultSettings() map[string]string {
	return map[string]string{ //nolint:gosec // a method of hashing passwords, not one
		"shared_buffers":      "128MB",
		"max_connections":     "200",
		"autovacuum_naptime":  "10s",
		"log_min_messages":    "warning",
		"timezone":            "UTC",
		"log_timezone":        "UTC",
		"log_line_prefix":     "%m [%p] ",
		"password_encryption": "scram-sha-256",
	}
}

// reserved are the settings that follow from other options or that the package
// relies on, with what to use instead.
var reserved = map[string]string{
	"cluster_name":            "it marks servers of this package",
	"config_file":             "use Options.Settings",
	"data_directory":          "use Options.Dir",
	"external_pid_file":       "",
	"fsync":                   "use Options.NoFsync",
	"hba_file":                "",
	"listen_addresses":        "use Options.Port",
	"logging_collector":       "the log goes to Server.LogFile",
	"port":                    "use Options.Port",
	"unix_socket_directories": "",
	"unix_socket_permissions": "",
}

var (
	plainPassword = regexp.MustCompile(`^[A-Za-z0-9]{16,}$`)
	settingName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
	roleName      = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)
)

// validate reports all faults of the options at once.
func (o *Options) validate() error {
	var faults []error
	if o.Dir == "" {
		faults = append(faults, errors.New("Options.Dir is empty"))
	}
	if o.Port < AnyPort || o.Port > 65535 {
		faults = append(faults, fmt.Errorf("Options.Port %d is neither a port nor AnyPort", o.Port))
	}
	if !roleName.MatchString(o.Superuser) || strings.HasPrefix(o.Superuser, "pg_") {
		faults = append(faults, fmt.Errorf("Options.Superuser %q is not a plain lower-case name", o.Superuser))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Settings)) {
		if why, no := reserved[strings.ToLower(name)]; no {
			faults = append(faults, fmt.Errorf("setting %s is not open to change: %s", name, why))
		} else if !settingName.MatchString(name) {
			faults = append(faults, fmt.Errorf("setting %q is not a name", name))
		}
	}
	return errors.Join(faults...)
}

// A Server is one run of PostgreSQL, from Start until Done. Its methods may be
// called from several goroutines, before and after it has ended.
type Server struct {
	opts     Options // with everything found and chosen
	files    files
	acct     *account
	lock     *flock.Lock
	pm       *postmaster
	sock     string // folder of the Unix socket
	password string // for TCP
	logStart int64  // where in the log this run begins

	stopping atomic.Bool // a signal of ours ends it
	done     chan struct{}
	err      error // valid when done is closed
}

// Start makes the directory ready, starts a server on it and returns when the
// server accepts connections: within 0.2 s on data that exist, 1 to 2 s where
// initdb has to make them, longer if the server must recover from a crash.
// The context ends the start, not the server.
//
// Errors: ErrInUse if a live process runs a server on the directory,
// *VersionError if another version made the data, ErrNoBinaries,
// errors.ErrUnsupported; else what PostgreSQL says, with the end of its log.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s, err := start(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, opts Options) (*Server, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	if opts.Superuser == "" {
		opts.Superuser = "weir"
	}
	err := opts.validate()
	if err != nil {
		return nil, err
	}
	if opts.Dir, err = filepath.Abs(opts.Dir); err != nil {
		return nil, err
	}
	s := &Server{opts: opts, files: files{opts.Dir}, done: make(chan struct{})}
	if s.acct, err = serverAccount(s.files.data()); err != nil {
		return nil, err
	}
	if err := s.files.makeDir(ctx, s.acct); err != nil {
		return nil, err
	}
	if s.lock, err = flock.Try(s.files.lock()); err != nil {
		if errors.Is(err, flock.ErrHeld) {
			err = fmt.Errorf("%s: %w: stop it, or choose another directory", opts.Dir, ErrInUse)
		}
		return nil, err
	}
	err = s.files.handOver(s.acct, s.files.lock())
	if err == nil {
		err = s.launch(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	go s.wait()
	if s.opts.Port != 0 {
		if err := s.ensurePassword(ctx); err != nil {
			return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx), Immediate))
		}
	}
	return s, nil
}

// launch prepares the data and brings a server up, with the lock held.
func (s *Server) launch(ctx context.Context) error {
	cl := &cluster{dir: s.files.data(), acct: s.acct, super: s.opts.Superuser, sync: !s.opts.NoFsync}
	if err := s.findBinaries(ctx, cl); err != nil {
		return err
	}
	err := cl.prepare(ctx, s.opts.Binaries, s.opts.InitCache)
	if err != nil {
		return err
	}
	if s.sock, err = s.files.makeSocketDir(s.acct); err != nil {
		return err
	}
	log, err := s.files.openLog(s.acct)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	anyPort := s.opts.Port == AnyPort
	giveUp := time.Now().Add(retryLimit)
	for {
		if anyPort {
			if s.opts.Port, err = freePort(ctx); err != nil {
				return err
			}
		}
		if s.logStart, err = log.Seek(0, io.SeekEnd); err != nil {
			return err
		}
		l := launch{
			acct:     s.acct,
			postgres: filepath.Join(s.opts.Binaries.Dir, "postgres"),
			args:     s.opts.arguments(s.files.data(), s.sock),
			log:      log,
			pidFile:  filepath.Join(s.files.data(), "postmaster.pid"),
			noSignal: s.opts.noSignal,
			noShell:  s.opts.noShell,
		}
		if s.pm, err = l.run(); err != nil {
			return err
		}
		err = s.waitReady(ctx)
		if err == nil {
			return nil
		}
		_ = s.pm.cmd.Process.Signal(signalImmediate)
		<-s.pm.done
		if !transient(err, anyPort) || time.Now().After(giveUp) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// findBinaries completes Options.Binaries: with the version if only a folder was
// given, with what Find finds if nothing was.
func (s *Server) findBinaries(ctx context.Context, cl *cluster) error {
	if s.opts.Binaries.Version != "" {
		return nil
	}
	major, err := cl.major()
	if err != nil {
		return err
	}
	l := Lookup{BinDir: s.opts.Binaries.Dir, Major: major}
	s.opts.Binaries, err = Find(ctx, l)
	if errors.Is(err, ErrNoBinaries) && major != 0 {
		// Any other version lets prepare name the mismatch, which says more.
		l.Major = 0
		if other, otherErr := Find(ctx, l); otherErr == nil {
			s.opts.Binaries, err = other, nil
		}
	}
	return err
}

// retryLimit is how long starts that fail for a passing reason are repeated.
const retryLimit = 10 * time.Second

// transient tells whether a start that failed may succeed in a moment: after a
// kill of the server its children take a while to notice and let go of the
// shared memory, and a port that was free may be taken by now.
func transient(err error, anyPort bool) bool {
	text := err.Error()
	return strings.Contains(text, "pre-existing shared memory block") ||
		anyPort && strings.Contains(text, "could not bind IPv4 address")
}

// arguments builds the command line of the server. Settings go there rather
// than into a file, so that each start has just those of its options.
func (o *Options) arguments(data, sock string) []string {
	set := DefaultSettings()
	maps.Copy(set, o.Settings)
	maps.Copy(set, map[string]string{
		"cluster_name":            clusterName,
		"fsync":                   "on",
		"listen_addresses":        "",
		"logging_collector":       "off",
		"port":                    strconv.Itoa(o.socketPort()),
		"unix_socket_directories": `"` + strings.ReplaceAll(sock, `"`, `""`) + `"`,
		"unix_socket_permissions": "0700",
	})
	if o.NoFsync {
		set["fsync"] = "off"
	}
	if o.Port != 0 {
		set["listen_addresses"] = "127.0.0.1"
	}
	args := []string{"-D", data}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		args = append(args, "-c", name+"="+set[name])
	}
	return args
}

// socketPort is the number in the name of the socket file. It cannot differ
// from the TCP port; PostgreSQL has one setting for both.
func (o *Options) socketPort() int {
	if o.Port > 0 {
		return o.Port
	}
	return 5432
}

// freePort finds a TCP port below the range from which the system takes the
// ports of outgoing connections, so that it stays free while a server restarts.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	var err error
	for range 100 {
		port := 20000 + mathrand.IntN(10000)
		var l net.Listener
		if l, err = lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// waitReady returns nil once the server accepts a connection.
func (s *Server) waitReady(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.DSN("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code != "57P03" { // other than "is starting up"
			return fmt.Errorf("connect as %s: %w", s.opts.Superuser, err)
		}
		select {
		case <-s.pm.done:
			return fmt.Errorf("the server ended while starting: %w%s", exitError(s.pm.err), s.logTail())
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready yet: %w%s", ctx.Err(), s.logTail())
		case <-tick.C:
		}
	}
}

// wait tidies up when the server has ended and then announces it.
func (s *Server) wait() {
	<-s.pm.done
	if !s.stopping.Load() {
		s.err = fmt.Errorf("postgres ended unasked: %w%s", exitError(s.pm.err), s.logTail())
	}
	_ = os.Remove(s.sock) // unless a killed server left its socket there; the next start cleans up
	if err := s.lock.Close(); err != nil {
		s.err = errors.Join(s.err, err)
	}
	close(s.done)
}

// exitError makes an error of an exit in good order too, for where none is expected.
func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// ensurePassword gives the superuser the password that is kept in the
// directory, or a new one. It does so at each start, for the data may have been
// deleted and made anew since.
func (s *Server) ensurePassword(ctx context.Context) error {
	text, err := os.ReadFile(s.files.password())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read password: %w", err)
	}
	if s.password = strings.TrimSpace(string(text)); !plainPassword.MatchString(s.password) {
		s.password = rand.Text()
		if err := s.files.keepPassword(s.acct, s.password); err != nil {
			return fmt.Errorf("keep password: %w", err)
		}
	}
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	// Both names are plain; a utility statement takes no parameters.
	if _, err := conn.Exec(ctx, fmt.Sprintf(`ALTER ROLE "%s" PASSWORD '%s'`, s.opts.Superuser, s.password)); err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return nil
}

// DSN returns the address of a database of this server by its Unix socket, as a
// URL. It is the same after a restart with the same options. No password is
// needed, but only the user that runs the server, and root, can get in.
func (s *Server) DSN(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(s.opts.Superuser), Path: "/" + database,
		RawQuery: url.Values{
			"host": {s.sock}, "port": {strconv.Itoa(s.opts.socketPort())}, "sslmode": {"disable"},
		}.Encode(),
	}
	return u.String()
}

// TCPDSN returns the address of a database by TCP, with the password in it, or
// "" if Options.Port left TCP closed.
func (s *Server) TCPDSN(database string) string {
	if s.opts.Port == 0 {
		return ""
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(s.opts.Superuser, s.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.opts.Port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port returns the TCP port on 127.0.0.1, or 0 if TCP is closed.
func (s *Server) Port() int { return s.opts.Port }

// PID returns the process number of the server.
func (s *Server) PID() int { return s.pm.cmd.Process.Pid }

// Binaries returns the PostgreSQL that runs.
func (s *Server) Binaries() Binaries { return s.opts.Binaries }

// LogFile returns the path of the server's log.
func (s *Server) LogFile() string { return s.files.log() }

// CreateDatabase makes a database unless it exists.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	var dup *pgconn.PgError
	if errors.As(err, &dup) && dup.Code == "42P04" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}
