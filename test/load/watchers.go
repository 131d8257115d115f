package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/weir-dev/weir/durable"
)

// startServer builds and starts the server.
func (b *bench) startServer(ctx context.Context) (*apiServer, error) {
	bin := filepath.Join(os.TempDir(), fmt.Sprintf("weir-bench-%d", os.Getpid()))
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/weir-dev/weir")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the server: %w: %s", err, out)
	}
	before, err := b.alive(ctx)
	if err != nil {
		return nil, err
	}
	// The port is free now; that another program takes it meanwhile would be told by the server.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, bin, "server")
	cmd.Env = append(os.Environ(), "WEIR_DATABASE_URL="+b.pg.dsn, "WEIR_LISTEN="+address, "WEIR_LOG_LEVEL=warn", "WEIR_ALLOW_ANYBODY=true", "WEIR_QUERY_RATE=0")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_ = os.Remove(bin)
	s := &apiServer{process: watched(cmd), url: "http://" + address}
	return s, b.until(ctx, func() (bool, error) {
		select {
		case <-s.ended:
			return false, fmt.Errorf("the server ended: %w", s.err)
		default:
		}
		now, err := b.alive(ctx)
		return now > before, err
	})
}

// watcher is a websocket with one subscription.
type watcher struct {
	conn *websocket.Conn
	done chan error
}

// watch subscribes and hands each frame to frame, which may be nil, until the watcher is closed.
func (s *apiServer) watch(ctx context.Context, query string, variables map[string]any, frame func(data []byte)) (*watcher, error) {
	options := &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}, CompressionMode: websocket.CompressionDisabled}
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(s.url, "http")+"/graphql", options) //nolint:bodyclose // Dial says: never needs to be closed
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(16 << 20)
	subscribe, err := json.Marshal(map[string]any{"type": "subscribe", "id": "1", "payload": map[string]any{"query": query, "variables": variables}})
	if err != nil {
		return nil, err
	}
	for _, m := range [][]byte{[]byte(`{"type":"connection_init"}`), subscribe} {
		if err := conn.Write(ctx, websocket.MessageText, m); err != nil {
			return nil, err
		}
	}
	w, first := &watcher{conn: conn, done: make(chan error, 1)}, make(chan error, 1)
	go func() {
		told := false
		for {
			_, data, err := conn.Read(ctx)
			switch {
			case err != nil && !told:
				first <- err
				return
			case err != nil:
				w.done <- err
				return
			case bytes.Contains(data, []byte(`"type":"ping"`)):
				_ = conn.Write(ctx, websocket.MessageText, []byte(`{"type":"pong"}`))
				continue
			case bytes.Contains(data, []byte(`"connection_ack"`)):
				continue
			case !told && bytes.Contains(data[:min(len(data), 200)], []byte(`"errors"`)):
				first <- fmt.Errorf("the subscription is refused: %.300s", data)
				return
			}
			if !told {
				told = true
				first <- nil
			}
			if frame != nil {
				frame(data)
			}
		}
	}()
	return w, <-first
}

func (w *watcher) close() { _ = w.conn.CloseNow() }

const (
	watchList = `subscription($filter: OrchestrationFilter) { orchestrationChanges(hub: "default", filter: $filter, first: 50) {
		seq reset leaves upserts { id instanceId name status createdAt lastEventAt finishedAt } } }`
	watchOne = `subscription($id: String!) { orchestration(hub: "default", instanceId: $id) { id status lastEventAt } }`
)

// sockets measures what a thousand connections hold, each with one subscription to an instance that sleeps.
func (b *bench) sockets(ctx context.Context, s *apiServer) error {
	n := b.size(1000)
	before, err := rssOf(s.pid())
	if err != nil {
		return err
	}
	progressf("%-8s opening %d sockets", b.current, n)
	for i := range n {
		w, err := s.watch(ctx, watchOne, map[string]any{"id": "long"}, nil)
		if err != nil {
			return fmt.Errorf("socket %d: %w", i, err)
		}
		defer w.close()
	}
	if err := b.rest(ctx, "holding sockets", 5*time.Second); err != nil {
		return err
	}
	after, err := rssOf(s.pid())
	if err != nil {
		return err
	}
	b.report.add("W15", "MB of 1,000 sockets", float64(after-before)/(1<<20))
	return nil
}

