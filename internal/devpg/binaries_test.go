//go:build unix

package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// fakePostgres puts programs into a folder that report a version and nothing more.
func fakePostgres(t *testing.T, dir, version string) string {
	t.Helper()
	if err := mkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "initdb"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s (Fake)'\n", name, version)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestFind is not parallel: PATH and WEIR_PG_BIN belong to the whole process.
func TestFind(t *testing.T) {
	base := tempDir(t)
	t.Setenv("PATH", filepath.Join(base, "nothing"))
	t.Setenv(BinEnv, "")
	cache := filepath.Join(base, "cache")
	find := func(l Lookup, system ...string) (Binaries, error) {
		t.Helper()
		if l.CacheDir == "" {
			l.CacheDir = filepath.Join(base, "nothing")
		}
		return find(testContext(t), l, system)
	}
	want := func(t *testing.T, got Binaries, err error, want Binaries) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for _, v := range []string{"9.6", "13", "15", "17"} {
		fakePostgres(t, filepath.Join(base, "lib", v, "bin"), v+".2")
	}
	system := filepath.Join(base, "lib", "*", "bin")
	fakePostgres(t, filepath.Join(cache, packagePrefix+"18.4.0-beta.17-linux-x64", "bin"), "18.4")
	fakePostgres(t, filepath.Join(cache, packagePrefix+"19.0.0-beta.1-linux-x64", "bin"), "19beta1")

	t.Run("NewestOfTheSystem", func(t *testing.T) {
		got, err := find(Lookup{CacheDir: cache}, system)
		want(t, got, err, Binaries{Dir: filepath.Join(base, "lib", "17", "bin"), Version: "17.2", Source: SourceSystem})
	})
	t.Run("MajorAskedFor", func(t *testing.T) {
		got, err := find(Lookup{CacheDir: cache, Major: 15}, system)
		want(t, got, err, Binaries{Dir: filepath.Join(base, "lib", "15", "bin"), Version: "15.2", Source: SourceSystem})
		_, err = find(Lookup{CacheDir: cache, Major: 16}, system)
		wantError(t, err, "install PostgreSQL 16:", "version 17.2, wanted 16")
	})
	t.Run("NewestOfTheCache", func(t *testing.T) {
		got, err := find(Lookup{CacheDir: cache})
		want(t, got, err, Binaries{Dir: filepath.Join(cache, packagePrefix+"19.0.0-beta.1-linux-x64", "bin"), Version: "19beta1", Source: SourceNPM})
		if got.Major() != 19 {
			t.Errorf("major version %d", got.Major())
		}
	})
	t.Run("PathBeforeSystem", func(t *testing.T) {
		link := filepath.Join(base, "path")
		if err := mkdirAll(link, 0o755); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(base, "lib", "15", "bin")
		if err := os.Symlink(filepath.Join(dir, "postgres"), filepath.Join(link, "postgres")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", link)
		got, err := find(Lookup{}, system)
		want(t, got, err, Binaries{Dir: dir, Version: "15.2", Source: SourcePath})
	})
	t.Run("EnvironmentBeforePath", func(t *testing.T) {
		dir := filepath.Join(base, "lib", "15", "bin")
		t.Setenv(BinEnv, dir)
		got, err := find(Lookup{Major: 17}, system)
		want(t, got, err, Binaries{Dir: dir, Version: "15.2", Source: SourceEnv})
	})
	t.Run("OptionBeforeEnvironment", func(t *testing.T) {
		t.Setenv(BinEnv, filepath.Join(base, "lib", "15", "bin"))
		dir := filepath.Join(base, "lib", "17", "bin")
		got, err := find(Lookup{BinDir: dir}, system)
		want(t, got, err, Binaries{Dir: dir, Version: "17.2", Source: SourceOption})
	})
	t.Run("NamedFolderOfNoUseEndsTheSearch", func(t *testing.T) {
		t.Setenv(BinEnv, filepath.Join(base, "lib", "13", "bin"))
		_, err := find(Lookup{}, system)
		if !errors.Is(err, ErrNoBinaries) {
			t.Errorf("got %v, want ErrNoBinaries", err)
		}
		wantError(t, err, BinEnv, filepath.Join("13", "bin"), "13.2 is too old", "14")
	})
	t.Run("ErrNoBinariesTellsWhatToDo", func(t *testing.T) {
		half := fakePostgres(t, filepath.Join(base, "half", "bin"), "17.2")
		if err := os.Remove(filepath.Join(half, "initdb")); err != nil {
			t.Fatal(err)
		}
		odd := fakePostgres(t, filepath.Join(base, "odd", "bin"), "17.2")
		if err := os.WriteFile(filepath.Join(odd, "postgres"), []byte("#!/bin/sh\necho cannot open shared object >&2; exit 127\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := find(Lookup{}, half, odd, filepath.Join(base, "lib", "9.6", "bin"))
		if !errors.Is(err, ErrNoBinaries) {
			t.Errorf("got %v, want ErrNoBinaries", err)
		}
		wantError(t, err,
			"no usable PostgreSQL found", half+": no executable initdb there", "exit status 127:\n  cannot open shared object", "version 9.6.2 is too old",
			"apt install postgresql", "set "+BinEnv+" to the folder", "fetch PostgreSQL "+packageRelease+" from npm", "address of a server that runs already")
	})
	t.Run("ContextEnds", func(t *testing.T) {
		ctx, cancel := context.WithCancel(testContext(t))
		cancel()
		_, err := Find(ctx, Lookup{CacheDir: cache})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
}

// TestFindOnThisMachine proves that what Find returns runs: every other test of
// this package starts it.
func TestFindOnThisMachine(t *testing.T) {
	t.Parallel()
	b, err := Find(testContext(t), Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	if b.Major() < MinMajor || b.Dir == "" || b.Source == "" {
		t.Errorf("got %+v", b)
	}
}

func TestNewestFirst(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for _, name := range []string{"pg-9.6", "pg-18.4", "pg-18.10", "pg-10", "pg"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, dir := range newestFirst(filepath.Join(base, "pg*")) {
		got = append(got, filepath.Base(dir))
	}
	if want := []string{"pg-18.10", "pg-18.4", "pg-10", "pg-9.6", "pg"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestDefaultFolders is not parallel: the environment belongs to the whole process.
func TestDefaultFolders(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	for name, get := range map[string]func() (string, error){"DefaultDir": DefaultDir, "CacheDir": CacheDir} {
		dir, err := get()
		if err != nil {
			t.Fatal(err)
		}
		want := home // for an ordinary user
		if os.Geteuid() == 0 {
			want = "/var" // where the server's user can go
		}
		if rel, err := filepath.Rel(want, dir); err != nil || !filepath.IsLocal(rel) {
			t.Errorf("%s is %s, want it below %s", name, dir, want)
		}
	}
	if os.Geteuid() != 0 {
		t.Setenv("XDG_DATA_HOME", "/data")
		if dir, err := DefaultDir(); err != nil || dir != "/data/weir/dev" {
			t.Errorf("got %s (%v)", dir, err)
		}
	}
}
