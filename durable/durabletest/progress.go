package durabletest

import "github.com/weir-dev/weir/durable"

// Progress is what the instance and its activities have said with durable.Progress, over all its generations.
func (r *Run[O]) Progress() []*durable.ProgressRecord {
	r.env.t.Helper()
	said, err := r.env.r.Progress(r.id)
	if err != nil {
		r.env.t.Fatalf("durabletest: %v", err)
	}
	out := make([]*durable.ProgressRecord, len(said))
	for n, p := range said {
		out[n] = r.env.host.Progress(p)
	}
	return out
}
