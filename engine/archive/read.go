package archive

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"unicode/utf8"
)

// Reader reads a file.
type Reader struct {
	Header Header

	lines  *bufio.Reader
	digest hash.Hash
	n      int64 // lines read
	max    int
}

// NewReader reads the first line of a file. Errors: *Error; else the error of from.
func NewReader(from io.Reader) (*Reader, error) { return newReader(from, MaxLine) }

func newReader(from io.Reader, longest int) (*Reader, error) {
	zip, err := gzip.NewReader(from)
	switch {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &Error{1, "this is no gzip file"}
	case err != nil:
		return nil, fmt.Errorf("read archive: %w", err)
	}
	r := &Reader{lines: bufio.NewReaderSize(zip, 64<<10), digest: sha256.New(), max: longest}
	first, err := r.next()
	if err != nil {
		return nil, err
	}
	h := first.Header
	switch {
	case h == nil || h.Format != Format:
		return nil, r.wrong("this is no archive of instances")
	case h.Version != Version:
		return nil, r.wrong("the archive has version %d, this program knows %d", h.Version, Version)
	}
	r.Header = *h
	return r, nil
}

func (r *Reader) wrong(format string, args ...any) error {
	return &Error{max(r.n, 1), fmt.Sprintf(format, args...)}
}

// Next reads the next instance. At the end, when all of the file was found to be whole, it returns io.EOF. Errors: *Error;
// else the error of the reader below.
func (r *Reader) Next() (*Instance, error) {
	l, err := r.next()
	if err != nil {
		return nil, err
	}
	switch {
	case l.Instance != nil:
		return l.Instance, nil
	case l.Footer == nil:
		return nil, r.wrong("there is a second first line")
	}
	if want := r.n - 2; l.Footer.Instances != want {
		return nil, r.wrong("the file has %d instances, its last line says %d", want, l.Footer.Instances)
	}
	if l.Footer.SHA256 != hex.EncodeToString(r.digest.Sum(nil)) {
		return nil, r.wrong("the file was changed: its digest is not the one that its last line has")
	}
	if _, err := r.lines.ReadByte(); !errors.Is(err, io.EOF) { // read by gzip to its own checksum
		return nil, r.wrong("something follows the last line, or the file is damaged")
	}
	return nil, io.EOF
}

// next reads a line. What it adds to the digest is everything but the last line.
func (r *Reader) next() (*line, error) {
	raw, err := r.read()
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) {
		return nil, r.wrong("is not UTF-8")
	}
	l := &line{}
	in := json.NewDecoder(bytes.NewReader(raw))
	in.DisallowUnknownFields() // what is not known would be lost
	if err := in.Decode(l); err != nil {
		return nil, r.wrong("is not what it should be: %s", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, r.wrong("has more than one value")
	}
	kinds := 0
	for _, set := range []bool{l.Header != nil, l.Instance != nil, l.Footer != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return nil, r.wrong("has %d of header, instance and footer, want one", kinds)
	}
	if l.Footer == nil {
		_, _ = r.digest.Write(raw)
	}
	return l, nil
}

// read returns the next line with its end.
func (r *Reader) read() ([]byte, error) {
	var all []byte
	r.n++
	for {
		part, err := r.lines.ReadSlice('\n')
		if len(all)+len(part) > r.max {
			return nil, r.wrong("has more than %d bytes", r.max)
		}
		all = append(all, part...)
		switch {
		case err == nil:
			return all, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, r.wrong("the file ends too early")
		case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, new(flate.CorruptInputError)):
			return nil, r.wrong("the file is damaged: %s", err)
		default:
			return nil, fmt.Errorf("read archive: %w", err)
		}
	}
}
