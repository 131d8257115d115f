package engine

import (
	"sync/atomic"
	"time"
)

// clock tells the database's time without asking it: the local monotonic clock, shifted by what a heartbeat
// last measured. Turns, timers and starts use this one clock, so that processes whose clocks differ agree.
type clock struct {
	shift atomic.Int64 // nanoseconds to add to the local clock
	base  time.Time    // has a monotonic reading
}

func newClock() *clock { return &clock{base: time.Now()} }

// set takes a reading of the database's clock that was made between the two local times.
func (c *clock) set(database, before, after time.Time) {
	middle := before.Add(after.Sub(before) / 2)
	c.shift.Store(int64(database.Sub(middle)))
}

// now is the database's time, in microseconds: what history can store.
func (c *clock) now() time.Time {
	local := c.base.Add(time.Since(c.base)) // steps of the local wall clock do not show
	return local.Add(time.Duration(c.shift.Load())).UTC().Truncate(time.Microsecond)
}

// until is how long the local clock has to run before the database's shows t.
func (c *clock) until(t time.Time) time.Duration { return t.Sub(c.now()) }
