package graph

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine"
)

// cursors writes and reads the places in lists that clients hold. They are signed, so that none is made up, and
// bound to the list they come from: hub and filter. All servers of a database have the same key.
type cursors struct{ key []byte }

// signature is how many bytes a cursor begins with.
const signature = 12

// hubList names the list of hubs.
const hubList = "hubs"

// instanceList names a list of instances: hub and filter. The filter is as filterOf writes it, so that the same
// filter has the same name.
func instanceList(hub string, f engine.Filter) string {
	f.Nos = nil
	return fmt.Sprintf("instances %q %#v", hub, f)
}

// workerList names a list of workers. The order of states makes no other list.
func workerList(hub string, states []engine.WorkerState) string {
	return fmt.Sprintf("workers %q %v", hub, slices.Compact(slices.Sorted(slices.Values(states))))
}

func (c cursors) sign(doc []byte) []byte {
	mac := hmac.New(sha256.New, c.key)
	mac.Write(doc)
	return mac.Sum(nil)[:signature]
}

// sealed is a cursor before it is signed.
type sealed struct {
	// List is a hash of the list's name, so that a cursor of another list is told from one that was made up.
	List []byte          `json:"l"`
	Key  json.RawMessage `json:"k"`
}

func hash(list string) []byte {
	sum := sha256.Sum256([]byte(list))
	return sum[:8]
}

// seal makes a cursor of a place in a list.
func (c cursors) seal(list string, key any) string {
	raw, err := json.Marshal(key)
	if err != nil { // numbers and text only
		panic(err)
	}
	doc, err := json.Marshal(sealed{hash(list), raw})
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(append(c.sign(doc), doc...))
}

// open reads the place of a cursor into key. Errors: BAD_CURSOR.
func (c cursors) open(list, cursor string, key any) error {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < signature || !hmac.Equal(raw[:signature], c.sign(raw[signature:])) {
		return refuse(codeBadCursor, "the cursor is not one of this server's")
	}
	var doc sealed
	if err := json.Unmarshal(raw[signature:], &doc); err != nil {
		return refuse(codeBadCursor, "the cursor is not one of this server's")
	}
	if !hmac.Equal(doc.List, hash(list)) {
		return refuse(codeBadCursor, "the cursor belongs to another list: its hub or its filter was another")
	}
	if err := json.Unmarshal(doc.Key, key); err != nil {
		return refuse(codeBadCursor, "the cursor is not one of this server's")
	}
	return nil
}

// row is the place of an instance in a list.
type row struct {
	At int64 `json:"t"` // microseconds
	No int64 `json:"n"`
}

func (c cursors) place(hub string, f engine.Filter, i *engine.Instance) string {
	return c.seal(instanceList(hub, f), row{i.CreatedAt.UnixMicro(), i.No()})
}

// position reads a cursor of a list of instances. Errors: BAD_CURSOR.
func (c cursors) position(hub string, f engine.Filter, cursor string) (*engine.Position, error) {
	var at row
	if err := c.open(instanceList(hub, f), cursor, &at); err != nil {
		return nil, err
	}
	return &engine.Position{CreatedAt: time.UnixMicro(at.At).UTC(), No: at.No}, nil
}