// watchers measures 200 subscribers: how long it takes until a change has reached them while the engine is at half its
// speed, and how much slower its full speed is with them. Half of them watch the whole hub, a quarter a filtered list, and
// a quarter one instance each, which changes now and then.
func (b *bench) watchers(ctx context.Context, s *apiServer) error {
	return b.withWorker(ctx, func(*process) error {
		alone, err := b.helloFor(ctx)
		if err != nil {
			return err
		}
		const n = 200
		var all []*watcher
		defer func() {
			for _, w := range all {
				w.close()
			}
		}()
		lag := &lags{seen: map[string]bool{}}
		pongs := make([]*durable.Instance[int], 0, n/4)
		for i := range n {
			var w *watcher
			var err error
			switch {
			case i < n/2:
				w, err = s.watch(ctx, watchList, nil, nil)
			case i < n*3/4:
				watching := i
				w, err = s.watch(ctx, watchList, map[string]any{"filter": map[string]any{"names": []string{string(One)}}}, func(data []byte) { lag.list(watching, data) })
			default:
				id := fmt.Sprint("watched-", i)
				p, startErr := Pong.Start(ctx, b.client, 1000, durable.ID(id))
				if startErr != nil {
					return startErr
				}
				pongs = append(pongs, p)
				w, err = s.watch(ctx, watchOne, map[string]any{"id": id}, func(data []byte) { lag.one(data) })
			}
			if err != nil {
				return fmt.Errorf("subscriber %d: %w", i, err)
			}
			all = append(all, w)
		}

		progressf("%-8s watched at half speed", b.current)
		half, stop := context.WithCancel(ctx)
		var load sync.WaitGroup
		failed := make(chan error, 2)
		load.Go(func() { failed <- b.paced(half, alone/2) })
		load.Go(func() { failed <- b.marks(half, pongs) })
		err = b.rest(ctx, "watched at half speed", 3*time.Second)
		lag.measure(true)
		if err == nil {
			err = b.rest(ctx, "watched at half speed", 15*time.Second)
		}
		lag.measure(false)
		stop()
		load.Wait()
		if err = errors.Join(err, <-failed, <-failed); err != nil {
			return err
		}
		b.report.add("W15", "ms to 200 subscribers p50", quantile(lag.ms, 0.5))
		b.report.add("W15", "ms to 200 subscribers p99", quantile(lag.ms, 0.99))
		b.report.add("W15", "changes seen by them", float64(len(lag.ms)))

		var watched, without float64
		const rounds = 3
		for range rounds {
			rate, err := b.helloFor(ctx)
			if err != nil {
				return err
			}
			watched += rate / rounds
			// They leave; the server forgets them within its linger.
			for _, w := range all {
				w.close()
			}
			all = nil
			if err := b.rest(ctx, "until the watchers are forgotten", 2*time.Second); err != nil {
				return err
			}
			if rate, err = b.helloFor(ctx); err != nil {
				return err
			}
			without += rate / rounds
			for i := range n {
				var filter map[string]any
				if i%2 == 0 {
					filter = map[string]any{"names": []string{string(One)}}
				}
				w, err := s.watch(ctx, watchList, map[string]any{"filter": filter}, nil)
				if err != nil {
					return err
				}
				all = append(all, w)
			}
		}
		b.report.add("W15", "orchestration/s, watched by 200", watched)
		b.report.add("W15", "orchestration/s, unwatched", without)
		b.report.add("W15", "watched slower %", (without/watched-1)*100)
		return nil
	})
}

// paced starts hello at a rate until the context ends.
func (b *bench) paced(ctx context.Context, rate float64) error {
	const every = 50 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	in := make([]string, max(1, int(rate*every.Seconds())))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if _, err := Hello.StartMany(ctx, b.client, in); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// marks makes the changes that are timed: 20 times a second it starts an instance, and raises an event to one.
func (b *bench) marks(ctx context.Context, pongs []*durable.Instance[int]) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_, err := One.Start(ctx, b.client, "x")
			if err == nil {
				err = Ping.Raise(ctx, b.client, pongs[i%len(pongs)].ID(), i/len(pongs))
			}
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// lags collects how long after a change its frame came, by the clock that both share.
type lags struct {
	on   atomic.Bool
	mu   sync.Mutex
	seen map[string]bool
	ms   []float64
}

func (l *lags) measure(on bool) { l.on.Store(on) }

func (l *lags) add(key string, at time.Time) {
	late := time.Since(at).Seconds() * 1000
	l.mu.Lock()
	defer l.mu.Unlock()
	if key != "" && l.seen[key] {
		return
	}
	if key != "" {
		l.seen[key] = true
	}
	if l.on.Load() {
		l.ms = append(l.ms, late)
	}
}

// frame is a message of a subscription, as far as it is timed.
type frame struct {
	Payload struct {
		Data struct {
			OrchestrationChanges struct {
				Upserts []struct {
					InstanceID string    `json:"instanceId"`
					CreatedAt  time.Time `json:"createdAt"`
				} `json:"upserts"`
			} `json:"orchestrationChanges"`
			Orchestration struct {
				LastEventAt time.Time `json:"lastEventAt"`
			} `json:"orchestration"`
		} `json:"data"`
	} `json:"payload"`
}

// list times the instances that a frame shows for the first time, from when they were created.
func (l *lags) list(watcher int, data []byte) {
	var f frame
	if json.Unmarshal(data, &f) != nil {
		return
	}
	for _, u := range f.Payload.Data.OrchestrationChanges.Upserts {
		l.add(fmt.Sprint(watcher, " ", u.InstanceID), u.CreatedAt)
	}
}

// one times a frame of one instance, from its last event.
func (l *lags) one(data []byte) {
	var f frame
	if json.Unmarshal(data, &f) == nil && !f.Payload.Data.Orchestration.LastEventAt.IsZero() {
		l.add("", f.Payload.Data.Orchestration.LastEventAt)
	}
}
