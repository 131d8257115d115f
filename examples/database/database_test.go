package database_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-dev/weir/examples/database"
	"github.com/weir-dev/weir/internal/devpg"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var none = pgtest.Template{Name: "none"}

// open opens a database and checks that it can be used; it returns its name and what was said.
func open(t *testing.T, url string) (name, said string) {
	t.Helper()
	var out strings.Builder
	db, err := database.Open(t.Context(), url, &out)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Pool.QueryRow(t.Context(), "SELECT current_database() FROM weir.hubs WHERE name = 'default'").Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name, out.String()
}

func TestOpen(t *testing.T) {
	scratch, err := devpg.ScratchDir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(scratch, "examples-") //nolint:usetesting // the user that runs Postgres has to pass through
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "dev")
	t.Setenv("WEIR_DEV_DIR", dir)
	t.Setenv("WEIR_DATABASE_URL", "")

	t.Run("StartsPostgresIfNothingIsNamed", func(t *testing.T) {
		for range 2 { // the second time the data is there
			if name, said := open(t, ""); name != "weir" || !strings.Contains(said, "No database is named: starting Postgres") {
				t.Errorf("got %s: %s", name, said)
			}
		}
	})
	t.Run("TheDatabaseOfWeirDevWhileThatRuns", func(t *testing.T) {
		db := pgtest.New(t, none)
		told := filepath.Join(dir, database.URLFile)
		if err := os.WriteFile(told, []byte(db.DSN()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name, said := open(t, ""); name != db.Name() || !strings.Contains(said, "dashboard") {
			t.Errorf("got %s: %s", name, said)
		}
		// One that was killed leaves the file behind.
		if err := os.WriteFile(told, []byte("postgres://weir@/weir?host=/nowhere\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name, said := open(t, ""); name != "weir" || !strings.Contains(said, "starting Postgres") {
			t.Errorf("got %s: %s", name, said)
		}
	})
	t.Run("TheEnvironmentGoesBeforeIt", func(t *testing.T) {
		db := pgtest.New(t, none)
		t.Setenv("WEIR_DATABASE_URL", db.DSN())
		if name, said := open(t, ""); name != db.Name() || said != "" {
			t.Errorf("got %s: %s", name, said)
		}
	})
	t.Run("TheFlagGoesBeforeAll", func(t *testing.T) {
		db := pgtest.New(t, none)
		t.Setenv("WEIR_DATABASE_URL", "postgres://nobody@localhost:1/none")
		if name, said := open(t, db.DSN()); name != db.Name() || said != "" {
			t.Errorf("got %s: %s", name, said)
		}
	})
	t.Run("TellsWhatToDo", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("WEIR_DEV_DIR", filepath.Join(file, "dev"))
		_, err := database.Open(t.Context(), "", &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), "Name a database with -database or WEIR_DATABASE_URL, or run `make dev`") {
			t.Errorf("got %v", err)
		}
	})
}
