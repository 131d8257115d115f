package durable

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Converter turns values into bytes and back. The default is JSON. It must be the same for all workers and clients of a
// hub. Encode must be a function of the value alone. None is no value and never reaches it. Status that orchestrations
// set is JSON whatever the converter, because people read it.
type Converter interface {
	Encode(v any) ([]byte, error)
	// Decode reads into the value that the pointer points to.
	Decode(data []byte, into any) error
}

// Codec changes the bytes of values on their way to the database and back: it encrypts them, or compresses them. It must
// be the same for all workers and clients of a hub. What it sees are inputs, outputs, payloads of events and details of heartbeats; not the
// custom status, names, ids and the texts of failures, nor arguments of plain River workers. An error to decode in an
// orchestration holds its turn until a worker comes that can; one in an activity is a failure that may be retried.
type Codec interface {
	Encode(ctx context.Context, data []byte) ([]byte, error)
	Decode(ctx context.Context, data []byte) ([]byte, error)
}

// values is how a worker or client writes and reads values.
type values struct {
	converter Converter
	codec     Codec
}

func (v *values) encode(ctx context.Context, value any) (history.Payload, error) {
	p, err := v.convert(value)
	if err != nil || v.codec == nil || !p.Present() {
		return p, err
	}
	data, err := v.seal(ctx, p.Data())
	return history.Bytes(data), err
}

// seal and open are the codec's part.
func (v *values) seal(ctx context.Context, data []byte) ([]byte, error) {
	if v.codec == nil {
		return data, nil
	}
	out, err := v.codec.Encode(ctx, data)
	if err != nil {
		return nil, &codecError{"encode", err}
	}
	return out, nil
}

func (v *values) open(ctx context.Context, data []byte) ([]byte, error) {
	if v.codec == nil {
		return data, nil
	}
	out, err := v.codec.Decode(ctx, data)
	if err != nil {
		return nil, &codecError{"decode", err}
	}
	return out, nil
}

func (v *values) convert(value any) (history.Payload, error) {
	if v.converter == nil {
		return encode(value)
	}
	if _, none := value.(None); none {
		return history.Payload{}, nil
	}
	data, err := v.converter.Encode(value)
	if err != nil {
		return history.Payload{}, fmt.Errorf("encode %T: %w", value, err)
	}
	return history.Bytes(data), nil
}

func (v *values) decode(ctx context.Context, p history.Payload, into any) error {
	if v.codec != nil && p.Present() {
		data, err := v.open(ctx, p.Data())
		if err != nil {
			return err
		}
		p = history.Bytes(data)
	}
	if v.converter == nil || !p.Present() {
		return decode(p, into)
	}
	if err := v.converter.Decode(p.Data(), into); err != nil {
		return fmt.Errorf("decode %T: %w", into, err)
	}
	return nil
}

// codecError is a codec's error: not the value's fault, and it may pass.
type codecError struct {
	what string
	err  error
}

// Error implements error.
func (e *codecError) Error() string {
	return fmt.Sprintf("the codec cannot %s a value: %v", e.what, e.err)
}

// Unwrap lets errors.Is and errors.As see the codec's error.
func (e *codecError) Unwrap() error { return e.err }

// unreadable is the failure of an activity whose input cannot be read: final, unless it is the codec's.
func unreadable(what string, err error) error {
	var codec *codecError
	if errors.As(err, &codec) {
		return fmt.Errorf("input of %s: %w", what, err)
	}
	return finalError("input of "+what, err)
}

// encode is values.encode for an orchestration's code. A codec's error holds the turn: it says nothing of the code.
func (r *run) encode(v any) (history.Payload, error) {
	p, err := r.x.values.encode(context.Background(), v)
	r.holdOn(err)
	return p, err
}

func (r *run) decode(p history.Payload, into any) error {
	err := r.x.values.decode(context.Background(), p, into)
	r.holdOn(err)
	return err
}

func (r *run) holdOn(err error) {
	var codec *codecError
	if errors.As(err, &codec) {
		panic(&engine.Held{Kind: "codec", Step: r.nextID, Message: codec.Error()})
	}
}

// AESGCM returns a codec that encrypts with AES-GCM. keys are by their ids, 16, 24 or 32 bytes each; current is the id of
// the one that encrypts, the others still decrypt. To rotate, give all workers and clients the new key first, make it
// current everywhere next, and drop the old one when no instance has values under it; an unknown key id is an error that
// names it. Ids are 1 to 64 letters, digits, hyphens, dots and underscores, and stand in the database readably. What was
// written before there was a codec, or by tools that have none, is read as it is.
func AESGCM(current string, keys map[string][]byte) (Codec, error) {
	c := &aesGCM{current: current, keys: map[string]cipher.AEAD{}}
	for id, key := range keys {
		if !plainID(id) {
			return nil, &engine.Error{Code: engine.CodeInvalid, Field: "keys", Message: fmt.Sprintf("the id %q is not 1 to 64 letters, digits and - . _", id)}
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, &engine.Error{Code: engine.CodeInvalid, Field: "keys", Message: fmt.Sprintf("key %q has %d bytes, want 16, 24 or 32", id, len(key))}
		}
		if c.keys[id], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("key %q: %w", id, err)
		}
	}
	if c.keys[current] == nil {
		return nil, &engine.Error{Code: engine.CodeInvalid, Field: "current", Message: fmt.Sprintf("there is no key %q", current)}
	}
	return c, nil
}

func plainID(id string) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return id != "" && len(id) <= 64
}

type aesGCM struct {
	current string
	keys    map[string]cipher.AEAD
}

// sealed is an encrypted value as it is stored: JSON, so that histories stay readable documents.
type sealed struct {
	Key string `json:"weir.key"`
	// Data is the nonce and what GCM made of the value.
	Data []byte `json:"data"`
}

var sealedPrefix = []byte(`{"weir.key":"`)

// Encode implements Codec.
func (c *aesGCM) Encode(_ context.Context, data []byte) ([]byte, error) {
	gcm := c.keys[c.current]
	nonce := make([]byte, gcm.NonceSize(), gcm.NonceSize()+len(data)+gcm.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return json.Marshal(sealed{c.current, gcm.Seal(nonce, nonce, data, []byte(c.current))})
}

// Decode implements Codec.
func (c *aesGCM) Decode(_ context.Context, data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, sealedPrefix) {
		return data, nil
	}
	var s sealed
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, errors.New("the encrypted value is damaged")
	}
	gcm := c.keys[s.Key]
	if gcm == nil {
		return nil, fmt.Errorf("the key %q is not known", s.Key)
	}
	if len(s.Data) < gcm.NonceSize() {
		return nil, errors.New("the encrypted value is damaged")
	}
	nonce, text := s.Data[:gcm.NonceSize()], s.Data[gcm.NonceSize():]
	out, err := gcm.Open(nil, nonce, text, []byte(s.Key))
	if err != nil {
		return nil, fmt.Errorf("the value was not encrypted with the key %q that it names, or is damaged", s.Key)
	}
	return out, nil
}
