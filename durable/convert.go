package durable

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/weir-dev/weir/engine/history"
)

// encode writes a value as JSON. None is no value at all. Text that is not valid UTF-8 is an error: JSON cannot
// hold it, and replacing it silently would lose data.
func encode(v any) (history.Payload, error) {
	switch v := v.(type) {
	case None:
		return history.Payload{}, nil
	case json.RawMessage:
		if v == nil { // as encoding/json has it
			return history.Bytes([]byte("null")), nil
		}
		if !json.Valid(v) {
			return history.Payload{}, fmt.Errorf("the value is not JSON: %w", ErrInvalid)
		}
		return history.Bytes(v), nil
	case string:
		if plain(v) {
			b := make([]byte, 0, len(v)+2)
			return history.Bytes(append(append(append(b, '"'), v...), '"')), nil
		}
	case int:
		return history.Bytes(strconv.AppendInt(nil, int64(v), 10)), nil
	case bool:
		return history.Bytes(strconv.AppendBool(nil, v)), nil
	}
	w := writers.Get().(*writer)
	defer w.free()
	if err := w.enc.Encode(v); err != nil {
		w.enc = nil // it remembers the error
		return history.Payload{}, fmt.Errorf("encode %T: %w", v, err)
	}
	data := bytes.TrimSuffix(w.buf.Bytes(), []byte("\n"))
	// encoding/json writes the replacement character as an escape exactly where it replaced something, so the
	// value need be searched only then.
	if bytes.Contains(data, []byte(`\ufffd`)) {
		if where := invalidText(reflect.ValueOf(v), "value", 0); where != "" {
			return history.Payload{}, fmt.Errorf("encode %T: %s is not valid UTF-8: %w", v, where, ErrInvalid)
		}
	}
	return history.Bytes(bytes.Clone(data)), nil
}

// plain tells whether text is the same within JSON as outside of it: printable ASCII without quotes and
// backslashes. Ids, names and the like go this short way, which spares a tenth of a worker's processor time.
func plain[T string | []byte](text T) bool {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// writer is a JSON encoder with its buffer, used again for the next value.
type writer struct {
	buf bytes.Buffer
	enc *json.Encoder
}

var writers = sync.Pool{New: func() any { return newWriter() }}

func newWriter() *writer {
	w := new(writer)
	w.enc = json.NewEncoder(&w.buf)
	w.enc.SetEscapeHTML(false)
	return w
}

func (w *writer) free() {
	const keep = 64 << 10
	if w.enc == nil || w.buf.Cap() > keep {
		return
	}
	w.buf.Reset()
	writers.Put(w)
}

// decode reads a value from JSON; no value gives the zero value.
func decode(p history.Payload, into any) error {
	if !p.Present() {
		return nil
	}
	data := p.Data()
	switch into := into.(type) {
	case *json.RawMessage:
		*into = data
		return nil
	case *string:
		if n := len(data); n >= 2 && data[0] == '"' && data[n-1] == '"' && plain(data[1:n-1]) {
			*into = string(data[1 : n-1])
			return nil
		}
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode %s: %w", reflect.TypeOf(into).Elem(), err)
	}
	return nil
}

// invalidText finds the first string that is not valid UTF-8 and says where it is.
func invalidText(v reflect.Value, path string, depth int) string {
	if depth > 50 || !v.IsValid() {
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return path
		}
	case reflect.Pointer, reflect.Interface:
		return invalidText(v.Elem(), path, depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				if where := invalidText(v.Field(i), path+"."+f.Name, depth+1); where != "" {
					return where
				}
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if where := invalidText(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1); where != "" {
				return where
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if where := invalidText(it.Key(), path+" (a key)", depth+1); where != "" {
				return where
			}
			if where := invalidText(it.Value(), fmt.Sprintf("%s[%v]", path, it.Key()), depth+1); where != "" {
				return where
			}
		}
	}
	return ""
}
