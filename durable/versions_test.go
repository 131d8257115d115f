package durable_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weir-dev/weir/durable"
)

// Eternal collects words; "migrate" makes it continue under the version that follows, "end" ends it.
const Eternal durable.Orchestration[[]string, []string] = "eternal"

// eternal is its handler as of a version; migrate is where "migrate" leads to.
func eternal(version, migrate durable.Version) durable.Handler {
	return Eternal.Handler(func(ctx *durable.Context, words []string) ([]string, error) {
		word, err := Item.Wait(ctx)
		if err != nil {
			return nil, err
		}
		words = append(words, string(version)+"/"+ctx.Version()+"/"+word)
		switch word {
		case "end":
			return words, nil
		case "migrate":
			return Eternal.ContinueAsNew(ctx, words, migrate)
		}
		return Eternal.ContinueAsNew(ctx, words)
	}, version)
}

func TestContinueAsNewWithAnotherVersion(t *testing.T) {
	t.Parallel()
	t.Run("OldAndNewWorkersSideBySide", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, eternal("1", "2"))
		b.worker(nil, eternal("2", "3"))
		const n = 20
		instances := make([]*durable.Instance[[]string], n)
		for i := range instances {
			instances[i] = start(b, Eternal, nil, durable.Version("1"))
			// All at once, so that some are carried over into the other version and some wait in the inbox.
			for _, word := range []string{"a", "migrate", "b", "c", "end"} {
				raise(b, Item, instances[i].ID(), word)
			}
		}
		want := "1/1/a 1/1/migrate 2/2/b 2/2/c 2/2/end"
		for _, inst := range instances {
			if got := strings.Join(wait(b, inst), " "); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		b.atRest()
	})
	t.Run("OneWorkerHasBoth", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, eternal("1", "2"), eternal("2", "1"))
		inst := start(b, Eternal, nil, durable.Version("1"))
		for _, word := range []string{"migrate", "migrate", "end"} { // there, and back
			raise(b, Item, inst.ID(), word)
		}
		if got, want := strings.Join(wait(b, inst), " "), "1/1/migrate 2/2/migrate 1/1/end"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.atRest()
	})
	t.Run("WaitsForAWorkerThatHasIt", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, eternal("1", "2"))
		inst := start(b, Eternal, nil, durable.Version("1"))
		raise(b, Item, inst.ID(), "migrate")
		raise(b, Item, inst.ID(), "end")
		b.until("its turn job is one of the new version", func() bool {
			return b.count(`SELECT count(*) FROM weir.instances i JOIN river.river_job j ON j.id = i.turn_job
				WHERE i.id = $1 AND i.version = '2' AND i.owner IS NULL AND j.kind = 'turn:eternal<2>' AND j.state = 'available'`, inst.ID()) == 1
		})
		b.worker(nil, eternal("2", "3"))
		if got, want := strings.Join(wait(b, inst), " "), "1/1/migrate 2/2/end"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.atRest()
	})
	t.Run("TheOldGenerationsActivitiesGo", func(t *testing.T) {
		b := setup(t)
		old := Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			Echo.Go(ctx, "nobody waits for this")
			return Text.ContinueAsNew(ctx, "", durable.Version("2"))
		}, durable.Version("1"))
		migrated := Text.Handler(func(ctx *durable.Context, _ string) (string, error) {
			return Echo.Call(ctx, fmt.Sprint("generation ", ctx.Generation()))
		}, durable.Version("2"))
		b.worker(nil, old, Echo.Handler(echo))
		b.worker(nil, migrated, Echo.Handler(echo))
		if got, want := wait(b, start(b, Text, "", durable.Version("1"))), "generation 1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		b.atRest()
	})
	t.Run("BadVersion", func(t *testing.T) {
		b := setup(t)
		b.worker(nil, eternal("1", "2\n"))
		inst := start(b, Eternal, nil, durable.Version("1"))
		raise(b, Item, inst.ID(), "migrate")
		if _, err := inst.Wait(b.ctx); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "version") {
			t.Errorf("got %v", err)
		}
	})
}
