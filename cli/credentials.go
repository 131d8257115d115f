package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/weir-dev/weir/internal/devpg/flock"
)

// credential is what a sign-in at a provider has left, for one server.
type credential struct {
	// Issuer and ClientID say where, and as which client, the tokens were made.
	Issuer       string `json:"issuer"`
	ClientID     string `json:"clientId"`
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken,omitempty"`
	// ExpiresAt is when the access token does; zero if the provider does not say.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

// refreshAhead is how long before its end an access token is replaced, so that it does not end on its way.
const refreshAhead = 30 * time.Second

// fresh tells whether the access token still counts for a while.
func (c *credential) fresh(ahead time.Duration) bool {
	return c.ExpiresAt.IsZero() || time.Until(c.ExpiresAt) > ahead
}

// credentials is the file with what sign-ins have left, by the address of the server that each is for.
type credentials struct{ path string }

// credentialsFile is the user's file. Errors: there is no folder for settings, for the environment names no home.
func credentialsFile() (*credentials, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return nil, err
	}
	return &credentials{filepath.Join(dir, "weir", "credentials.json")}, nil
}

type storedCredentials struct {
	Servers map[string]credential `json:"servers"`
}

// read returns all there is. Errors: others may read the file, or it is not one of Weir's.
func (f *credentials) read() (map[string]credential, error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]credential{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read sign-ins: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	is, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read sign-ins: %w", err)
	}
	if runtime.GOOS != "windows" && is.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has the mode %04o: others must not read or write it: `chmod 600` it, or delete it and sign in again", f.path, is.Mode().Perm())
	}
	var all storedCredentials
	if err := json.NewDecoder(file).Decode(&all); err != nil { // which may quote a letter, and no token
		return nil, fmt.Errorf("%s is not as weir has written it: delete it and sign in again", f.path)
	}
	if all.Servers == nil {
		all.Servers = map[string]credential{}
	}
	return all.Servers, nil
}

// of returns what there is for a server, nil if there is nothing.
func (f *credentials) of(server string) (*credential, error) {
	all, err := f.read()
	if err != nil {
		return nil, err
	}
	if c, ok := all[server]; ok {
		return &c, nil
	}
	return nil, nil
}

// change lets fn change what there is, while no other process does: a refresh token often counts once. What fn has changed is
// kept unless it returns an error.
func (f *credentials) change(ctx context.Context, fn func(map[string]credential) error) error {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep sign-ins: %w", err)
	}
	lock, err := flock.Wait(ctx, filepath.Join(dir, "credentials.lock"), nil)
	switch {
	case err == nil:
		defer lock.Close() //nolint:errcheck // the kernel releases it at the latest when the program ends
	case !errors.Is(err, errors.ErrUnsupported): // where there are no locks, two processes at once may have to sign in again
		return fmt.Errorf("keep sign-ins: %w", err)
	}
	all, err := f.read()
	if err != nil {
		return err
	}
	if err := fn(all); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(storedCredentials{all}, "", "  ")
	if err != nil {
		return fmt.Errorf("keep sign-ins: %w", err)
	}
	if err := f.write(append(raw, '\n')); err != nil {
		return fmt.Errorf("keep sign-ins: %w", err)
	}
	return nil
}

// write replaces the file as a whole, so that nobody reads half of it.
func (f *credentials) write(raw []byte) error {
	fresh, err := os.CreateTemp(filepath.Dir(f.path), "credentials-*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = fresh.Write(raw)
	err = errors.Join(err, fresh.Sync(), fresh.Close())
	if err == nil {
		err = os.Rename(fresh.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh.Name()))
	}
	return nil
}
