package graph_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/weir-dev/weir/graph"
)

// listClient keeps what a client that watches a list has of it.
type listClient struct {
	*socket
	seq int
	has map[string]string // statuses by global id
}

func (a *api) watchList(first int) *listClient {
	a.t.Helper()
	c := &listClient{socket: a.connect()}
	c.subscribe("1", changesQuery, vars{"first": first})
	if f := c.frame(); !f.Reset {
		a.t.Fatalf("the first frame is %+v", f)
	}
	return c
}

func (c *listClient) frame() changesFrame {
	c.a.t.Helper()
	f := next[changes](c.socket).OrchestrationChanges
	switch {
	case c.seq != 0 && f.Seq != c.seq+1:
		c.a.t.Fatalf("frame %d follows frame %d", f.Seq, c.seq)
	case c.has == nil && !f.Reset:
		c.a.t.Fatalf("a delta comes before a snapshot: %+v", f)
	case f.Reset:
		c.has = map[string]string{}
	}
	c.seq = f.Seq
	for _, u := range f.Upserts {
		c.has[u.ID] = u.Status
	}
	for _, id := range f.Leaves {
		delete(c.has, id)
	}
	return f
}

// TestSharedList: who watches the same list is served by one reading of it; each has all of it, whenever it came.
func TestSharedList(t *testing.T) {
	a := serve(t)
	ids := map[string]string{}
	start := func() {
		t.Helper()
		inst := a.must(a.start(vars{"name": "unserved", "instanceId": fmt.Sprint("i", len(ids))}))
		ids[inst.ID] = "PENDING"
	}
	settle := func(clients []*listClient) {
		t.Helper()
		for n, c := range clients {
			for !maps.Equal(c.has, ids) {
				c.frame()
				if len(c.has) > len(ids) {
					t.Fatalf("client %d has %v", n, c.has)
				}
			}
		}
	}
	var clients []*listClient
	for range 20 { // each comes after something has happened
		start()
		c := a.watchList(200)
		clients = append(clients, c)
		settle(clients)
	}
	other := a.watchList(100)
	if s := a.handler.Stats(); s.Lists != 2 || s.Subscriptions != 21 {
		t.Errorf("got %+v", s)
	}

	// The one who came first leaves; the others go on.
	first := clients[0]
	clients = append(clients[1:], other)
	if err := first.conn.CloseNow(); err != nil {
		t.Fatal(err)
	}
	a.until("it is gone", func() bool { return a.handler.Stats().Subscriptions == 20 })
	start()
	settle(clients)
	a.must(a.terminate(vars{"instanceId": "i0", "reason": "test"}))
	for _, c := range clients {
		for !slices.Contains(slices.Collect(maps.Values(c.has)), "TERMINATED") {
			c.frame()
		}
		_ = c.conn.CloseNow()
	}
	a.until("all are gone", func() bool { return a.handler.Stats() == graph.Stats{} })

	// A list that cannot be watched is refused each time.
	for range 2 {
		s := a.connect()
		s.subscribe("1", `subscription { orchestrationChanges(hub: "nowhere") { seq } }`, nil)
		if m := s.read(); m.Type != "error" && m.Type != "next" || len(m.Payload) == 0 {
			t.Errorf("got %+v", m)
		}
		if m := s.read(); m.Type != "complete" {
			t.Errorf("got %+v", m)
		}
	}
	a.until("all are gone", func() bool { return a.handler.Stats().Subscriptions == 0 })
}
