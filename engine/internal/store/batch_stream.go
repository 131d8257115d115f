package store

import "context"

// queueProgress queues B4's part beside the history.
func (b *Batch) queueProgress(ctx context.Context, s *sending) {
	if len(b.Progress.Nos) > 0 {
		s.r.Progress = map[int64]bool{}
		ask(s.q.AppendProgress(ctx, s.rows(marks(s.r.Progress)), b.Progress))
	}
}
