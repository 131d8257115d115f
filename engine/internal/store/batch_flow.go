package store

import "context"

// FlowBatch is the part of a batch that bounds calls.
type FlowBatch struct {
	Deadlines FireDeadlinesParams
	Settled   SettleTasksParams
}

// queueMessages queues B6.
func (f *FlowBatch) queueMessages(ctx context.Context, s *sending) {
	if len(f.Deadlines.Nos) > 0 {
		ask(s.q.FireDeadlines(ctx, s.rows(counts(s.r.Delivered)), f.Deadlines))
	}
}

// queueEffects queues B7.
func (f *FlowBatch) queueEffects(ctx context.Context, s *sending) {
	if len(f.Settled.Nos) > 0 {
		do(s.q.SettleTasks(ctx, s.db, f.Settled))
	}
}
