package history_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/weir-dev/weir/engine/history"
)

var update = flag.Bool("update", false, "write the golden files anew")

// full returns an event of the type with every field set to something that is not zero.
func full(name string) history.Event {
	e := fresh(name)
	fill(reflect.ValueOf(e).Elem(), 1)
	return e
}

func fresh(name string) history.Event {
	events, err := history.Decode(history.JSON, []byte(`[{"type":"`+name+`"}]`))
	if err != nil {
		panic(err)
	}
	return events[0]
}

func fill(v reflect.Value, seed int) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Date(2026, 1, 2, 3, 4, 5+seed, 678901000, time.UTC)
		return
	case *history.Payload:
		*x = history.Text(fmt.Sprintf(`{"n":%d}`, seed))
		return
	case *history.Status:
		*x = history.Failed
		return
	case *json.RawMessage:
		*x = json.RawMessage(`[1,"a b"]`)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), seed+i)
		}
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*history.Failure]() && seed > 20 {
			return // an end to causes of causes
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), seed+10)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), seed)
		fill(v.Index(1), seed+1)
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value, seed)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), value)
	case reflect.String:
		v.SetString(fmt.Sprintf("text <%d> \"ü\"", seed))
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(seed) * 1_000_000_007 % 100_000_000)
	case reflect.Float64:
		v.SetFloat(float64(seed) + 0.25)
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic(v.Type().String())
	}
}

// TestGolden reads and writes files that must never change: people's databases are full of them.
func TestGolden(t *testing.T) {
	names := history.TypeNames()
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			want := []history.Event{full("OrchestratorStarted"), full(name), fresh(name)}
			history.SetTime(want[2], want[1].Time())
			path := filepath.Join("testdata", name+".json")
			doc, err := history.Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(path, append(doc, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(doc) + "\n"; got != string(golden) {
				t.Errorf("Encode wrote\n%swant\n%s", got, golden)
			}
			got, err := history.Decode(history.JSON, golden)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("Decode read\n%s\nwant\n%s", show(got), show(want))
			}
		})
	}
}

// TestOldHistories reads what earlier versions have written: testdata/v0 has an event as it was before a field was
// added to it.
func TestOldHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/v0/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		doc, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		events, err := history.Decode(history.JSON, doc)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		again, err := history.Encode(events)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(again) + "\n"; got != string(doc) {
			t.Errorf("%s: what it says is written anew as\n%swant\n%s", path, got, doc)
		}
	}
}

func show(v any) string {
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// TestEncodeAgreesWithTheStandardLibrary compares the members that Encode writes by hand with those that the
// struct tags say.
func TestEncodeAgreesWithTheStandardLibrary(t *testing.T) {
	for _, name := range history.TypeNames() {
		for _, e := range []history.Event{full(name), fresh(name)} {
			doc, err := history.Encode([]history.Event{e})
			if err != nil {
				t.Fatal(err)
			}
			var got []map[string]any
			if err := json.Unmarshal(doc, &got); err != nil {
				t.Fatalf("%s: %v", doc, err)
			}
			if got[0]["type"] != name {
				t.Errorf("type %v, want %s", got[0]["type"], name)
			}
			delete(got[0], "type")
			if carried, ok := got[0]["carryOver"].([]any); ok {
				for _, c := range carried {
					delete(c.(map[string]any), "type")
				}
			}
			raw, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(want, func(_ string, v any) bool { return v == nil })
			if !reflect.DeepEqual(got[0], want) {
				t.Errorf("%s: wrote %s, the struct says %s", name, doc, raw)
			}
		}
	}
}

func TestPayloadsSurvive(t *testing.T) {
	for _, data := range []string{
		"", " ", "x", "null", "0", `"a"`, `{"a": 1}`, `{"a":1}`, `{"a":"x y"}`, "{\"a\":\"\\\" \"}", "[1, 2]", "[]", "{}", `{"$text":"no"}`,
		`{"$ref":7}`, `{"$other":1}`, "\x00", "a\x00b", "\xff\xfe", "\"\xff\"", "\"\u2028\"", "\"<&>\"", "1 ", " 1", "nul", "\"\t\"", "{\"a\"\n:1}",
		strings.Repeat("é", 5000),
	} {
		e := &history.EventRaised{Name: "e", Input: history.Bytes([]byte(data))}
		doc, err := history.Encode([]history.Event{e})
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if !utf8.Valid(doc) || bytes.IndexByte(doc, 0) >= 0 {
			t.Errorf("%q: the document %q is not text that a database can show", data, doc)
		}
		got, err := history.Decode(history.JSON, doc)
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		if in := got[0].(*history.EventRaised).Input; !in.Present() || string(in.Data()) != data || in.Size() != len(data) {
			t.Errorf("%q came back as %q (%d bytes)", data, in.Data(), in.Size())
		}
	}
	e := &history.EventRaised{Name: "e", Input: history.Ref(12, 99)}
	doc, err := history.Encode([]history.Event{e})
	if err != nil {
		t.Fatal(err)
	}
	got, err := history.Decode(history.JSON, doc)
	if err != nil {
		t.Fatal(err)
	}
	in := got[0].(*history.EventRaised).Input
	if id, elsewhere := in.Stored(); id != 12 || !elsewhere || in.Size() != 99 || in.Data() != nil {
		t.Errorf("a reference came back as %+v", in)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for doc, want := range map[string]string{
		`[{"type":"FutureEvent"}]`:        `event 1: type "FutureEvent" is not known to this version`,
		`[{"type":"TimerFired"},{"a":1}]`: `event 2: type ""`,
		`{}`:                              "cannot unmarshal object",
		`[{"type":"TaskCompleted","taskId":"x"}]`:            "event 1: TaskCompleted",
		`[{"type":"EventRaised","input":{"$base64":"%%%"}}]`: "payload",
		`[{"type":"EventRaised","input":{"$future":1}}]`:     "unknown form",
		`[{"type":"ExecutionCompleted","status":"ODD"}]`:     `unknown status "ODD"`,
		`[{"type":"TaskScheduled","timeout":"soon"}]`:        "duration",
		`[`: "unexpected end",
	} {
		if _, err := history.Decode(history.JSON, []byte(doc)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", doc, err, want)
		}
	}
	if _, err := history.Decode(9, nil); err == nil || !strings.Contains(err.Error(), "codec 9") {
		t.Errorf("codec 9: %v", err)
	}
}

// TestRoundTrip: what was decided is what is read back, whatever it is.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := history.TypeNames()
		slices.Sort(names)
		var want []history.Event
		for range rapid.IntRange(0, 5).Draw(t, "events") {
			e := fresh(rapid.SampledFrom(names).Draw(t, "type"))
			draw(t, reflect.ValueOf(e).Elem(), 0)
			want = append(want, e)
		}
		doc, err := history.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := history.Decode(history.JSON, doc)
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d events came back, want %d", len(got), len(want))
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("%s\nread as %s\nwant    %s", doc, show(got[i]), show(want[i]))
			}
		}
	})
}

