package graph

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// FuzzCursor: whatever a client sends as a cursor, it is either one that this server made for this list, or
// BAD_CURSOR.
func FuzzCursor(f *testing.F) {
	c := cursors{key: bytes.Repeat([]byte{7}, 32)}
	filter := engine.Filter{Statuses: []history.Status{history.Failed}, CreatedFrom: time.Unix(1, 0).UTC()}
	key := row{At: 1700000000123456, No: 42}
	genuine := c.seal(instanceList("default", filter), key)
	for _, seed := range []string{
		"", "x", genuine, genuine[1:], genuine + "A", genuine[:len(genuine)-4], c.seal(hubList, "default"), c.seal(instanceList("other", filter), key),
		base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{0}, 12)), base64.RawURLEncoding.EncodeToString(append(c.sign([]byte("{}")), "{}"...)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := c.position("default", filter, text)
		if err != nil {
			if g, ok := err.(*gqlerror.Error); !ok || g.Extensions["code"] != codeBadCursor || at != nil { //nolint:errorlint // as resolvers return it
				t.Fatalf("got %v and %v", at, err)
			}
			return
		}
		// The last character of base64 has bits that do not count, so other texts can mean the same bytes.
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		want, err := base64.RawURLEncoding.DecodeString(genuine)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(raw, want) || at.No != key.No || at.CreatedAt.UnixMicro() != key.At {
			t.Fatalf("%q was accepted as %+v", text, at)
		}
	})
}

func TestCursors(t *testing.T) {
	t.Parallel()
	var (
		c      = cursors{key: []byte("key")}
		other  = cursors{key: []byte("another key")}
		filter = engine.Filter{Name: "a", CreatedTo: time.Unix(5, 0).UTC()}
		cursor = c.seal(instanceList("default", filter), row{At: 1, No: 2})
	)
	if _, err := c.position("default", filter, cursor); err != nil {
		t.Error(err)
	}
	if _, err := other.position("default", filter, cursor); err == nil {
		t.Error("another server's key is accepted")
	}
	for name, f := range map[string]engine.Filter{
		"name": {Name: "b", CreatedTo: filter.CreatedTo}, "time": {Name: "a", CreatedTo: time.Unix(6, 0).UTC()}, "status": {Name: "a", CreatedTo: filter.CreatedTo, Statuses: []history.Status{1}},
		"prefix": {Name: "a", CreatedTo: filter.CreatedTo, IDPrefix: "x"}, "parent": {Name: "a", CreatedTo: filter.CreatedTo, Parent: "x"}, "roots": {Name: "a", CreatedTo: filter.CreatedTo, RootsOnly: true},
		"from": {Name: "a", CreatedTo: filter.CreatedTo, CreatedFrom: time.Unix(1, 0).UTC()},
	} {
		if _, err := c.position("default", f, cursor); err == nil {
			t.Errorf("a cursor of a filter with another %s is accepted", name)
		}
	}
	if _, err := c.position("other", filter, cursor); err == nil {
		t.Error("another hub's cursor is accepted")
	}
	// What a client can read of it is where it stands, and nothing of the filter.
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		t.Fatal(err)
	}
	var doc sealed
	if err := json.Unmarshal(raw[signature:], &doc); err != nil || len(doc.List) != 8 {
		t.Errorf("%+v, %v", doc, err)
	}
}
