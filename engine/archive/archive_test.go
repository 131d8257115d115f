package archive

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func file(t testing.TB, instances ...*Instance) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, Header{Hub: "default", CreatedAt: time.Unix(0, 0).UTC()})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range instances {
		if err := w.Write(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func text(t testing.TB, file []byte) string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func zipped(text string) []byte {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, _ = zip.Write([]byte(text))
	_ = zip.Close()
	return out.Bytes()
}

// readAll returns how many instances a file has; an error ends it.
func readAll(from io.Reader, longest int) (n int, err error) {
	r, err := newReader(from, longest)
	for err == nil {
		if _, err = r.Next(); err == nil {
			n++
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

var some = []*Instance{
	{ID: "a", Name: "x", Status: "COMPLETED", Input: &Value{Bytes: []byte{0xff}}, History: []Turn{{Seq: 1, N: 1, Events: []byte(`[{"type":"X<>&"}]`)}}},
	{ID: "b", Name: "y", Status: "FAILED", Failure: []byte(`{"type":"t","message":"\u2028"}`), Tags: map[string]string{"k": "ü"}},
}

// TestReader: a file that is whole is read to its end; of all that may have become of it, the error says in which line.
func TestReader(t *testing.T) {
	t.Parallel()
	good := file(t, some...)
	if n, err := readAll(bytes.NewReader(good), MaxLine); n != 2 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	lines := strings.SplitAfter(text(t, good), "\n") // the last one is empty
	join := func(lines ...string) []byte { return zipped(strings.Join(lines, "")) }
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"nothing":              {nil, "line 1: this is no gzip file"},
		"no gzip":              {[]byte("hello, this is text"), "line 1: this is no gzip file"},
		"no line":              {zipped(""), "line 1: the file ends too early"},
		"no archive":           {zipped("{\"hello\":1}\n"), `line 1: is not what it should be: json: unknown field "hello"`},
		"another format":       {join(strings.Replace(lines[0], Format, "other", 1)), "line 1: this is no archive"},
		"a newer version":      {join(strings.Replace(lines[0], `"version":1`, `"version":2`, 1)), "line 1: the archive has version 2, this program knows 1"},
		"begins with another":  {join(lines[1:]...), "line 1: this is no archive"},
		"a second header":      {join(lines[0], lines[0]), "line 2: there is a second first line"},
		"cut":                  {join(lines[:3]...), "line 4: the file ends too early"},
		"cut in a line":        {join(lines[0], lines[1][:20]), "line 2: the file ends too early"},
		"cut gzip":             {good[:len(good)-20], "the file ends too early"},
		"a bit":                {flipped, "line "},
		"one line less":        {join(lines[0], lines[1], lines[3]), "line 3: the file has 1 instances, its last line says 2"},
		"changed":              {join(lines[0], strings.Replace(lines[1], `"a"`, `"c"`, 1), lines[2], lines[3]), "line 4: the file was changed"},
		"another order":        {join(lines[0], lines[2], lines[1], lines[3]), "line 4: the file was changed"},
		"more behind":          {join(append(lines, lines[1])...), "line 4: something follows the last line"},
		"two files":            {append(bytes.Clone(good), good...), "line 4: something follows the last line"},
		"not UTF-8":            {join(lines[0], "{\"instance\":{\"id\":\"\xff\"}}\n"), "line 2: is not UTF-8"},
		"no JSON":              {join(lines[0], "{]\n"), "line 2: is not what it should be"},
		"a wrong type":         {join(lines[0], "{\"instance\":{\"id\":1}}\n"), "line 2: is not what it should be"},
		"two kinds":            {join(lines[0], "{\"instance\":{},\"footer\":{}}\n"), "line 2: has 2 of header, instance and footer"},
		"no kind":              {join(lines[0], "{}\n"), "line 2: has 0 of header"},
		"two values in a line": {join(lines[0], "{\"instance\":{}} {}\n"), "line 2: has more than one value"},
		"a long line":          {join(lines[0], "{\"instance\":{\"id\":\""+strings.Repeat("x", 100_000)+"\"}}\n"), "line 2: has more than 90000 bytes"},
	} {
		_, err := readAll(bytes.NewReader(c.file), 90_000)
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	broken := errors.New("the network is gone")
	if _, err := readAll(io.MultiReader(bytes.NewReader(good[:40]), failing{broken}), MaxLine); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// FuzzReader: whatever a file is, reading it ends, with an error that names a line, or with all its instances.
func FuzzReader(f *testing.F) {
	good := text(f, file(f, some...))
	f.Add(good)
	f.Add(strings.ReplaceAll(good, "COMPLETED", ""))
	f.Add(`{"header":{"format":"weir-archive","version":1}}` + "\n" + `{"instance":null}` + "\n")
	f.Fuzz(func(t *testing.T, lines string) {
		n, err := readAll(bytes.NewReader(zipped(lines)), 1<<20)
		var wrong *Error
		if err != nil && (!errors.As(err, &wrong) || wrong.Line < 1) {
			t.Errorf("%d read, then %v", n, err)
		}
		if err == nil && n != strings.Count(lines, "\n")-2 {
			t.Errorf("%d instances of %q", n, lines)
		}
	})
}
