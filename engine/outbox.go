package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/weir-dev/weir/engine/logkey"
)

// outgoing is a delivery from the outbox that a unit asks for, and the River job that stands for it.
type outgoing struct {
	delivery
	job int64
}

// send puts a message to another instance into the outbox, so that this commit need not lock that. Once it has landed
// this process delivers; the River job in its name is for whoever finds it dead.
func (s *session) send(ctx context.Context, u *unit, m send) error {
	told := slices.ContainsFunc(u.sends, func(x send) bool { return x.target == m.target })
	u.sends = append(u.sends, m)
	if told {
		return nil
	}
	id, err := s.n.e.jobIDs.one(ctx)
	if err != nil {
		return err
	}
	to := delivery{m.hub, m.target}
	u.jobs = append(u.jobs, deliverJob(id, to))
	u.outgoing = append(u.outgoing, outgoing{to, id})
	return nil
}

func deliverJob(id int64, to delivery) job {
	args, err := json.Marshal(map[string]any{"hub": to.hub, "target": to.target})
	if err != nil {
		panic(err) // a number and checked text
	}
	return job{id: id, state: "running", attempt: 1, priority: 1, kind: DeliverKind, queue: SystemQueue, args: args, max: unlimited}
}

// deliverSoon delivers what has just been put into the outbox.
func (n *Node) deliverSoon(list []outgoing) {
	for _, o := range list {
		n.e.work.Go(func() {
			for wait := 20 * time.Millisecond; n.ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
				err := n.Deliver(n.ctx, o.hub, o.target, o.job)
				if err == nil || errors.Is(err, ErrFenced) {
					return
				}
				n.log.WarnContext(n.ctx, "deliver from the outbox", logkey.Instance, o.target, logkey.Err, err)
				select {
				case <-n.ctx.Done():
				case <-time.After(wait):
				}
			}
		})
	}
}

// Deliver moves the messages that wait in the outbox for an instance into its inbox, and deletes the River job
// that asked for it. It may run twice at once. An entity is made if there is none.
func (n *Node) Deliver(ctx context.Context, hub int32, target string, jobID int64) error {
	no, err := n.e.find(ctx, instanceName{hub, target})
	for errors.Is(err, ErrNotFound) && isEntity(target) {
		var id EntityID
		if id, err = ParseEntityID("target", target); err != nil {
			break
		}
		no, err = n.e.newEntity(ctx, &Hub{no: hub}, id, "", nil)
		if errors.Is(err, errLive) {
			no, err = n.e.find(ctx, instanceName{hub, target})
		}
	}
	if errors.Is(err, ErrNotFound) {
		no, err = 0, nil
	}
	if err != nil {
		return err
	}
	answer := make(chan outcome, 1)
	n.lane.submit(&unit{no: no, deliveries: []delivery{{hub, target}}, deleteJobs: []int64{jobID}, done: func(_ *unit, o outcome) { answer <- o }})
	select {
	case o := <-answer:
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
