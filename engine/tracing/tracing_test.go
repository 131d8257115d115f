package tracing

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

const valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestParse: what W3C Trace Context says is valid, and what is not.
func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		valid:                       valid,
		valid[:53] + "00":           valid[:53] + "00",
		valid[:53] + "ff":           valid, // flags that nobody knows are not passed on
		"cc" + valid[2:] + "-later": valid,
		valid + " vendor=x,other=y": valid + " vendor=x,other=y",
		valid + " no state":         valid,
		valid + " " + strings.Repeat("a=b,", 200) + "c=d": valid,
		"":                         "",
		valid[:54]:                 "",
		valid + "-later":           "",
		"cc" + valid[2:] + "later": "",
		"ff" + valid[2:]:           "",
		strings.ToUpper(valid):     "",
		"0g" + valid[2:]:           "",
		strings.Replace(valid, "0af7651916cd43dd8448eb211c80319c", strings.Repeat("0", 32), 1): "",
		strings.Replace(valid, "b7ad6b7169203331", strings.Repeat("0", 16), 1):                 "",
	} {
		if got := Format(Parse(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(valid, "vendor=x")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, parent, state string) {
		c := ParseHeaders(parent, state)
		if again := Parse(Format(c)); Format(again) != Format(c) || again.IsValid() != c.IsValid() {
			t.Errorf("%q %q: %q and then %q", parent, state, Format(c), Format(again))
		}
	})
}

// TestIDs: spans of different things have different ids, and the same thing always has the same.
func TestIDs(t *testing.T) {
	t.Parallel()
	in := Parse(valid).TraceID()
	if got := ID(in, Attempt, 7, 1, 3, 2).String(); got != "ce3f36a0db4b5382" {
		t.Errorf("an id has changed, to %s: spans of running instances lose their parents", got)
	}
	seen := map[trace.SpanID]bool{}
	for _, other := range []trace.TraceID{in, {1}, {15: 1}} {
		for _, role := range []Role{Execution, Decision, Attempt} {
			for no := range int64(10) {
				for gen := range int32(4) {
					for task := range int32(10) {
						for attempt := range 4 {
							seen[ID(other, role, no, gen, task, attempt)] = true
						}
					}
				}
			}
		}
	}
	if len(seen) != 3*3*10*4*10*4 {
		t.Errorf("%d ids are different", len(seen))
	}
}

type sink struct{ got []Span }

func (s *sink) Export(spans []Span) { s.got = append(s.got, spans...) }

// TestSampling: who decides whether something is traced.
func TestSampling(t *testing.T) {
	t.Parallel()
	sampled := Parse(valid)
	unsampled := Parse(valid[:53] + "00")
	for _, test := range []struct {
		name                       string
		caller                     trace.SpanContext
		sink                       bool
		ratio                      float64
		recording, valid, isCaller bool
	}{
		{"nobody asks", trace.SpanContext{}, true, 0, false, false, false},
		{"nobody asks, and there is no sink", trace.SpanContext{}, false, 1, false, false, false},
		{"chance", trace.SpanContext{}, true, 1, true, true, false},
		{"the caller is traced", sampled, true, 0, true, true, false},
		{"the caller is traced, and there is no sink", sampled, false, 1, false, true, true},
		{"the caller is not traced", unsampled, true, 1, false, true, true},
	} {
		cfg := Config{Ratio: test.ratio}
		if test.sink {
			cfg.Sink = &sink{}
		}
		o := cfg.Root(With(context.Background(), test.caller))
		if o.Recording() != test.recording || o.Context.IsValid() != test.valid || test.isCaller != (o.Context.IsValid() && o.Context.SpanID() == test.caller.SpanID()) ||
			test.caller.IsValid() && o.Context.TraceID() != test.caller.TraceID() {
			t.Errorf("%s: got %+v", test.name, o)
		}
	}
	s := &sink{}
	cfg := Config{Sink: s, Ratio: 0.25}
	for range 4000 {
		o := cfg.Root(context.Background())
		cfg.End(&o, "x", Server, nil)
	}
	if n := len(s.got); n < 800 || n > 1200 {
		t.Errorf("%d of 4000 are traced, at a ratio of a quarter", n)
	}
}

// TestLogHandler: a line that is written within a trace says which.
func TestLogHandler(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := slog.New(LogHandler(slog.NewTextHandler(&b, nil))).With("a", 1).WithGroup("g")
	log.InfoContext(context.Background(), "without")
	log.InfoContext(With(context.Background(), Parse(valid)), "within")
	lines := strings.Split(b.String(), "\n")
	if strings.Contains(lines[0], "trace_id") || !strings.Contains(lines[1], "trace_id=0af7651916cd43dd8448eb211c80319c") || !strings.Contains(lines[1], "span_id=b7ad6b7169203331") {
		t.Errorf("got %s", b.String())
	}
}
