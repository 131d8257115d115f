package engine

import "github.com/weir-dev/weir/engine/history"

// Progress is what an instance and its activities have said of how far they are, over all its generations. Errors:
// NOT_FOUND.
func (r *Rehearsal) Progress(id string) ([]Progress, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.instances[id]
	if i == nil {
		return nil, instanceNotFound(id)
	}
	return append([]Progress{}, i.progress...), nil
}

// progressed appends records. The caller holds the lock.
func (i *rehearsed) progressed(p Progress) {
	p.Seq = int64(len(i.progress)) + 1
	i.progress = append(i.progress, p)
}

// said appends what the code said in a turn.
func (r *Rehearsal) said(i *rehearsed, values []history.Payload) {
	for _, v := range values {
		i.progressed(Progress{At: r.now, Generation: int(i.state.gen), Task: ofTheCode, Value: v})
	}
}

// progress is what Task.Progress does in a rehearsal.
func (t *rehearsedTask) progress(v history.Payload) error {
	if err := t.r.checks.checkPayload("value", v); err != nil {
		return err
	}
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	if !t.instance.instance.Status.Live() || t.gen != t.instance.state.gen {
		return notWaited(t.event.ID, t.task.InstanceID)
	}
	t.instance.progressed(Progress{
		At: t.r.now, Generation: int(t.gen), Task: t.event.ID, Name: t.event.Name, Attempt: t.task.Attempt, Value: v,
	})
	return nil
}
