// Package archives is where archived instances are kept: in a folder, or in a store that speaks S3.
package archives

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
)

// Place keeps files.
type Place interface {
	// Put stores what write writes under a name. When it returns without an error, the file is safely there as a whole;
	// otherwise there is none of that name.
	Put(ctx context.Context, name string, write func(io.Writer) error) error
	// Open reads a file.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}

// At finds a place by its URL: file:///folder, s3://bucket/prefix, or a folder. For S3, the parameters endpoint (with http:
// or https:) and region may follow, as in s3://backups/weir?endpoint=https://minio.internal:9000&region=eu-1; keys come from
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what else AWS's own tools read.
func At(where string) (Place, error) {
	u, err := url.Parse(where)
	if err != nil {
		return nil, fmt.Errorf("%q is no place for archives: %w", where, err)
	}
	switch u.Scheme {
	case "s3":
		return newS3(u)
	case "file":
		if u.Host != "" || u.Path == "" {
			return nil, fmt.Errorf("%q is no place for archives: write file:///folder", where)
		}
		return Folder(filepath.FromSlash(u.Path)), nil
	case "":
		if where == "" {
			return nil, errors.New("the place for archives is empty: write file:///folder or s3://bucket/prefix")
		}
		return Folder(where), nil
	}
	return nil, fmt.Errorf("%q is no place for archives: write file:///folder or s3://bucket/prefix", where)
}

// Split parts the address of a file into that of its place and its name.
func Split(file string) (place, name string, err error) {
	u, err := url.Parse(file)
	if err != nil {
		return "", "", fmt.Errorf("%q is no file: %w", file, err)
	}
	if u.Scheme == "" {
		return filepath.Dir(file), filepath.Base(file), nil
	}
	name = path.Base(u.Path)
	if u.Path = path.Dir(u.Path); name == "/" || name == "." {
		return "", "", fmt.Errorf("%q names no file", file)
	}
	return u.String(), name, nil
}

// Folder is a place on a disk.
type Folder string

// Put implements Place: the file gets its name when it and the folder are on the disk.
func (f Folder) Put(_ context.Context, name string, write func(io.Writer) error) (err error) {
	if err := os.MkdirAll(string(f), 0o750); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(string(f), "."+name+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignore(tmp.Close(), os.ErrClosed), ignore(os.Remove(tmp.Name()), os.ErrNotExist))
		}
	}()
	if err := write(tmp); err != nil {
		return err
	}
	if err := errors.Join(tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	full := filepath.Join(string(f), name)
	if err := os.Link(tmp.Name(), full); err != nil { // which does not replace what is there
		return err
	}
	if err := os.Remove(tmp.Name()); err != nil {
		return err
	}
	dir, err := os.Open(string(f))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func ignore(err, known error) error {
	if errors.Is(err, known) {
		return nil
	}
	return err
}

// Open implements Place.
func (f Folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(f), name)) //nolint:gosec // whoever names the file may read it
}
