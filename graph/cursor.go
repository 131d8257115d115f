package graph

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/weir-dev/weir/engine"
)

// cursors writes and reads the places in lists that clients hold. They are signed, so that none is made up, and
// bound to the list they come from: hub and filter.
type cursors struct{ key []byte }

type cursor struct {
	At   int64  `json:"t"` // microseconds
	No   int64  `json:"n"`
	List []byte `json:"l"`
}

// list names a list: hub and filter.
func list(hub string, f engine.Filter) []byte {
	f.Nos = nil
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %#v", hub, f))
	return sum[:8]
}

func (c cursors) sign(doc []byte) []byte {
	mac := hmac.New(sha256.New, c.key)
	mac.Write(doc)
	return mac.Sum(nil)[:12]
}

func (c cursors) encode(hub string, f engine.Filter, i *engine.Instance) string {
	doc, err := json.Marshal(cursor{At: i.CreatedAt.UnixMicro(), No: i.No(), List: list(hub, f)})
	if err != nil { // numbers and bytes only
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(append(c.sign(doc), doc...))
}

// decode reads a cursor. Errors: BAD_CURSOR.
func (c cursors) decode(hub string, f engine.Filter, text string) (*engine.Position, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 12 || !hmac.Equal(raw[:12], c.sign(raw[12:])) {
		return nil, refuse(codeBadCursor, "the cursor is not one of this server's")
	}
	var at cursor
	if err := json.Unmarshal(raw[12:], &at); err != nil {
		return nil, refuse(codeBadCursor, "the cursor is not one of this server's")
	}
	if string(at.List) != string(list(hub, f)) {
		return nil, refuse(codeBadCursor, "the cursor belongs to a list with another hub or filter")
	}
	return &engine.Position{CreatedAt: time.UnixMicro(at.At).UTC(), No: at.No}, nil
}
