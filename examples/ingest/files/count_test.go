package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCountStream(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text   string
		lines, words int64
	}{
		{"Empty", "", 0, 0},
		{"OneLine", "one two  three\n", 1, 3},
		{"NoLastLineFeed", "one\ntwo", 1, 2},
		{"OnlySpace", " \t\r\n\n ", 2, 0},
		{"WideSpace", "a\u00a0b\u2003c\u3000d", 0, 4},
		{"Umlauts", "Grüße von der Mühle\n", 1, 4},
		{"NotUTF8", "a\xff\xfe b\xc3", 0, 2},
		{"EndsWithinACharacter", "a \xe6\xb0", 0, 2},
		{"NUL", "a\x00b c", 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			check(t, test.text, test.lines, test.words)
		})
	}
	// Wherever the chunks are cut, in the middle of words or of characters, the result is that of the whole.
	t.Run("ManyChunks", func(t *testing.T) {
		t.Parallel()
		var b strings.Builder
		pieces := []string{"word", "ü", "水", "🛶", " ", "\n", "\u2003", "\xff", "\xe6\xb0"}
		for b.Len() < 3*chunk {
			b.WriteString(pieces[rand.N(len(pieces))])
		}
		text := b.String()
		check(t, text, int64(strings.Count(text, "\n")), int64(len(strings.Fields(text))))
	})
	t.Run("ErrUnreadable", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("the disk is broken")
		_, err := countStream(t.Context(), iotest.ErrReader(broken))
		if !errors.Is(err, broken) || !errors.Is(err, ErrUnreadable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("InterruptedIsNotUnreadable", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := countStream(ctx, strings.NewReader("text"))
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreadable) {
			t.Errorf("got %v", err)
		}
	})
}

func check(t *testing.T, text string, lines, words int64) {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	want := Counts{lines, words, int64(len(text)), hex.EncodeToString(sum[:])}
	whole, err := countStream(t.Context(), strings.NewReader(text))
	if err != nil || whole != want {
		t.Errorf("got  %+v, %v\nwant %+v", whole, err, want)
	}
	halves, err := countStream(t.Context(), iotest.HalfReader(bytes.NewReader([]byte(text))))
	if err != nil || halves != want {
		t.Errorf("in parts: got  %+v, %v\nwant %+v", halves, err, want)
	}
}

func BenchmarkCountStream(b *testing.B) {
	text := bytes.Repeat([]byte("A weir is a low wall across a river.\n"), 1<<20/37)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := countStream(b.Context(), bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
