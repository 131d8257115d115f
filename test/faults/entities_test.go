package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/test/faults/workload"
)

// TestEntitiesAndKills kills worker processes (kill -9) while clients pay into entities and orchestrations carry from one
// to another under locks. Each operation is carried out once, those of a sender in their order, nobody comes while an
// entity is locked, and no lock is left.
func TestEntitiesAndKills(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const payments, hauls, times = 120, 9, 4
	vaults := []string{"a", "b", "c"}
	workers := []*process{b.process(b.dsn), b.process(b.dsn)}
	var paying sync.WaitGroup
	for n := range 4 {
		paying.Go(func() {
			if err := workload.Pay(b.ctx, b.client, vaults[n%3], fmt.Sprint("payer-", n), payments); err != nil {
				t.Error(err)
			}
		})
	}
	var all []*durable.Instance[int]
	for n := range hauls {
		in := workload.HaulInput{From: vaults[n%3], To: vaults[(n+1)%3], Times: times}
		inst, err := workload.Haul.Start(b.ctx, b.client, in, durable.ID(fmt.Sprint("haul-", n)))
		b.no(err)
		all = append(all, inst)
	}
	at := b.progress(0)
	for i := range 4 {
		at = b.progress(at + 30)
		victim := workers[i%2]
		no := b.numberOf(victim)
		victim.kill()
		began := time.Now()
		b.until("nothing is owned by the dead", func() bool {
			return b.count("SELECT count(*) FROM weir.instances WHERE owner = $1", no) == 0
		})
		t.Logf("kill %d: taken over within %v", i+1, time.Since(began).Round(time.Millisecond))
		workers[i%2] = b.process(b.dsn)
	}
	paying.Wait()
	for _, inst := range all {
		if n, err := inst.Wait(b.ctx); err != nil || n != times {
			b.explain()
			t.Fatalf("%s: %d, %v", inst.ID(), n, err)
		}
	}
	seen := func() (sum int, counts map[string]int) {
		counts = map[string]int{}
		for _, key := range vaults {
			v, _, err := workload.Note.State(b.ctx, b.client, key)
			b.no(err)
			sum += v.Sum
			for _, wrong := range v.Wrong {
				t.Errorf("%s: %s", key, wrong)
			}
			for sender, n := range v.Seen {
				counts[sender] += n
			}
		}
		return sum, counts
	}
	b.until("all payments are carried out", func() bool { sum, _ := seen(); return sum >= 4*payments })
	sum, counts := seen()
	if sum != 4*payments {
		t.Errorf("there is %d in the vaults, want %d", sum, 4*payments)
	}
	for _, sender := range slices.Sorted(maps.Keys(counts)) {
		if want := map[bool]int{true: payments, false: 3 * times}[sender[0] == 'p']; counts[sender] != want {
			t.Errorf("%d entries of %s, want %d", counts[sender], sender, want)
		}
	}
	b.until("no lock is left", func() bool { return b.count("SELECT count(*) FROM weir.entity_locks") == 0 })
	b.check()
}
