package devpg

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxSocketPath is the length in bytes that the path of a Unix socket may have
// on every system; Linux would allow 107.
const maxSocketPath = 103

// maxLog is the size in bytes at which a log is set aside when a server starts.
const maxLog = 8 << 20

// DefaultDir returns the folder for the server of `weir dev` if the user names
// none: weir/dev where data of the user's programs go, or for root, whose home
// the server's unprivileged user cannot enter, /var/lib/weir/dev.
func DefaultDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/weir/dev", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "weir", "dev"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("locate data folder: %w", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "weir", "dev"), nil
	}
	return filepath.Join(home, ".local", "share", "weir", "dev"), nil
}

// files knows where everything lies in Options.Dir.
type files struct{ dir string }

func (f files) data() string     { return filepath.Join(f.dir, "data") }
func (f files) lock() string     { return filepath.Join(f.dir, "lock") }
func (f files) log() string      { return filepath.Join(f.dir, "postgres.log") }
func (f files) password() string { return filepath.Join(f.dir, "password") }

// makeDir makes the folder unless it exists. It is private to us; the account,
// which may run anything the database superuser wants, passes through to what
// is its own, but must not be able to swap the files that we write as root.
func (f files) makeDir(ctx context.Context, acct *account) error {
	if acct == nil {
		return mkdirAll(f.dir, 0o700)
	}
	there := f.dir // as far as it exists
	for parent := filepath.Dir(there); parent != there; parent = filepath.Dir(there) {
		if _, err := os.Stat(there); err == nil {
			break
		}
		there = parent
	}
	if err := acct.enter(ctx, there); err != nil {
		return err
	}
	if err := mkdirAll(filepath.Dir(f.dir), 0o755); err != nil {
		return err
	}
	return mkdirAll(f.dir, 0o711)
}

// handOver gives a file that we, as root, have made to the account if the whole
// folder is the account's: an ordinary user's, whom a `sudo` must not lock out.
func (f files) handOver(acct *account, path string) error {
	if acct == nil {
		return nil
	}
	info, err := os.Stat(f.dir)
	if err != nil {
		return err
	}
	if uid, _ := owner(info); uid != acct.uid {
		return nil
	}
	return acct.chown(path)
}

// socketDir returns the folder of the Unix socket. It follows from the
// directory, so that addresses stay good across restarts: run/, or if that path
// is too long for a socket, a folder named by its hash where temporary files go.
func (f files) socketDir() string {
	longest := len("/.s.PGSQL.65535")
	if dir := filepath.Join(f.dir, "run"); len(dir)+longest <= maxSocketPath {
		return dir
	}
	hash := sha256.Sum256([]byte(f.dir))
	name := "weir-" + hex.EncodeToString(hash[:8])
	if dir := filepath.Join(os.TempDir(), name); len(dir)+longest <= maxSocketPath {
		return dir
	}
	return filepath.Join("/tmp", name)
}

// makeSocketDir makes the socket folder, open to the server's user alone. A
// folder that exists is taken only if nobody else can have put it there to
// catch our connections, which in /tmp anyone might.
func (f files) makeSocketDir(acct *account) (string, error) {
	dir := f.socketDir()
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return dir, acct.chown(dir)
	}
	if !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	want := uint32(os.Geteuid())
	if acct != nil {
		want = acct.uid
	}
	if uid, _ := owner(info); !info.IsDir() || uid != want || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s, for the server's socket, is not a folder private to user %s: remove it", dir, acct)
	}
	return dir, nil
}

// ScratchDir returns this user's folder for servers that are thrown away after
// use, and makes it if need be. It lies in memory where a tmpfs has 1 GiB to
// spare, else, or if TMPDIR is set, where temporary files go. Programs may not
// run from there. Whoever makes something in it, removes it.
func ScratchDir() (string, error) {
	dir := filepath.Join(scratchParent(), fmt.Sprintf("weir-%d", os.Geteuid()))
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // the account passes through to its own
	}
	err := os.Mkdir(dir, mode)
	if err == nil {
		return dir, os.Chmod(dir, mode) // whatever the umask
	}
	if !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("make scratch folder: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("make scratch folder: %w", err)
	}
	if uid, _ := owner(info); !info.IsDir() || uid != uint32(os.Geteuid()) || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("make scratch folder: %s is not a folder that only we can write to: remove it", dir)
	}
	return dir, nil
}

// openLog opens the log for appending, after setting a big one aside.
func (f files) openLog(acct *account) (*os.File, error) {
	if info, err := os.Stat(f.log()); err == nil && info.Size() > maxLog {
		if err := os.Rename(f.log(), f.log()+".old"); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(f.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.handOver(acct, f.log()); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

// keepPassword writes the password where the next start finds it.
func (f files) keepPassword(acct *account, password string) error {
	file, err := os.OpenFile(f.password(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|noFollow, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, password+"\n")
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return f.handOver(acct, f.password())
}

// logTail returns the last lines that this run wrote to the log, made to follow
// an error; "" if it wrote none.
func (s *Server) logTail() string {
	const lines, most = 12, 8 << 10 // bytes
	f, err := os.Open(s.files.log())
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	text := make([]byte, min(most, max(0, end-s.logStart)))
	if _, err := f.ReadAt(text, end-int64(len(text))); err != nil {
		return ""
	}
	all := strings.Split(string(bytes.TrimSpace(text)), "\n")
	if all = all[max(0, len(all)-lines):]; all[0] == "" {
		return ""
	}
	return "; the log " + s.files.log() + " ends with" + indented(strings.Join(all, "\n"))
}
