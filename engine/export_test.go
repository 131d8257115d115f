package engine

import (
	"context"
	"time"
)

// ForgetSchedules is what the leader does once a minute.
func (n *Node) ForgetSchedules(ctx context.Context) error { return n.forgetSchedules(ctx) }

// Tidy is what the leader does once a minute.
func (n *Node) Tidy(ctx context.Context) error { return n.tidy(ctx) }

// RetainRound is what the leader does, likewise once a minute; nobody else does anything.
func (n *Node) RetainRound(ctx context.Context) error { return n.retainRound(ctx) }

// Leads tells whether the node is the leader.
func (n *Node) Leads() bool { return n.isLeader() }

// SetRest has fn take the place of the rests of operations and retention. To be called before Run.
func (n *Node) SetRest(fn func(ctx context.Context, d time.Duration) error) { n.rest = fn }

// RestAfter is how long an operation rests after a page, of which the fastest took so long for each instance.
func RestAfter(fastest, took time.Duration, acted, perSecond int) time.Duration {
	p := pace{best: fastest}
	return p.restAfter(took, acted, perSecond)
}
