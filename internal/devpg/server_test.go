//go:build unix

package devpg

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("MakesEverythingAndKeepsItAcrossRestarts", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		opts.InitCache, opts.NoFsync = "", false // as `weir dev` does
		start := time.Now()
		srv := mustStart(t, opts)
		first := time.Since(start)
		if err := srv.CreateDatabase(testContext(t), "weir dev"); err != nil {
			t.Fatal(err)
		}
		if err := srv.CreateDatabase(testContext(t), "weir dev"); err != nil {
			t.Errorf("the second time: %v", err)
		}
		dsn := srv.DSN("weir dev")
		mustExec(t, dsn, "CREATE TABLE t AS SELECT 42 AS n")
		if err := srv.Stop(testContext(t), Fast); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		srv = mustRestart(t, srv)
		t.Logf("first start %v, second %v", first.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
		if took := time.Since(start); took > time.Second {
			t.Errorf("the second start took %v, want less than a second", took)
		}
		if srv.DSN("weir dev") != dsn {
			t.Errorf("the address changed from %s to %s", dsn, srv.DSN("weir dev"))
		}
		if got := mustQuery(t, dsn, "SELECT n::text FROM t"); got != "42" {
			t.Errorf("got %s from before the restart, want 42", got)
		}
	})

	t.Run("HasTheSettings", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		opts.Settings = map[string]string{"work_mem": "7MB", "max_connections": "17"}
		dsn := mustStart(t, opts).DSN("postgres")
		for name, want := range map[string]string{
			"work_mem": "7MB", "max_connections": "17", // ours
			"shared_buffers": "128MB", "autovacuum_naptime": "10s", "TimeZone": "UTC", "log_min_messages": "warning",
			"fsync": "off", "synchronous_commit": "on", "listen_addresses": "", "server_encoding": "UTF8", "cluster_name": "weir",
		} {
			if got := mustQuery(t, dsn, "SELECT current_setting('"+name+"')"); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		for what, want := range map[string]string{
			"SELECT datcollate FROM pg_database WHERE datname = 'postgres'": "C",
			"SELECT usesuper::text FROM pg_user WHERE usename = 'weir'":     "true",
		} {
			if got := mustQuery(t, dsn, what); got != want {
				t.Errorf("%s: got %s, want %s", what, got, want)
			}
		}
	})

	t.Run("FsyncIsOnUnlessToldOtherwise", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		opts.NoFsync = false
		if got := mustQuery(t, mustStart(t, opts).DSN("postgres"), "SHOW fsync"); got != "on" {
			t.Errorf("fsync is %s", got)
		}
	})

	t.Run("ErrInUse", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		srv := mustStart(t, opts)
		_, err := Start(testContext(t), opts)
		if !errors.Is(err, ErrInUse) {
			t.Fatalf("got %v, want ErrInUse", err)
		}
		wantError(t, err, opts.Dir, "choose another directory")
		if err := srv.Stop(testContext(t), Fast); err != nil {
			t.Fatal(err)
		}
		mustStart(t, opts) // the directory is free as soon as Stop returns
	})

	t.Run("OnlyOneOfManyAtOnce", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		ctx := testContext(t)
		type result struct {
			srv *Server
			err error
		}
		results := make(chan result)
		for range 4 {
			go func() {
				srv, err := Start(ctx, opts)
				results <- result{srv, err}
			}()
		}
		started := 0
		for range 4 {
			r := <-results
			if r.err == nil {
				started++
				stopAtEnd(t, r.srv)
			} else if !errors.Is(r.err, ErrInUse) {
				t.Errorf("got %v, want ErrInUse", r.err)
			}
		}
		if started != 1 {
			t.Errorf("%d servers started, want 1", started)
		}
	})

	t.Run("PathTooLongForASocket", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		opts.Dir = filepath.Join(opts.Dir, strings.Repeat("deep/", 30), `with "quotes", blanks and ünicode`)
		srv := mustStart(t, opts)
		if got := mustQuery(t, srv.DSN("postgres"), "SELECT 'ok'"); got != "ok" {
			t.Errorf("got %s", got)
		}
		if len(srv.sock) > maxSocketPath-len("/.s.PGSQL.5432") {
			t.Errorf("the socket folder %s is too long", srv.sock)
		}
		info, err := os.Stat(srv.sock)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("the socket folder has mode %v", info.Mode())
		}
		if err := srv.Stop(testContext(t), Fast); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(srv.sock); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket folder is left behind: %v", err)
		}
	})

	t.Run("SocketFolderOpenToOthers", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		srv := mustStart(t, opts)
		if err := srv.Stop(testContext(t), Fast); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(srv.sock, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Start(testContext(t), opts)
		wantError(t, err, srv.sock, "remove it")
	})

	t.Run("FaultyOptions", func(t *testing.T) {
		t.Parallel()
		_, err := Start(testContext(t), Options{
			Port: 70000, Superuser: "Robert'); --", Settings: map[string]string{"fsync": "off", "a b": "c"},
		})
		wantError(t, err, "Dir is empty", "70000", "Robert", "Options.NoFsync", `"a b"`)
	})

	t.Run("SettingThatPostgresRefuses", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		opts.Settings = map[string]string{"shared_buffers": "plenty"}
		_, err := Start(testContext(t), opts)
		wantError(t, err, "start postgres", `"shared_buffers"`, `"plenty"`, filepath.Join(opts.Dir, "postgres.log"))
	})

	t.Run("SuperuserOfAnotherName", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		opts.Superuser = "boss"
		srv := mustStart(t, opts)
		if got := mustQuery(t, srv.DSN("postgres"), "SELECT current_user::text"); got != "boss" {
			t.Errorf("connected as %s", got)
		}
		if err := srv.Stop(testContext(t), Fast); err != nil {
			t.Fatal(err)
		}
		opts.Superuser = "weir"
		_, err := Start(testContext(t), opts)
		wantError(t, err, `role "weir" does not exist`)
		waitNoProcess(t, srv.files.data(), time.Second)
	})

	t.Run("VersionError", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		srv := mustStart(t, opts)
		if err := srv.Stop(testContext(t), Fast); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(srv.files.data(), "PG_VERSION"), []byte("9999\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Start(testContext(t), opts)
		var version *VersionError
		if !errors.As(err, &version) {
			t.Fatalf("got %v, want a VersionError", err)
		}
		wantError(t, err, "PostgreSQL 9999", srv.Binaries().Version, BinEnv, "delete "+srv.files.data())
	})

	t.Run("FolderOfBinariesAlone", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		srv := mustStart(t, opts)
		if err := srv.Stop(testContext(t), Fast); err != nil {
			t.Fatal(err)
		}
		opts.Binaries.Dir = srv.Binaries().Dir
		if again := mustStart(t, opts); again.Binaries().Version != srv.Binaries().Version {
			t.Errorf("got %+v, then %+v", srv.Binaries(), again.Binaries())
		}
		opts.Binaries.Dir = filepath.Join(opts.Dir, "none")
		_, err := Start(testContext(t), Options{Dir: filepath.Join(scratchDir(t), "pg"), Binaries: opts.Binaries})
		wantError(t, err, opts.Binaries.Dir, "no executable postgres there")
	})

	t.Run("FolderWithOtherThings", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		if err := mkdirAll(filepath.Join(opts.Dir, "data", "photos"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Start(testContext(t), opts)
		wantError(t, err, "neither empty nor a data directory")
	})

	t.Run("InitdbCutShort", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		if err := mkdirAll(filepath.Join(opts.Dir, "data.new", "base"), 0o711); err != nil {
			t.Fatal(err)
		}
		srv := mustStart(t, opts)
		if _, err := os.Stat(filepath.Join(opts.Dir, "data.new")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the remains are still there: %v", err)
		}
		mustExec(t, srv.DSN("postgres"), "SELECT 1")
	})

	t.Run("FolderThatTheAccountCannotEnter", func(t *testing.T) {
		t.Parallel()
		closed := filepath.Join(tempDir(t), "closed")
		if err := os.Mkdir(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		srv, err := Start(testContext(t), Options{Dir: filepath.Join(closed, "pg"), NoFsync: true, InitCache: initCache})
		if os.Geteuid() == 0 {
			wantError(t, err, "cannot enter "+closed+":", "chmod o+x "+closed)
			if _, err := os.Stat(filepath.Join(closed, "pg")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a folder was made all the same: %v", err)
			}
		} else if err != nil {
			t.Errorf("we are who runs the server, and can enter: %v", err)
		} else {
			stopAtEnd(t, srv)
		}
	})
}

