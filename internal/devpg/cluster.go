package devpg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clusterName marks the servers that are ours, in process lists and in the
// options PostgreSQL records in the data directory.
const clusterName = "weir"

// A VersionError says that the data directory was made by another major version
// of PostgreSQL than the one about to serve it, which no version can read.
type VersionError struct {
	DataDir  string
	Data     int // major version that made the data directory
	Binaries Binaries
}

// Error names both versions and what to do.
func (e *VersionError) Error() string {
	return fmt.Sprintf("the data in %s are of PostgreSQL %d, the binaries in %s are %s: "+
		"set %s to the folder of a PostgreSQL %d, or delete %s to start with an empty database",
		e.DataDir, e.Data, e.Binaries.Dir, e.Binaries.Version, BinEnv, e.Data, e.DataDir)
}

// A cluster is a data directory at rest.
type cluster struct {
	dir   string // the data directory
	acct  *account
	super string // name of the superuser
	sync  bool   // flush what initdb writes
}

// major returns the version that made the data directory, 0 if there is none yet.
func (c *cluster) major() (int, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s is not a data directory of PostgreSQL %d or later: PG_VERSION is %q", c.dir, MinMajor, text)
	}
	return major, nil
}

// prepare makes the data directory ready for a server: makes it if it is
// missing, or sees to it that no other server uses it and that it fits the
// binaries.
func (c *cluster) prepare(ctx context.Context, bins Binaries, initCache string) error {
	major, err := c.major()
	if err != nil {
		return err
	}
	if major == 0 {
		if entries, _ := os.ReadDir(c.dir); len(entries) > 0 {
			return fmt.Errorf("%s is neither empty nor a data directory of PostgreSQL: choose another directory", c.dir)
		}
		return c.create(ctx, bins, initCache)
	}
	if major != bins.Major() {
		return &VersionError{DataDir: c.dir, Data: major, Binaries: bins}
	}
	if c.acct != nil {
		if err := c.giveAway(c.dir); err != nil {
			return err
		}
	}
	return c.evict(ctx)
}

// giveAway makes the account the owner of a data directory that is root's, such
// as one restored from a copy.
func (c *cluster) giveAway(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if uid, _ := owner(info); uid == c.acct.uid {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return c.acct.chown(path)
	})
}

// create makes the data directory beside its place and moves it there whole, so
// that a half-made one is never taken for good.
func (c *cluster) create(ctx context.Context, bins Binaries, initCache string) error {
	fresh := c.dir + ".new"
	if err := os.RemoveAll(fresh); err != nil { // of a Start that was killed
		return err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	args := []string{
		"--username=" + c.super, "--encoding=UTF8", "--locale=C",
		"--auth-local=trust", "--auth-host=scram-sha-256",
		"--no-instructions",
	}
	if !c.sync {
		args = append(args, "--no-sync")
	}
	var cached string
	if initCache != "" {
		key := sha256.Sum256([]byte(strings.Join(append(args, bins.Dir, bins.Version), "\x00")))
		cached = filepath.Join(initCache, fmt.Sprintf("%d-%s", bins.Major(), hex.EncodeToString(key[:6])))
		if _, err := os.Stat(cached); err == nil {
			if err := c.copyTree(cached, fresh); err != nil {
				return fmt.Errorf("copy the data directory kept in %s, which may be deleted: %w", cached, err)
			}
			return c.moveIn(fresh)
		}
	}
	if err := c.initdb(ctx, bins, fresh, args); err != nil {
		return err
	}
	if cached != "" {
		if err := keep(fresh, cached); err != nil {
			return fmt.Errorf("keep a new data directory for reuse: %w", err)
		}
	}
	return c.moveIn(fresh)
}

// moveIn puts a new data directory in its place, where prepare has seen nothing
// but perhaps an empty folder.
func (c *cluster) moveIn(fresh string) error {
	if err := os.Remove(c.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Rename(fresh, c.dir)
}

// initdb runs initdb for dir. A kill of this process ends it as well; what it
// had made by then is removed by the next create.
func (c *cluster) initdb(ctx context.Context, bins Binaries, dir string, args []string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := c.acct.chown(dir); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := c.acct.command(ctx, filepath.Join(bins.Dir, "initdb"), append(args, "--pgdata="+dir)...)
	dieWithThread(cmd.SysProcAttr, syscall.SIGKILL)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("initdb: %w%s", err, indented(string(out)))
	}
	return nil
}

// keep stores a copy of a new data directory at path for other directories to
// start from. If another process has stored one meanwhile, that one stays.
func keep(dir, path string) error {
	if err := mkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	ours := cluster{} // the copy belongs to this user, whoever made the original
	if err := ours.copyTree(dir, filepath.Join(tmp, "data")); err != nil {
		return err
	}
	err = os.Rename(filepath.Join(tmp, "data"), path)
	if _, statErr := os.Stat(path); statErr == nil {
		return nil
	}
	return err
}

// copyTree copies the folder src to dst, which must not exist, for the account.
func (c *cluster) copyTree(src, dst string) error {
	return filepath.WalkDir(src, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := dst + strings.TrimPrefix(path, src)
		switch {
		case d.IsDir():
			err = os.Mkdir(target, 0o700) //nolint:gosec // both trees are private to us and at rest
		case d.Type().IsRegular():
			err = copyFile(path, target)
		default:
			err = fmt.Errorf("%s is neither a file nor a folder", path)
		}
		if err != nil {
			return err
		}
		return c.acct.chown(target)
	})
}

