package durable_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/weir-dev/weir/durable"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func aesgcm(t *testing.T, current string, keys map[string][]byte) durable.Codec {
	t.Helper()
	c, err := durable.AESGCM(current, keys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// with makes the bundle's client one with options.
func (b *bundle) with(opts ...durable.ClientOption) {
	b.t.Helper()
	c, err := durable.NewClient(b.pool, opts...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.Close)
	b.client = c
}

// readable lists the tables of Weir and River in which the text can be read, in whatever column.
func (b *bundle) readable(text string) []string {
	b.t.Helper()
	rows, err := b.pool.Query(b.ctx, "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('weir', 'river') ORDER BY 1")
	if err != nil {
		b.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 10 {
		b.t.Fatalf("%d tables, %v", len(tables), err)
	}
	var found []string
	for _, table := range tables {
		n := b.count("SELECT count(*) FROM "+table+" AS t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0", text, hex.EncodeToString([]byte(text)))
		if n > 0 {
			found = append(found, table)
		}
	}
	return found
}

func TestCodecAtRest(t *testing.T) {
	t.Parallel()
	const secret = "a marker to be found"
	large := secret + strings.Repeat("x", 100_000)
	for name, codec := range map[string]durable.Codec{"Encrypted": aesgcm(t, "k1", map[string][]byte{"k1": key(1)}), "Plain": nil} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.with(durable.WithCodec(codec))
			cfg := func() *durable.Config { return &durable.Config{Codec: codec} }
			passOn := func(_ context.Context, s string) (string, error) {
				if !strings.HasPrefix(s, secret) {
					return "", fmt.Errorf("got %.40q", s)
				}
				return s, nil
			}
			const (
				Booked  durable.Activity[string, string] = "booked"
				Far     durable.Activity[string, string] = "far"
				Nowhere durable.Activity[string, string] = "nowhere"
				Beats   durable.Activity[string, string] = "beats"
			)
			b.worker(cfg(), Echo.Handler(passOn),
				Booked.TxHandler(func(ctx context.Context, _ pgx.Tx, s string) (string, error) { return passOn(ctx, s) }),
				Child.Handler(func(ctx *durable.Context, n int) (int, error) {
					s, err := durable.Step(ctx, "step", func(context.Context) (string, error) { return secret, nil })
					if err != nil {
						return 0, err
					}
					return n, Item.Send(ctx, ctx.ParentID(), s)
				}),
				Text.Handler(func(ctx *durable.Context, s string) (string, error) {
					if ctx.Generation() == 0 {
						return Text.ContinueAsNew(ctx, s)
					}
					for _, call := range []durable.Activity[string, string]{Echo, Booked, Far} {
						out, err := call.Call(ctx, s)
						if err != nil || out != s {
							return "", fmt.Errorf("%s: %w", call, err)
						}
					}
					if _, err := Child.Call(ctx, 1); err != nil {
						return "", err
					}
					got, err := Item.Wait(ctx)
					if err != nil || got != secret {
						return "", fmt.Errorf("got %q, %w", got, err)
					}
					ctx.SetStatus("shown to people")
					Nowhere.Go(ctx, s)    // its row waits in River
					Beats.Go(ctx, secret) // and this one tells how far it is
					raised, err := Item.Wait(ctx)
					if err != nil {
						return "", err
					}
					return raised + s, nil
				}))
			beats := make(chan struct{})
			b.worker(cfg(), Far.Handler(passOn), Beats.Handler(func(ctx context.Context, s string) (string, error) {
				if err := durable.Heartbeat(ctx, s); err != nil {
					return "", err
				}
				<-beats
				return s, nil
			}))
			var instances []*durable.Instance[string]
			for _, in := range []string{secret, large} {
				inst := start(b, Text, in)
				b.until("it waits", func() bool { return string(status(b, inst).CustomStatus) == `"shown to people"` })
				instances = append(instances, inst)
			}
			later := start(b, Text, secret, durable.Delay(time.Hour))
			raise(b, Item, later.ID(), secret)
			b.until("there are heartbeats", func() bool { return b.count("SELECT count(*) FROM weir.heartbeats") == 2 })
			found := b.readable(secret)
			close(beats)
			for _, inst := range instances {
				raise(b, Item, inst.ID(), secret)
			}
			for i, inst := range instances {
				if got := wait(b, inst); got != secret+[]string{secret, large}[i] {
					t.Errorf("got %.60q", got)
				}
			}
			found = append(found, b.readable(secret)...)
			if codec != nil && len(found) > 0 {
				t.Errorf("it can be read in %v", found)
			}
			if want := []string{"river.river_job", "weir.heartbeats", "weir.history", "weir.inbox", "weir.instances", "weir.payloads"}; codec == nil && fmt.Sprint(found[:min(6, len(found))]) != fmt.Sprint(want) {
				t.Errorf("without a codec it is found in %v: the search finds too little", found)
			}
			if b.readable("shown to people") == nil {
				t.Error("the status is encrypted")
			}
		})
	}
}

