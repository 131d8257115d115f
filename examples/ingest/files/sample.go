package files

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sample is a small folder of texts, for demos.
//
//go:embed sample
var sample embed.FS

// WriteSample writes a small folder of texts into dir, unless they are there, and returns their paths.
func WriteSample(dir string) ([]string, error) {
	entries, err := fs.ReadDir(sample, "sample")
	if err != nil {
		return nil, fmt.Errorf("read the sample: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	paths := make([]string, len(entries))
	for i, e := range entries {
		data, err := sample.ReadFile("sample/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("read the sample: %w", err)
		}
		paths[i] = filepath.Join(dir, e.Name())
		if info, err := os.Stat(paths[i]); err == nil && info.Size() == int64(len(data)) {
			continue
		}
		if err := os.WriteFile(paths[i], data, 0o600); err != nil {
			return nil, err
		}
	}
	return paths, nil
}
