package archives

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// store is an S3 store on loopback, with a bucket. breaks, if set, has it answer uploads with errors.
func store(t *testing.T) (address string, breaks *atomic.Bool) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	backend := s3mem.New()
	if err := backend.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	breaks = &atomic.Bool{}
	handler := gofakes3.New(backend).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if breaks.Load() && (r.Method == http.MethodPut || r.Method == http.MethodPost) {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return "s3://backups/weir/2026?region=us-east-1&endpoint=" + server.URL, breaks
}

func open(t *testing.T, where string) Place {
	t.Helper()
	p, err := At(where)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func content(t *testing.T, p Place, name string) ([]byte, error) {
	t.Helper()
	in, err := p.Open(t.Context(), name)
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(in)
	return all, errors.Join(err, in.Close())
}

// TestKeys: who signs is who the environment says, else AWS's file of credentials, else the role that the machine answers for.
func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = ofTheFile\naws_secret_access_key = secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"AccessKeyId": "ofTheMachine", "SecretAccessKey": "secret", "Token": "t", "Expiration": "2999-01-01T00:00:00Z"}`)
	}))
	defer machine.Close()
	backend := s3mem.New()
	if err := backend.CreateBucket("backups"); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(backend).Server()
	var signed atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signed.Store(r.Header.Get("Authorization"))
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", machine.URL)
	for _, c := range []struct{ env, file, want string }{
		{"ofTheEnvironment", file, "ofTheEnvironment"},
		{"", file, "ofTheFile"},
		{"", filepath.Join(t.TempDir(), "none"), "ofTheMachine"},
	} {
		t.Setenv("AWS_ACCESS_KEY_ID", c.env)
		t.Setenv("AWS_SECRET_ACCESS_KEY", c.env)
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", c.file)
		p := open(t, "s3://backups/weir?region=us-east-1&endpoint="+server.URL)
		if err := p.Put(t.Context(), "a", func(to io.Writer) error { _, err := io.WriteString(to, "x"); return err }); err != nil {
			t.Errorf("%s: %v", c.want, err)
		}
		if by, _ := signed.Load().(string); !strings.Contains(by, "Credential="+c.want+"/") {
			t.Errorf("signed is %q, want %s", by, c.want)
		}
	}
}

// TestPlaces: what was put is read; of what failed while it was written nothing is there.
func TestPlaces(t *testing.T) {
	s3, _ := store(t)
	dir := filepath.Join(t.TempDir(), "made", "by", "it")
	for name, where := range map[string]string{"s3": s3, "folder": dir, "file": "file://" + filepath.ToSlash(dir) + "-2"} {
		p := open(t, where)
		large := bytes.Repeat([]byte("0123456789abcdef"), 2_500_000) // several parts
		for file, want := range map[string][]byte{"small.gz": []byte("hello"), "large.gz": large} {
			err := p.Put(t.Context(), file, func(to io.Writer) error {
				_, err := to.Write(want)
				return err
			})
			if err != nil {
				t.Fatalf("%s: %s: %v", name, file, err)
			}
			if got, err := content(t, p, file); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s has %d bytes, %v, want %d", name, file, len(got), err, len(want))
			}
		}
		failed := errors.New("failed while it was written")
		err := p.Put(t.Context(), "half.gz", func(to io.Writer) error {
			_, err := to.Write(large)
			return errors.Join(err, failed)
		})
		if !errors.Is(err, failed) {
			t.Errorf("%s: %v, want %v", name, err, failed)
		}
		if _, err := content(t, p, "half.gz"); err == nil {
			t.Errorf("%s: half of a file is there", name)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
	again := Folder(dir).Put(t.Context(), "small.gz", func(io.Writer) error { return nil })
	if got, err := content(t, Folder(dir), "small.gz"); !errors.Is(again, os.ErrExist) || string(got) != "hello" {
		t.Errorf("putting a file again: %v, and it has %q, %v", again, got, err)
	}
}

// TestStoreRefuses: an upload that the store does not take is an error.
func TestStoreRefuses(t *testing.T) {
	s3, breaks := store(t)
	p := open(t, s3)
	breaks.Store(true)
	err := p.Put(t.Context(), "x.gz", func(to io.Writer) error {
		_, err := to.Write([]byte("hello"))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "upload backups/weir/2026/x.gz") {
		t.Errorf("put: %v", err)
	}
	breaks.Store(false)
	if _, err := content(t, p, "x.gz"); err == nil {
		t.Error("it is there")
	}
	gone := open(t, strings.Replace(s3, "backups", "nowhere", 1))
	if err := gone.Put(t.Context(), "x.gz", func(io.Writer) error { return nil }); err == nil {
		t.Error("there is no such bucket")
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for where, want := range map[string]string{
		"":                                   "is empty",
		"ftp://x/y":                          "write file:///folder or s3://bucket/prefix",
		"file://host/y":                      "write file:///folder",
		"s3:///prefix":                       "the bucket is missing",
		"s3://b?endpoint=here":               "endpoint \"here\" is none",
		"s3://b?endpoint=http://h:1/path":    "is none",
		"s3://b?bucket=x":                    `"bucket" is no parameter`,
		"s3://b/%zz":                         "is no place",
		"s3://b?endpoint=https://minio:9000": "",
	} {
		_, err := At(where)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", where, err, want)
		}
	}
	for file, want := range map[string][2]string{
		"a.gz":                               {".", "a.gz"},
		"/var/x/a.gz":                        {"/var/x", "a.gz"},
		"file:///var/x/a.gz":                 {"file:///var/x", "a.gz"},
		"s3://b/p/a.gz?endpoint=http://h:90": {"s3://b/p?endpoint=http://h:90", "a.gz"},
	} {
		place, name, err := Split(file)
		if err != nil || place != want[0] || name != want[1] {
			t.Errorf("%q: %q, %q, %v", file, place, name, err)
		}
	}
	if _, _, err := Split("s3://b"); err == nil {
		t.Error("a bucket is no file")
	}
}