func copyFile(src, dst string) error {
	in, err := os.Open(src) //nolint:gosec // a file of a data directory
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // its copy
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) // within the kernel where it can, sharing blocks where the file system can
	return errors.Join(err, out.Close())
}

// How long evict waits for a server that is stopping, and how long for one that
// was told to stop at once.
const (
	fastStopWait      = 5 * time.Second
	immediateStopWait = 5 * time.Second
)

// evict sees to it that no server runs on the data directory, although
// postmaster.pid is there. We hold the lock of the directory, so a server that
// runs is one whose parent was killed, and which is likely stopping already; we
// help it along. It is not adopted: it would have the settings of another time
// and end with nobody told. A server that someone started by other means is
// left alone and reported.
func (c *cluster) evict(ctx context.Context) error {
	pid, status := c.pidFile()
	if pid == 0 || !alive(pid) {
		return nil // none, or stale: PostgreSQL itself replaces the file
	}
	if !isPostmaster(pid, c.dir) {
		// The number was given to another process since, as happens when a
		// container starts again. PostgreSQL would refuse to start.
		return os.Remove(filepath.Join(c.dir, "postmaster.pid"))
	}
	proc, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	opts, _ := os.ReadFile(filepath.Join(c.dir, "postmaster.opts"))
	ours := strings.Contains(string(opts), "cluster_name="+clusterName)
	if !ours && status != "stopping" {
		return fmt.Errorf("another PostgreSQL server, process %d, runs on %s: stop it with `kill -INT %d`", pid, c.dir, pid)
	}
	if ours {
		_ = proc.Signal(signalFast) // it may be gone by now, which is as well
	}
	if c.waitGone(ctx, pid, fastStopWait) {
		return nil
	}
	if ours {
		_ = proc.Signal(signalImmediate)
		if c.waitGone(ctx, pid, immediateStopWait) {
			return nil
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("wait for server process %d to stop: %w", pid, ctx.Err())
	}
	return fmt.Errorf("server process %d of an earlier run does not stop: end it with `kill -9 %d`", pid, pid)
}

// waitGone waits for a server that is not our child, of whose end nobody tells us.
func (c *cluster) waitGone(ctx context.Context, pid int, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for isPostmaster(pid, c.dir) {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// pidFile returns the process and the status ("starting", "ready", "stopping")
// recorded in postmaster.pid, or 0 if there is none.
func (c *cluster) pidFile() (pid int, status string) {
	text, err := os.ReadFile(filepath.Join(c.dir, "postmaster.pid"))
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(text), "\n")
	pid, _ = strconv.Atoi(strings.TrimSpace(lines[0]))
	if len(lines) >= 8 {
		status = strings.TrimSpace(lines[7])
	}
	return max(pid, 0), status // single-user mode records a negative number
}
