package store

import "context"

// FlowBatch is the part of a batch that bounds calls.
type FlowBatch struct {
	Deadlines FireDeadlinesParams
	Settled   SettleTasksParams
	Limited   InsertLimitCallsParams
	Freed     FreeLimitCallsParams
}

// Bucket is a limit, or that part of it which calls with one key share.
type Bucket struct {
	Hub  int32
	Name string
	Key  string
}

// free notes a bucket; hub 0 is none.
func (r *Result) free(b Bucket) {
	if b.Hub != 0 {
		r.Waiting = append(r.Waiting, b)
	}
}

// queueMessages queues B6.
func (f *FlowBatch) queueMessages(ctx context.Context, s *sending) {
	if len(f.Deadlines.Nos) > 0 {
		ask(s.q.FireDeadlines(ctx, s.rows(each(func(row FireDeadlinesRow) {
			if row.InstanceNo != 0 {
				s.r.Delivered[row.InstanceNo]++
			}
			s.r.free(Bucket{row.Hub, row.Name, row.Key})
		})), f.Deadlines))
	}
}

// queueEffects queues B7.
func (f *FlowBatch) queueEffects(ctx context.Context, s *sending) {
	if len(f.Settled.Nos) > 0 {
		do(s.q.SettleTasks(ctx, s.db, f.Settled))
	}
}

// queueLimits queues the rest of B7, once River's rows are what they are to be.
func (f *FlowBatch) queueLimits(ctx context.Context, s *sending) {
	if len(f.Limited.Nos) > 0 {
		do(s.q.InsertLimitCalls(ctx, s.db, f.Limited))
	}
	if len(f.Freed.Nos) > 0 {
		ask(s.q.FreeLimitCalls(ctx, s.rows(each(func(row FreeLimitCallsRow) { s.r.free(Bucket(row)) })), f.Freed))
	}
}
