// Package scalar holds the API's own scalars.
package scalar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// dateTimeFormat is RFC 3339 with microseconds, which is what Postgres and histories keep.
const dateTimeFormat = "2006-01-02T15:04:05.000000Z"

// MarshalDateTime writes a time in UTC.
func MarshalDateTime(t time.Time) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = io.WriteString(w, strconv.Quote(t.UTC().Format(dateTimeFormat)))
	})
}

// UnmarshalDateTime reads RFC 3339 with any offset.
func UnmarshalDateTime(v any) (time.Time, error) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, invalid("want a time as text, such as \"2026-01-31T09:00:00Z\", got %T", v)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, invalid("want a time such as \"2026-01-31T09:00:00Z\", got %.40q", s)
	}
	return t, nil
}

// MarshalLong writes an int64 as text.
func MarshalLong(n int64) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) {
		_, _ = io.WriteString(w, strconv.Quote(strconv.FormatInt(n, 10)))
	})
}

// UnmarshalLong reads an int64 as text or as a number.
func UnmarshalLong(v any) (int64, error) {
	switch v := v.(type) {
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return 0, invalid("want a 64-bit integer, got %.40q", v)
		}
		return n, nil
	case json.Number:
		return UnmarshalLong(v.String())
	case int:
		return int64(v), nil
	case int64:
		return v, nil
	}
	return 0, invalid("want a 64-bit integer as text, got %T", v)
}

// MarshalJSON writes a value as it is.
func MarshalJSON(v json.RawMessage) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(v) })
}

// UnmarshalJSON takes a value as the client sent it. Variables keep their numbers exactly; the server reads them
// with UseNumber.
func UnmarshalJSON(v any) (json.RawMessage, error) {
	var out bytes.Buffer
	w := json.NewEncoder(&out)
	w.SetEscapeHTML(false) // nobody shows it as HTML, and it would not be what was sent
	if err := w.Encode(v); err != nil {
		return nil, invalid("not a JSON value: %v", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// invalid is an error about what the client sent, which it is told as it is.
func invalid(format string, args ...any) error {
	return &gqlerror.Error{Message: fmt.Sprintf(format, args...), Extensions: map[string]any{"code": "INVALID_ARGUMENT"}}
}