func TestCodecKeys(t *testing.T) {
	t.Parallel()
	both := map[string][]byte{"k1": key(1), "k2": key(2)}
	orchestration := Text.Handler(func(ctx *durable.Context, s string) (string, error) {
		one, err := Echo.Call(ctx, s)
		if err != nil {
			return "", err
		}
		two, err := Item.Wait(ctx)
		return one + two, err
	})
	t.Run("Rotation", func(t *testing.T) {
		b := setup(t)
		before, during, after := aesgcm(t, "k1", both), aesgcm(t, "k2", both), aesgcm(t, "k2", map[string][]byte{"k2": key(2)})
		b.with(durable.WithCodec(before))
		stop := b.worker(&durable.Config{Codec: before}, orchestration, Echo.Handler(echo))
		inst := start(b, Text, "old ")
		b.turnsEnded(inst.ID(), 0)
		stop()

		// A worker that has not the old key any more does no harm, and says what is missing.
		stop = b.worker(&durable.Config{Codec: after}, orchestration, Echo.Handler(echo))
		b.with(durable.WithCodec(during))
		raise(b, Item, inst.ID(), "new")
		b.until("the turn is held", func() bool { return status(b, inst).Held != "" })
		if got, want := status(b, inst).Held, `the codec cannot decode a value: the key "k1" is not known`; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		stop()
		b.worker(&durable.Config{Codec: during}, orchestration, Echo.Handler(echo))
		if got := wait(b, inst); got != "old new" {
			t.Errorf("got %q", got)
		}
		// What was written since is under the new key.
		b.with(durable.WithCodec(after))
		if got := wait(b, Text.Instance(b.client, inst.ID())); got != "old new" {
			t.Errorf("got %q", got)
		}
		old, err := durable.NewClient(b.pool, durable.WithCodec(aesgcm(t, "k1", map[string][]byte{"k1": key(1)})))
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		if _, err := Text.Instance(old, inst.ID()).Wait(b.ctx); err == nil || !strings.Contains(err.Error(), `the key "k2" is not known`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("AnActivityWithoutTheKeyIsTriedAgain", func(t *testing.T) {
		b := setup(t)
		codec := aesgcm(t, "k1", both)
		b.with(durable.WithCodec(codec))
		b.worker(&durable.Config{Codec: codec}, Text.Handler(func(ctx *durable.Context, s string) (string, error) {
			return Echo.Call(ctx, s, durable.Retry{Attempts: 3, Initial: time.Millisecond})
		}))
		b.worker(&durable.Config{Codec: aesgcm(t, "k2", map[string][]byte{"k2": key(2)})}, Echo.Handler(echo))
		_, err := start(b, Text, "x").Wait(b.ctx)
		if err == nil || !strings.Contains(err.Error(), `failed after 3 attempts: input of echo: the codec cannot decode a value: the key "k1" is not known`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("PlainValuesAreRead", func(t *testing.T) {
		b := setup(t) // its client has no codec, like the dashboard
		codec := aesgcm(t, "k1", both)
		b.worker(&durable.Config{Codec: codec}, orchestration, Echo.Handler(echo))
		inst := start(b, Text, "in ")
		raise(b, Item, inst.ID(), "plain")
		b.with(durable.WithCodec(codec))
		if got := wait(b, Text.Instance(b.client, inst.ID())); got != "in plain" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("RiverWorkersReadTheirArguments", func(t *testing.T) {
		b := setup(t)
		codec := aesgcm(t, "k1", both)
		b.with(durable.WithCodec(codec))
		b.worker(&durable.Config{Codec: codec}, durable.RiverHandler(&resizeWorker{}),
			Number.Handler(func(ctx *durable.Context, n int) (int, error) { return Resize.Call(ctx, ResizeArgs{n}) }))
		if got := wait(b, start(b, Number, 21)); got != 42 {
			t.Errorf("got %d", got)
		}
	})
	t.Run("Values", func(t *testing.T) {
		codec := aesgcm(t, "k1", both)
		for _, text := range []string{`""`, `{"weir.key":"k1","data":"x"}`, strings.Repeat("x", 1000)} {
			one, err1 := codec.Encode(t.Context(), []byte(text))
			two, err2 := codec.Encode(t.Context(), []byte(text))
			if err := errors.Join(err1, err2); err != nil || bytes.Equal(one, two) || !json.Valid(one) {
				t.Fatalf("%s and %s, %v", one, two, err)
			}
			if got, err := codec.Decode(t.Context(), one); err != nil || string(got) != text {
				t.Errorf("got %q, %v", got, err)
			}
		}
		for doc, says := range map[string]string{
			`{"weir.key":"k9","data":"AAAA"}`:                                     `the key "k9" is not known`,
			`{"weir.key":"k1","data":"AAAA"}`:                                     "damaged",
			`{"weir.key":"k1","data":"`:                                           "damaged",
			`{"weir.key":"k1","data":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`: `not encrypted with the key "k1"`,
		} {
			if _, err := codec.Decode(t.Context(), []byte(doc)); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", doc, err)
			}
		}
	})
	t.Run("BadKeys", func(t *testing.T) {
		for name, c := range map[string]struct {
			current string
			keys    map[string][]byte
			says    string
		}{
			"None":    {"k1", nil, `current: there is no key "k1"`},
			"Unknown": {"k3", both, `there is no key "k3"`},
			"Short":   {"k", map[string][]byte{"k": {1, 2}}, `key "k" has 2 bytes, want 16, 24 or 32`},
			"Empty":   {"", map[string][]byte{"": key(1)}, "1 to 64"},
			"Quote":   {`"`, map[string][]byte{`"`: key(1)}, "1 to 64"},
			"Long":    {"k", map[string][]byte{"k": key(1), strings.Repeat("k", 65): key(2)}, "1 to 64"},
		} {
			if _, err := durable.AESGCM(c.current, c.keys); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// upper is a converter that is not JSON: text in capitals, which only texts have.
type upper struct{}

func (upper) Encode(v any) ([]byte, error) {
	s, ok := v.(string)
	if !ok {
		return nil, errors.New("not a text")
	}
	return []byte("<" + strings.ToUpper(s)), nil
}

func (upper) Decode(data []byte, into any) error {
	s, ok := into.(*string)
	if !ok || data[0] != '<' {
		return errors.New("not a text of ours")
	}
	*s = string(data[1:])
	return nil
}

func TestConverter(t *testing.T) {
	b := setup(t)
	codec := aesgcm(t, "k", map[string][]byte{"k": key(1)})
	b.with(durable.WithConverter(upper{}), durable.WithCodec(codec))
	b.worker(&durable.Config{Converter: upper{}, Codec: codec}, Echo.Handler(echo), Text.Handler(func(ctx *durable.Context, s string) (string, error) {
		event, err := Item.Wait(ctx)
		if err != nil {
			return "", err
		}
		if _, err := durable.Go(ctx, func(ctx *durable.Context) (int, error) { return 1, nil }).Await(); err != nil {
			return "", err // what stays in memory is not converted
		}
		out, err := Echo.Call(ctx, s+event)
		_, bad := Double.Call(ctx, 1)
		return out + fmt.Sprint(bad), err
	}))
	inst := start(b, Text, "in ")
	raise(b, Item, inst.ID(), "event ")
	if got, want := wait(b, inst), "IN EVENT ACTIVITY DOUBLE FAILED: ENCODE INT: NOT A TEXT"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := Number.Start(b.ctx, b.client, 1); err == nil || !strings.Contains(err.Error(), "not a text") {
		t.Errorf("got %v", err)
	}
}