func TestTCP(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	opts.Port = AnyPort
	srv := mustStart(t, opts)
	dsn := srv.TCPDSN("postgres")
	if got := mustQuery(t, dsn, "SELECT host(inet_server_addr())"); got != "127.0.0.1" {
		t.Errorf("connected to %s", got)
	}
	mustExec(t, srv.DSN("postgres"), "SELECT 1")

	_, err := pgx.Connect(testContext(t), strings.Replace(dsn, srv.password, "guess", 1))
	wantError(t, err, "password authentication failed")
	info, err := os.Stat(srv.files.password())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the password has mode %v", info.Mode())
	}

	again := mustRestart(t, srv)
	if again.TCPDSN("postgres") != dsn {
		t.Errorf("the address changed from %s to %s", dsn, again.TCPDSN("postgres"))
	}

	// A port that is taken is reported with what PostgreSQL says of it.
	other := testOptions(t)
	other.Port = srv.Port()
	_, err = Start(testContext(t), other)
	wantError(t, err, "Address already in use", strconv.Itoa(srv.Port()))

	// Without TCP nothing listens there.
	if err := again.Stop(testContext(t), Fast); err != nil {
		t.Fatal(err)
	}
	opts.Port = 0
	if closed := mustStart(t, opts); closed.TCPDSN("postgres") != "" || closed.Port() != 0 {
		t.Errorf("got TCP address %q, port %d", closed.TCPDSN("postgres"), closed.Port())
	}
	_, err = pgx.Connect(testContext(t), dsn)
	wantError(t, err, "refused")
}

