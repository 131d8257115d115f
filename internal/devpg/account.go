package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// An account is the unprivileged user that runs PostgreSQL when we are root.
// A nil account means that PostgreSQL runs as we do.
type account struct {
	name     string
	uid, gid uint32
}

// serverAccount chooses the account: nil unless we are root, else the owner of
// dataDir if it exists and is not root's, so that data made as an ordinary user
// stay usable for that user after a `sudo`, else postgres, else nobody.
func serverAccount(dataDir string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if dataDir != "" {
		if info, err := os.Stat(dataDir); err == nil {
			if uid, gid := owner(info); uid != 0 {
				return &account{name: userName(uid), uid: uid, gid: gid}, nil
			}
		}
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it: run as an ordinary user")
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// String returns the name of the user.
func (a *account) String() string {
	if a == nil {
		return userName(uint32(os.Geteuid()))
	}
	return a.name
}

// command prepares a program of PostgreSQL to run under the account, in the C
// locale and without the PG* variables, which are meant for clients but would
// set ports, folders and time zones of a server too.
func (a *account) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // which PostgreSQL to run is for the user to say
	cmd.Dir = "/"                                  // ours may be closed to the account, and must not be kept busy
	cmd.SysProcAttr = processAttributes(a)
	for _, kv := range os.Environ() {
		key, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(key, "PG") && !strings.HasPrefix(key, "LC_") && key != "LANG" && key != "LANGUAGE" {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	return cmd
}

// chown gives a file or folder to the account; a link itself, never its target.
func (a *account) chown(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// enter returns an error that names the obstacle and the ways around it if the
// account cannot get into dir.
func (a *account) enter(ctx context.Context, dir string) error {
	if a == nil || a.command(ctx, "/bin/sh", "-c", `cd "$1"`, "sh", dir).Run() == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	in := a.blockedBy(dir)
	if in == "" {
		in = dir
	}
	return fmt.Errorf("we are root, PostgreSQL runs as user %s, and that user cannot enter %s: "+
		"choose a folder elsewhere, such as below /var/lib or /var/cache, or run as an ordinary user, or `chmod o+x %s`", a, in, in)
}

// blockedBy returns the topmost folder on the way to dir, dir included, that
// the account cannot enter; "" if the way is free or we need no account.
// It goes by mode bits; access lists are beyond it.
func (a *account) blockedBy(dir string) string {
	if a == nil {
		return ""
	}
	if target, err := filepath.EvalSymlinks(dir); err == nil {
		dir = target
	}
	if parent := filepath.Dir(dir); parent != dir {
		if in := a.blockedBy(parent); in != "" {
			return in
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "" // it is missing, which is another matter
	}
	uid, gid := owner(info)
	bit := os.FileMode(0o001)
	switch {
	case uid == a.uid:
		bit = 0o100
	case gid == a.gid:
		bit = 0o010
	}
	if info.Mode()&bit == 0 {
		return dir
	}
	return ""
}
