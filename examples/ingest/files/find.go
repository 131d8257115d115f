package files

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"
)

// Find lists the files that the arguments name, folders with all that is in them, by absolute path, sorted and
// each once. Links to files in folders are not followed, and what is no file (a socket, a device) is passed over
// there; named as an argument, it is an error. All faults are reported at once, at most ten of them.
func Find(args []string) ([]string, error) {
	var (
		found  []string
		faults []error
	)
	for _, arg := range args {
		path, err := filepath.Abs(arg)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			faults = append(faults, err)
		case info.IsDir():
			in, errs := walk(path)
			if len(in) == 0 && len(errs) == 0 {
				errs = []error{fmt.Errorf("%s: there are no files in this folder", path)}
			}
			found, faults = append(found, in...), append(faults, errs...)
		case !info.Mode().IsRegular():
			faults = append(faults, fmt.Errorf("%s: is neither a file nor a folder", path))
		default:
			found = append(found, path)
		}
	}
	for _, path := range found {
		if !utf8.ValidString(path) {
			faults = append(faults, fmt.Errorf("%q: the name is not valid UTF-8, so it cannot be recorded: rename the file", path))
		}
	}
	if n := len(faults); n > 0 {
		if n > 10 {
			faults = append(faults[:10:10], fmt.Errorf("and %d more", n-10))
		}
		return nil, errors.Join(faults...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) > MaxFiles {
		return nil, fmt.Errorf("%d files, at most %d fit into one run", len(found), MaxFiles)
	}
	return found, nil
}

func walk(dir string) (found []string, faults []error) {
	dir, err := filepath.EvalSymlinks(dir) // a link that was named is followed
	if err != nil {
		return nil, []error{err}
	}
	// The function below returns no error, so neither does this.
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			faults = append(faults, err)
		case entry.Type().IsRegular():
			found = append(found, path)
		}
		return nil
	})
	return found, faults
}

// RunID is the id of the run over these files as they are now: as long as none of them changes, it stays, so that
// whoever starts the same run again finds the one there is.
func RunID(paths []string) (string, error) {
	sum := sha256.New()
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(sum, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	return "ingest-" + hex.EncodeToString(sum.Sum(nil)[:8]), nil
}