func TestStop(t *testing.T) {
	t.Parallel()

	t.Run("ImmediateRecoversWhatWasCommitted", func(t *testing.T) {
		t.Parallel()
		opts := testOptions(t)
		srv := mustStart(t, opts)
		mustExec(t, srv.DSN("postgres"), "CREATE TABLE t (n int)", "INSERT INTO t SELECT generate_series(1, 1000)")
		if err := srv.Stop(testContext(t), Immediate); err != nil {
			t.Fatal(err)
		}
		if err := srv.Err(); err != nil {
			t.Errorf("a stop that was asked for is no error: %v", err)
		}
		srv = mustRestart(t, srv)
		if got := mustQuery(t, srv.DSN("postgres"), "SELECT count(*)::text FROM t"); got != "1000" {
			t.Errorf("%s rows are left of 1000", got)
		}
		wantLog(t, srv, "automatic recovery in progress")
	})

	t.Run("KillRecoversWhatWasCommitted", func(t *testing.T) {
		t.Parallel()
		srv := mustStart(t, testOptions(t))
		mustExec(t, srv.DSN("postgres"), "CREATE TABLE t (n int)")
		for range 3 {
			mustExec(t, srv.DSN("postgres"), "INSERT INTO t VALUES (1)")
			if err := srv.Kill(); err != nil {
				t.Fatal(err)
			}
			srv = mustRestart(t, srv)
		}
		if got := mustQuery(t, srv.DSN("postgres"), "SELECT count(*)::text FROM t"); got != "3" {
			t.Errorf("%s rows, want 3", got)
		}
	})

	t.Run("FastBreaksConnections", func(t *testing.T) {
		t.Parallel()
		ctx := testContext(t)
		srv := mustStart(t, testOptions(t))
		conn, err := pgx.Connect(ctx, srv.DSN("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		if err := srv.Stop(ctx, Fast); err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(ctx); err == nil {
			t.Error("the connection outlived the server")
		}
		if err := errors.Join(srv.Stop(ctx, Fast), srv.Kill(), srv.Err()); err != nil {
			t.Errorf("of a server that has ended: %v", err)
		}
	})

	t.Run("ErrTellsOfAnEndUnasked", func(t *testing.T) {
		t.Parallel()
		srv := mustStart(t, testOptions(t))
		if srv.Err() != nil {
			t.Errorf("while it runs: %v", srv.Err())
		}
		if err := srv.pm.cmd.Process.Signal(signalImmediate); err != nil {
			t.Fatal(err)
		}
		select {
		case <-srv.Done():
		case <-testContext(t).Done():
			t.Fatal("Done stays open")
		}
		wantError(t, srv.Err(), "ended unasked", "immediate shutdown")
	})
}

// wantLog checks that the log has a text.
func wantLog(t *testing.T, srv *Server, text string) {
	t.Helper()
	log, err := os.ReadFile(srv.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), text) {
		t.Errorf("the log lacks %q:\n%s", text, log)
	}
}
