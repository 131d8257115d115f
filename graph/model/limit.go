package model

import "github.com/weir-dev/weir/engine"

// Limit is a limit of a hub, and how it stands.
type Limit struct{ *engine.LimitState }

// TaskHub is the hub it is of.
func (l *Limit) TaskHub() *TaskHub { return &TaskHub{l.Hub} }

// Concurrency is null when it bounds none.
func (l *Limit) Concurrency() *int32 { return bound(l.LimitState.Concurrency) }

// Rate is null when it bounds none.
func (l *Limit) Rate() *int32 { return bound(l.LimitState.Rate) }

// Period is that of the rate.
func (l *Limit) Period() *string {
	if l.LimitState.Rate == 0 {
		return nil
	}
	return optional(l.LimitState.Period.String())
}

// Burst is null without a rate.
func (l *Limit) Burst() *int32 { return bound(l.LimitState.Burst) }

// Holding is how many calls are under way.
func (l *Limit) Holding() int32 { return int32(l.LimitState.Holding) }

// Waiting is how many calls wait to be.
func (l *Limit) Waiting() int32 { return int32(l.LimitState.Waiting) }

func bound(n int) *int32 {
	if n == 0 {
		return nil
	}
	v := int32(n)
	return &v
}