func draw(t *rapid.T, v reflect.Value, depth int) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.UnixMicro(rapid.Int64Range(1, 4e15).Draw(t, "time")).UTC()
		return
	case *history.Payload:
		if rapid.Bool().Draw(t, "present") {
			*x = history.Bytes(rapid.SliceOf(rapid.Byte()).Draw(t, "payload"))
		}
		return
	case *history.Status:
		*x = rapid.SampledFrom(history.Statuses()).Draw(t, "status")
		return
	case *json.RawMessage:
		*x = json.RawMessage(`{"a":[1]}`)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			draw(t, field, depth)
		}
	case reflect.Pointer:
		if depth < 3 && rapid.Bool().Draw(t, "set") {
			v.Set(reflect.New(v.Type().Elem()))
			draw(t, v.Elem(), depth+1)
		}
	case reflect.Slice:
		if n := rapid.IntRange(0, 2).Draw(t, "n"); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				if v.Type().Elem().Kind() == reflect.Pointer {
					v.Index(i).Set(reflect.New(v.Type().Elem().Elem()))
					draw(t, v.Index(i).Elem(), depth+1)
					continue
				}
				draw(t, v.Index(i), depth+1)
			}
		}
	case reflect.Map:
		if rapid.Bool().Draw(t, "set") {
			v.Set(reflect.MakeMap(v.Type()))
			value := reflect.New(v.Type().Elem()).Elem()
			draw(t, value, depth+1)
			v.SetMapIndex(reflect.ValueOf("k"), value)
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "text"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Int32:
		v.SetInt(int64(rapid.Int32().Draw(t, "int")))
	case reflect.Float64:
		v.SetFloat(float64(rapid.Int32().Draw(t, "float")) / 16)
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	default:
		panic(v.Type().String())
	}
}

// FuzzDecode: no document makes Decode panic, and what it reads is what Encode writes.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		events, err := history.Decode(history.JSON, doc)
		if err != nil {
			return
		}
		once, err := history.Encode(events)
		if err != nil {
			t.Fatalf("%s was read and cannot be written: %v", doc, err)
		}
		again, err := history.Decode(history.JSON, once)
		if err != nil {
			t.Fatalf("%s was written and cannot be read: %v", once, err)
		}
		twice, err := history.Encode(again)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s (%v)", once, twice, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	at := time.Now().UTC().Truncate(time.Microsecond)
	turn := []history.Event{
		&history.OrchestratorStarted{},
		&history.TaskCompleted{TaskID: 4, Result: history.Text(`"Hello Tokyo"`), Run: history.Run{StartedAt: at, Worker: "host-1", Attempts: 1}},
		&history.TaskScheduled{ID: 5, Name: "greet", Input: history.Text(`"Seattle"`)},
	}
	for _, e := range turn {
		history.SetTime(e, at)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := history.Encode(turn); err != nil {
			b.Fatal(err)
		}
	}
}
