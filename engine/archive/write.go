package archive

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Writer writes a file.
type Writer struct {
	zip    *gzip.Writer
	digest hash.Hash
	lines  *json.Encoder
	n      int64
}

// NewWriter begins a file. Format and Version of the header are filled in.
func NewWriter(to io.Writer, h Header) (*Writer, error) {
	w := &Writer{zip: gzip.NewWriter(to), digest: sha256.New()}
	w.lines = json.NewEncoder(io.MultiWriter(w.zip, w.digest))
	w.lines.SetEscapeHTML(false)
	h.Format, h.Version = Format, Version
	if err := w.lines.Encode(line{Header: &h}); err != nil {
		return nil, fmt.Errorf("write archive: %w", err)
	}
	return w, nil
}

// Write adds an instance.
func (w *Writer) Write(i *Instance) error {
	if err := w.lines.Encode(line{Instance: i}); err != nil {
		return fmt.Errorf("write archive: instance %q: %w", i.ID, err)
	}
	w.n++
	return nil
}

// Close writes the last line. Without it the file is none.
func (w *Writer) Close() error {
	end := line{Footer: &Footer{Instances: w.n, SHA256: hex.EncodeToString(w.digest.Sum(nil))}}
	if err := errors.Join(w.lines.Encode(end), w.zip.Close()); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}
