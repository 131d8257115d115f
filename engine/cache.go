package engine

import (
	"container/list"
	"sync"
)

// cache keeps the code and state of released instances in memory, so that a message that finds its way back to
// this process costs no replay. An entry is good only for the exact (gen, seq, epoch) it was left at; whoever
// takes it compares. It is bounded; what falls out is unwound.
type cache struct {
	limit int

	mu      sync.Mutex
	order   *list.List // of *kept, oldest first
	entries map[int64]*list.Element
}

type kept struct {
	no    int64
	gen   int32
	seq   int64
	epoch int32
	state *state
	code  Orchestration
}

func newCache(limit int) *cache {
	return &cache{limit: limit, order: list.New(), entries: map[int64]*list.Element{}}
}

func (c *cache) put(no int64, k *kept) {
	k.no = no
	c.mu.Lock()
	var out []*kept
	if old := c.entries[no]; old != nil {
		out = append(out, c.order.Remove(old).(*kept))
	}
	c.entries[no] = c.order.PushBack(k)
	for c.order.Len() > c.limit {
		first := c.order.Remove(c.order.Front()).(*kept)
		delete(c.entries, first.no)
		out = append(out, first)
	}
	c.mu.Unlock()
	for _, k := range out {
		k.code.Close()
	}
}

// take removes and returns an entry, nil if there is none.
func (c *cache) take(no int64) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.entries[no]
	if el == nil {
		return nil
	}
	delete(c.entries, no)
	return c.order.Remove(el).(*kept)
}

func (c *cache) clear() {
	c.mu.Lock()
	all := c.order
	c.order, c.entries = list.New(), map[int64]*list.Element{}
	c.mu.Unlock()
	for el := all.Front(); el != nil; el = el.Next() {
		el.Value.(*kept).code.Close()
	}
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}

// idCache remembers the numbers of instances by their ids, for callers that raise many events. A number that
// has been purged is found out when it is used.
type idCache struct {
	limit int
	mu    sync.Mutex
	nos   map[instanceName]int64
}

func newIDCache(limit int) *idCache { return &idCache{limit: limit, nos: map[instanceName]int64{}} }

func (c *idCache) get(name instanceName) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	no, ok := c.nos[name]
	return no, ok
}

func (c *idCache) put(name instanceName, no int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.nos) >= c.limit {
		for k := range c.nos { // any one: rare, and only a look-up is lost
			delete(c.nos, k)
			break
		}
	}
	c.nos[name] = no
}

func (c *idCache) drop(name instanceName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nos, name)
}
