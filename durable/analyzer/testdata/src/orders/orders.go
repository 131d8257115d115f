// Package orders has an orchestration for each rule of the analyzer.
package orders

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"math/rand"
	randv2 "math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/weir-dev/weir/durable"
)

const Charge durable.Activity[string, int] = "charge"

func clock(ctx *durable.Context) time.Time {
	began := time.Now()            // want `time.Now: the time is another at each replay: use ctx.Now\(\)`
	_ = time.Since(began)          // want `time.Since: .*use ctx.Now\(\).Sub\(t\)`
	_ = time.Until(began)          // want `time.Until: .*use t.Sub\(ctx.Now\(\)\)`
	time.Sleep(time.Second)        // want `time.Sleep: .*use ctx.Sleep`
	_ = time.NewTimer(time.Second) // want `time.NewTimer: .*use ctx.Timer`
	_ = time.AfterFunc(1, nil)     // want `time.AfterFunc: .*use ctx.Timer in a durable.Go`
	_ = time.Tick(time.Second)     // want `time.Tick: .*use ctx.Sleep in a loop`
	return ctx.Now().Add(time.Hour).Truncate(time.Minute)
}

func random(ctx *durable.Context) int {
	var b [8]byte
	_, _ = crand.Read(b[:]) // want `rand.Read: chance is another at each replay: use ctx.Rand or ctx.NewID`
	_ = crand.Reader        // want `chance is another at each replay`
	_ = rand.Intn(3)        // want `rand.Intn: chance`
	_ = uuid.NewString()    // want `uuid.NewString: chance`
	seeded := randv2.New(randv2.NewPCG(1, 2))
	return seeded.IntN(3) + randv2.IntN(3) // want `v2.IntN: chance`
}

func environment(ctx *durable.Context) string {
	_, _ = os.LookupEnv("X")     // want `os.LookupEnv: the environment is another`
	_, _ = os.ReadFile("prices") // want `os.ReadFile: what is outside of the program`
	return os.Getenv("PRICE")    // want `os.Getenv: the environment is another where the instance goes on: pass it as input`
}

func concurrency(ctx *durable.Context) {
	go fmt.Sprint("x")   // want `a goroutine runs beside the orchestration.*use durable.Go`
	ch := make(chan int) // want `channels are not recorded`
	ch <- 1              // want `sending on a channel is not recorded`
	<-ch                 // want `receiving from a channel waits`
	for range ch {       // want `receiving from a channel waits`
	}
	close(ch) // want `channels are not recorded`
	select {  // want `select chooses at random.*use durable.First`
	case <-ch:
		time.Sleep(1) // want `time.Sleep`
	case <-time.After(time.Second):
	}
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)
	mu.Lock()   // want `sync.Mutex.Lock: branches of an orchestration run one at a time`
	mu.Unlock() // want `sync.Mutex.Unlock`
	wg.Wait()   // want `sync.WaitGroup.Wait`
}

func order(ctx *durable.Context, prices map[string]int) ([]string, error) {
	for name := range prices { // want `the order of a map is another each time, and this loop calls what is recorded: range over slices.Sorted\(maps.Keys\(m\)\)`
		if _, err := Charge.Call(ctx, name); err != nil {
			return nil, err
		}
	}
	for name := range maps.Keys(prices) { // want `this loop calls what is recorded`
		_ = ctx.Sleep(time.Duration(len(name)))
	}
	futures := map[string]*durable.Future[int]{}
	for _, f := range futures { // want `this loop calls what is recorded`
		_, _ = f.Await()
	}
	var names, sorted, sortedToo []string
	for name := range prices { // want `this loop lists what it finds without sorting it`
		names = append(names, name)
	}
	for name := range prices {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	for name := range prices {
		sortedToo = append(sortedToo, name)
	}
	slices.Sort(sortedToo)
	sum := 0
	for _, price := range prices { // the same in any order
		sum += price
	}
	for _, name := range slices.Sorted(maps.Keys(prices)) {
		_ = ctx.Sleep(time.Duration(prices[name]))
	}
	unsorted := slices.Collect(maps.Keys(prices)) // want `the order of a map is another each time: use slices.Sorted`
	collected := slices.Collect(maps.Keys(prices))
	slices.Sort(collected)
	for name := range prices { //weir:deterministic a map of one entry
		_ = ctx.Sleep(time.Duration(len(name)))
	}
	return append(names, unsorted...), nil
}

func network(ctx *durable.Context, c *http.Client, db *durable.Client, i *durable.Instance[int]) error {
	_, _ = http.Get("https://example.com") // want `http.Get: what is outside of the program`
	_, _ = c.Get("https://example.com")    // want `http.Client.Get: what is outside`
	db.Close()                             // want `durable.Client.Close: what is outside`
	_ = http.StatusText(200)
	return i.Terminate(context.Background(), "") // want `durable.Instance.Terminate: an orchestration does not control` `context.Background: an orchestration has no context.Context`
}

func logs(ctx *durable.Context) {
	log.Printf("x")  // want `log.Printf: this is printed again at each replay: use ctx.Logger\(\)`
	slog.Info("x")   // want `slog.Info: this is printed again`
	fmt.Println("x") // want `fmt.Println: this is printed again`
	_ = fmt.Sprintf("x")
}

var (
	count  int
	limits = map[string]int{}
	prefix = "order-" // stays as it is
	flag   bool
)

func set() { flag = true }

func state(ctx *durable.Context) string {
	count++         // want `count is shared by all instances and lost with the process`
	limits["x"] = 1 // want `limits is shared by all instances`
	if flag {       // want `flag changes while the program runs, and a replay sees another value`
		return ""
	}
	return prefix
}

func endless(ctx *durable.Context) error {
	for { // want `this loop has no end, and the history grows with each round: return what ContinueAsNew returns`
		_ = ctx.Sleep(time.Hour)
		switch {
		case ctx.NewID() == "":
			break // out of the switch only
		}
	}
}

func rounds(ctx *durable.Context) error {
	for n := 0; ; n++ {
		if n == 100 {
			return nil
		}
		_ = ctx.Sleep(time.Hour)
	}
}

// --- what is called, and what is not the orchestration's -----------------------------------------

func stamp() string { return format(1) }

func format(n int) string { return fmt.Sprint(n, time.Now()) }

func recursive(n int) int {
	if n == 0 {
		return 0
	}
	return recursive(n - 1)
}

func tidy(ctx context.Context, _ string) (string, error) { return fmt.Sprint(time.Now()), nil }

func helpers(ctx *durable.Context) (string, error) {
	_ = recursive(2)
	_ = stamp() // want `stamp is called by an orchestration: it calls format: time.Now: the time is another`
	_, err := durable.Step(ctx, "stamp", func(context.Context) (string, error) {
		go stamp() // a step may do anything
		return fmt.Sprint(time.Now(), os.Getenv("X"), rand.Int()), nil
	})
	branch := durable.Go(ctx, func(ctx *durable.Context) (int, error) {
		time.Sleep(time.Second) // want `time.Sleep`
		return 0, nil
	})
	local := func() time.Time { return time.Now() } // want `time.Now`
	_ = local
	_, err = branch.Await()
	//weir:deterministic the value is only logged
	_ = time.Now()
	/* want `needs a reason` */ //weir:deterministic
	return "", err
}

var handler = Charge.Handler(func(ctx context.Context, name string) (int, error) {
	time.Sleep(time.Second)
	count++
	return len(name), nil
})
