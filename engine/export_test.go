package engine

import "context"

// ForgetSchedules is what the leader does once a minute.
func (n *Node) ForgetSchedules(ctx context.Context) error { return n.forgetSchedules(ctx) }
