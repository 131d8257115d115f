package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/weir-dev/weir/engine/internal/store"
	"github.com/weir-dev/weir/engine/logkey"
)

// knownVersions are the versions that this process has noted lately in the table of that name.
type knownVersions struct {
	mu    sync.Mutex
	noted map[startedVersion]time.Time
}

type startedVersion struct {
	hub           int32
	name, version string
}

const (
	// noteEvery is how often a version that is in use is noted anew. Those that are not are forgotten after a month.
	noteEvery = time.Hour
	// maxKnown bounds what a process remembers, should somebody start each instance in a version of its own.
	maxKnown = 10_000
)

// noteVersion notes that instances of an orchestration are about to be, or have been, started in a version, and tells
// the workers whose Match takes versions that they cannot list. Those look for jobs once they know the version, so it
// does not matter which comes first. That there is none needs no note.
func (e *Engine) noteVersion(ctx context.Context, hub int32, name, version string) error {
	if version == "" {
		return nil
	}
	key, now := startedVersion{hub, name, version}, time.Now()
	k := &e.known
	k.mu.Lock()
	at, ok := k.noted[key]
	k.mu.Unlock()
	if ok && now.Sub(at) < noteEvery {
		return nil
	}
	if err := e.q.NoteVersion(ctx, e.pool, store.NoteVersionParams{Hub: hub, Name: name, Version: version, Channel: e.db.Channel("versions")}); err != nil {
		return fmt.Errorf("note version %q of %s: %w", version, name, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.noted == nil || len(k.noted) >= maxKnown {
		k.noted = map[startedVersion]time.Time{}
	}
	k.noted[key] = now
	return nil
}

// looksForVersions tells whether the node fetches turn jobs of versions that it has no handler for.
func (n *Node) looksForVersions() bool {
	return n.hub != nil && len(n.caps.Orchestrations) > 0 && (n.caps.Match.loose() || n.caps.FailUnmatched)
}

// OtherTurnKinds are the kinds of turn jobs that the node takes besides those of its handlers' versions. They change
// while it runs.
func (n *Node) OtherTurnKinds() []string {
	if kinds := n.otherKinds.Load(); kinds != nil {
		return *kinds
	}
	return nil
}

const (
	// unmatchedEvery is how often a node that fails instances that no worker takes looks whether there are any: workers
	// that take them may have gone.
	unmatchedEvery = 2 * time.Second
	// versionsEvery is the safety net of the others.
	versionsEvery = time.Minute
)

// followVersions keeps up with the versions that are started.
func (n *Node) followVersions(ctx context.Context) error {
	if !n.looksForVersions() {
		return nil
	}
	every := versionsEvery
	if n.caps.FailUnmatched {
		every = unmatchedEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.versionsNoted:
		case <-tick.C:
		}
		if err := n.findVersions(ctx); err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "look for versions", logkey.Err, err)
		}
	}
}

// findVersions finds out which turn jobs the node takes besides those of its handlers' versions, and has River look for
// those that are new to it.
func (n *Node) findVersions(ctx context.Context) error {
	var names []string
	for _, d := range n.caps.Orchestrations {
		if !slices.Contains(names, d.Name) {
			names = append(names, d.Name)
		}
	}
	rows, err := n.e.q.ListVersions(ctx, n.e.pool, store.ListVersionsParams{Hub: n.hub.no, Names: names})
	if err != nil {
		return fmt.Errorf("list versions: %w", err)
	}
	for _, name := range names {
		rows = append(rows, store.ListVersionsRow{Name: name}) // instances without a version
	}
	var workers []WorkerInfo
	if n.caps.FailUnmatched {
		if workers, err = n.e.Workers(ctx, n.hub.Name, 0); err != nil {
			return err
		}
	}
	var kinds, fresh []string
	before := n.OtherTurnKinds()
	for _, v := range rows {
		if slices.Contains(n.caps.Orchestrations, Definition(v)) {
			continue // fetched in any case
		}
		if !n.caps.Accepts(v.Name, v.Version) && (!n.caps.FailUnmatched || accepted(workers, v.Name, v.Version)) {
			continue
		}
		kind := TurnKind(v.Name, v.Version)
		kinds = append(kinds, kind)
		if !slices.Contains(before, kind) {
			fresh = append(fresh, kind)
		}
	}
	n.otherKinds.Store(&kinds)
	return n.RetryHeld(ctx, fresh)
}

// accepted tells whether one of the workers runs instances of an orchestration in a version.
func accepted(workers []WorkerInfo, name, version string) bool {
	return slices.ContainsFunc(workers, func(w WorkerInfo) bool { return w.Accepts(name, version) })
}
