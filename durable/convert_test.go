package durable

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/weir-dev/weir/engine/history"
)

// TestConversionsAreThoseOfJSON: short ways lead to where encoding/json goes.
func TestConversionsAreThoseOfJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`)).Draw(t, "text")
		for _, v := range []any{text, rapid.Int().Draw(t, "int"), rapid.Bool().Draw(t, "bool"), []string{text}} {
			var want bytes.Buffer
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(v); err != nil {
				t.Fatal(err)
			}
			got, err := encode(v)
			if err != nil || string(got.Data()) != strings.TrimSuffix(want.String(), "\n") {
				t.Fatalf("%#v became %s, %v, want %s", v, got.Data(), err, want.String())
			}
		}
		doc := rapid.OneOf(rapid.StringMatching(`"[ -~]*"`), rapid.StringMatching(`\s*"[^"]*"\s*`), rapid.String()).Draw(t, "doc")
		var want, got string
		wantErr := json.Unmarshal([]byte(doc), &want)
		err := decode(history.Bytes([]byte(doc)), &got)
		if (err != nil) != (wantErr != nil) || got != want {
			t.Fatalf("%q was read as %q, %v, want %q, %v", doc, got, err, want, wantErr)
		}
	})
}

func TestEncode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   any
		want string
	}{
		{"Text", "a<b> & \"c\" ü", `"a<b> & \"c\" ü"`},
		{"Numbers", []any{1, 2.5, json.Number("12345678901234567890")}, `[1,2.5,12345678901234567890]`},
		{"Nil", nil, `null`},
		{"NilRaw", json.RawMessage(nil), `null`},
		{"RawIsKeptAsItIs", json.RawMessage(`{"b" : 1, "a":2}`), `{"b" : 1, "a":2}`},
		{"ReplacementCharacter", "\ufffd", `"�"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := encode(c.in)
			if err != nil || string(got.Data()) != c.want {
				t.Errorf("got %s, %v, want %s", got.Data(), err, c.want)
			}
		})
	}
	t.Run("NoneIsNoValue", func(t *testing.T) {
		t.Parallel()
		if got, err := encode(None{}); err != nil || got.Present() {
			t.Errorf("got %v, %v", got, err)
		}
	})
	for _, c := range []struct {
		name, says string
		in         any
	}{
		{"InvalidUTF8", "value.Name is not valid UTF-8", struct{ Name string }{"a\xffb"}},
		{"NotJSON", "not JSON", json.RawMessage(`{`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := encode(c.in); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("AnEncoderThatFailedIsNotUsedAgain", func(t *testing.T) {
		t.Parallel()
		for range 100 {
			if _, err := encode(make(chan int)); err == nil {
				t.Fatal("a channel was encoded")
			}
			if got, err := encode("x"); err != nil || string(got.Data()) != `"x"` {
				t.Fatalf("got %s, %v", got.Data(), err)
			}
		}
	})
}
