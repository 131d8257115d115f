// Package ui is the dashboard: a React application, built by `make ui` into dist and embedded here.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

// policy is what the dashboard's pages may do: load their own files and talk to their own server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'self'"

// Built tells whether the dashboard is in this binary.
func Built() bool {
	_, err := fs.Stat(dist, "dist/index.html")
	return err == nil
}

// Operations are the documents that the dashboard sends to the API, by the SHA-256 of their text in hexadecimal; none if the
// dashboard is not in this binary. Errors: the build was not as it should be.
func Operations() (map[string]string, error) {
	raw, err := dist.ReadFile("dist/operations.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the dashboard's operations: %w", err)
	}
	var listed map[string]string
	if err := json.Unmarshal(raw, &listed); err != nil {
		return nil, fmt.Errorf("read the dashboard's operations: %w", err)
	}
	out := make(map[string]string, len(listed))
	for name, text := range listed {
		sum := sha256.Sum256([]byte(text))
		hash := hex.EncodeToString(sum[:])
		if name != "sha256:"+hash {
			return nil, fmt.Errorf("read the dashboard's operations: %s is the hash of another text", name)
		}
		out[hash] = text
	}
	return out, nil
}

type file struct {
	data    []byte
	gzipped []byte
	kind    string
}

// Handler serves the dashboard below a path prefix, "/" for the root. Files under assets carry a hash in their
// name and never change; every other path is a page of the application.
func Handler(prefix string) (http.Handler, error) {
	files := map[string]file{}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		f := file{data: data, kind: kindOf(name)}
		if strings.HasPrefix(f.kind, "text/") || strings.Contains(f.kind, "javascript") || strings.Contains(f.kind, "svg") {
			f.gzipped = compress(data)
		}
		files[strings.TrimPrefix(name, "dist/")] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read dashboard: %w", err)
	}
	page, ok := files["index.html"]
	if !ok {
		page = files["placeholder.html"]
	}
	base := []byte(`<base href="` + html.EscapeString(prefix) + `">`)
	page.data = bytes.Replace(page.data, []byte("<head>"), append([]byte("<head>"), base...), 1)
	page.gzipped, page.kind = compress(page.data), "text/html; charset=utf-8"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, prefix), "/")
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if f, ok := files[name]; ok && name != "index.html" {
			if strings.HasPrefix(name, "assets/") {
				h.Set("Cache-Control", "public, max-age=31536000, immutable")
			}
			send(w, r, name, f)
			return
		}
		if strings.HasPrefix(name, "assets/") {
			http.NotFound(w, r) // never a page in place of a script
			return
		}
		if accept := r.Header.Get("Accept"); accept != "" && !strings.Contains(accept, "text/html") && !strings.Contains(accept, "*/*") {
			http.Error(w, "this is a page of the dashboard", http.StatusNotAcceptable)
			return
		}
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", policy)
		send(w, r, "index.html", page)
	}), nil
}

// kindOf is the content type of a file. Machines without a list of types do not know fonts.
func kindOf(name string) string {
	if path.Ext(name) == ".woff2" {
		return "font/woff2"
	}
	return mime.TypeByExtension(path.Ext(name))
}

func send(w http.ResponseWriter, r *http.Request, name string, f file) {
	h := w.Header()
	if f.kind != "" {
		h.Set("Content-Type", f.kind)
	}
	body := f.data
	if f.gzipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = f.gzipped
		}
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}

func compress(data []byte) []byte {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil { // the level is valid
		panic(err)
	}
	_, _ = io.Copy(w, bytes.NewReader(data))
	_ = w.Close()
	return buf.Bytes()
}
