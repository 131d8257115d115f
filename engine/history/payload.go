package history

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// Payload is a value as user code serialized it, usually JSON text: an input, an output, an event's body.
// Its bytes are never interpreted or changed on the way. The zero Payload is "no value", which is not the
// same as an empty one.
type Payload struct {
	data    []byte
	ref     int64
	size    int
	present bool
}

// Bytes returns the payload that holds data. The slice must not be changed afterwards.
func Bytes(data []byte) Payload {
	return Payload{data: data, size: len(data), present: true}
}

// Text returns the payload that holds s.
func Text(s string) Payload { return Bytes([]byte(s)) }

// Ref returns a payload of size bytes that is stored elsewhere, under the number id.
func Ref(id int64, size int) Payload {
	return Payload{ref: id, size: size, present: true}
}

// WithRef returns the payload with the number under which its bytes are stored elsewhere. Stored histories
// then hold the number, memory keeps the bytes.
func (p Payload) WithRef(id int64) Payload {
	p.ref = id
	return p
}

// WithData returns a payload that was stored elsewhere with its bytes.
func (p Payload) WithData(data []byte) Payload {
	p.data, p.size = data, len(data)
	return p
}

// Inline returns the bytes to store in place; nil when the payload is absent or stored elsewhere.
func (p Payload) Inline() []byte {
	if !p.present || p.ref != 0 {
		return nil
	}
	if p.data == nil {
		return []byte{}
	}
	return p.data
}

// Present tells whether there is a value at all.
func (p Payload) Present() bool { return p.present }

// IsZero is the opposite of Present; encoding/json's omitzero asks it.
func (p Payload) IsZero() bool { return !p.present }

// Data returns the bytes. It is nil for an absent payload, and for one that is stored elsewhere and was not
// fetched.
func (p Payload) Data() []byte { return p.data }

// Stored returns the number under which the bytes are stored, and whether they are stored elsewhere.
func (p Payload) Stored() (id int64, elsewhere bool) { return p.ref, p.ref != 0 }

// Size is the length in bytes, also when the bytes are stored elsewhere.
func (p Payload) Size() int { return p.size }

// The escapes of the JSON form. A payload that is compact JSON stands for itself; everything else is
// wrapped, so that any bytes survive: text that is not compact JSON, other bytes, and references.
type wrapped struct {
	Text   *string `json:"$text,omitempty"`
	Base64 *string `json:"$base64,omitempty"`
	Ref    int64   `json:"$ref,omitempty"`
	Size   int     `json:"size,omitempty"`
}

var wrapPrefix = []byte(`{"$`)

// MarshalJSON implements json.Marshaler.
func (p Payload) MarshalJSON() ([]byte, error) {
	if !p.present {
		return []byte("null"), nil
	}
	return p.appendJSON(nil), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Payload) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(data, wrapPrefix) {
		*p = Bytes(bytes.Clone(data))
		return nil
	}
	var w wrapped
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	switch {
	case w.Ref != 0:
		*p = Ref(w.Ref, w.Size)
	case w.Text != nil:
		*p = Text(*w.Text)
	case w.Base64 != nil:
		raw, err := base64.StdEncoding.DecodeString(*w.Base64)
		if err != nil {
			return fmt.Errorf("payload: %w", err)
		}
		*p = Bytes(raw)
	default:
		return fmt.Errorf("payload: unknown form %.40q", data)
	}
	return nil
}
