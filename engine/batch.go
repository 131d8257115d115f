package engine

import (
	"cmp"
	"slices"

	"github.com/weir-dev/weir/engine/history"
	"github.com/weir-dev/weir/engine/internal/store"
)

// assemble turns units into the statements of one batch. wakeIDs provides a River job id for each instance
// that may have to be woken.
func (l *lane) assemble(units []*unit, wakeIDs func(n int) ([]int64, error)) (*store.Batch, error) {
	b := &l.next
	b.Reset()
	b.WorkerNo, b.RiverChannel = l.no, l.db.RiverChannel()
	b.Lane = store.AdvanceLaneParams{WorkerNo: l.no, Lane: l.index, Inc: l.inc, Previous: l.batch}
	b.Jobs.Client = l.client
	b.Parks.Holder = l.no
	var wakes []int64
	// By number, so that B2 meets rows in the order of the locks; units of one instance stay in their order.
	slices.SortStableFunc(units, func(x, y *unit) int { return cmp.Compare(x.no, y.no) })
	for _, u := range units {
		wakes = u.add(b, wakes)
	}
	slices.Sort(b.Locks)
	b.Locks = slices.Compact(b.Locks)
	if slices.Equal(b.Locks, b.Turns.Nos) || len(units) == 1 && len(b.Locks) == 1 && units[0].comparesAndSets() {
		b.Locks = b.Locks[:0] // B2 is one statement that locks these rows in their order before it compares
	}
	slices.Sort(b.DeleteJobs)
	if len(wakes) > 0 {
		slices.Sort(wakes)
		b.Wakes.Nos = slices.Compact(wakes)
		ids, err := wakeIDs(len(b.Wakes.Nos))
		if err != nil {
			return nil, err
		}
		b.Wakes.Jobs = ids
	}
	for i, state := range b.Jobs.States {
		if state == "available" && !slices.Contains(b.RiverQueues, b.Jobs.Queues[i]) {
			b.RiverQueues = append(b.RiverQueues, b.Jobs.Queues[i])
		}
	}
	return b, nil
}

// add puts the unit's parts where the protocol wants them. Instances that may have to be woken are appended
// to wakes.
func (u *unit) add(b *store.Batch, wakes []int64) []int64 {
	if u.kind != unitPlain || u.tags != nil || len(u.tokens)+len(u.timersDue)+len(u.raises)+len(u.deliveries)+len(u.parks)+len(u.progress) > 0 {
		b.Locks = append(b.Locks, u.no)
	}
	u.addOwnRow(b)
	if u.count > 0 && u.kind != unitTerminate && u.kind != unitControl && u.kind != unitCancel {
		b.History.Nos = append(b.History.Nos, u.no)
		b.History.Seqs = append(b.History.Seqs, u.seq)
		b.History.Counts = append(b.History.Counts, u.count)
		b.History.Events = append(b.History.Events, u.events)
	}
	for _, id := range u.values {
		b.Values.Ids, b.Values.Nos, b.Values.Seqs = append(b.Values.Ids, id), append(b.Values.Nos, u.no), append(b.Values.Seqs, u.seq)
	}
	if u.cutBefore > 0 {
		b.Cuts.Nos = append(b.Cuts.Nos, u.no)
		b.Cuts.Befores = append(b.Cuts.Befores, u.cutBefore)
	}
	if u.tags != nil {
		b.Tags.Nos, b.Tags.Sets, b.Tags.Removes = append(b.Tags.Nos, u.no), append(b.Tags.Sets, u.tags.set), append(b.Tags.Removes, u.tags.remove)
		b.Tags.MaxTags = maxTags
	}
	for _, p := range u.purges {
		b.Locks = append(b.Locks, p.no)
		b.Purges.Nos, b.Purges.Masks = append(b.Purges.Nos, p.no), append(b.Purges.Masks, int32(p.mask))
		b.Purges.Answers = append(b.Purges.Answers, p.answer)
		if p.parent != 0 {
			b.Locks = append(b.Locks, p.parent)
			wakes = append(wakes, p.parent)
		}
	}
	if u.firing != nil {
		u.firing.add(b)
	}
	for i := range u.starts {
		wakes = u.starts[i].add(b, wakes)
	}
	if u.dropInbox {
		b.DropInboxes = append(b.DropInboxes, u.no)
	} else {
		for _, id := range u.consumed {
			b.Consumed.Nos = append(b.Consumed.Nos, u.no)
			b.Consumed.Ids = append(b.Consumed.Ids, id)
		}
	}
	wakes = u.addMessages(b, wakes)
	wakes = u.addFlow(b, wakes)
	u.addEntity(b)
	u.addStream(b)
	u.addTimers(b)
	u.addJobs(b)
	if u.kind == unitHandOver || u.kind == unitControl || u.kind == unitRestart {
		wakes = append(wakes, u.no)
	}
	if u.readInbox {
		b.Inboxes.Nos = append(b.Inboxes.Nos, u.no)
		b.Inboxes.Afters = append(b.Inboxes.Afters, u.readAfter)
	}
	return wakes
}

// addOwnRow is B2 and B8: what changes the instance's own row.
func (u *unit) addOwnRow(b *store.Batch) {
	switch u.kind {
	case unitPlain:
	case unitTurn, unitFinish:
		t := &b.Turns
		t.Nos, t.Bases, t.Epochs, t.Jobs = append(t.Nos, u.no), append(t.Bases, u.base), append(t.Epochs, u.epoch), append(t.Jobs, u.job)
		t.Seqs, t.CustomStatuses = append(t.Seqs, u.seq), append(t.CustomStatuses, u.customStatus)
		t.Suspensions = append(t.Suspensions, u.suspended)
		t.Statuses, t.Failures = append(t.Statuses, int16(u.status)), append(t.Failures, u.failure)
		ref, _ := u.output.Stored()
		t.Outputs, t.OutputRefs = append(t.Outputs, u.output.Inline()), append(t.OutputRefs, ref)
	case unitContinue:
		t := &b.Continues
		t.Nos, t.Bases, t.Epochs, t.Jobs = append(t.Nos, u.no), append(t.Bases, u.base), append(t.Epochs, u.epoch), append(t.Jobs, u.job)
		t.Seqs, t.CustomStatuses = append(t.Seqs, u.seq), append(t.CustomStatuses, u.customStatus)
		ref, _ := u.output.Stored()
		t.Inputs, t.InputRefs = append(t.Inputs, u.output.Inline()), append(t.InputRefs, ref)
		t.Versions = append(t.Versions, u.version)
	case unitClaim, unitHandOver:
		t := &b.Claims
		t.Nos, t.Bases, t.Epochs, t.Jobs = append(t.Nos, u.no), append(t.Bases, u.base), append(t.Epochs, u.epoch), append(t.Jobs, u.job)
		t.Waitings = append(t.Waitings, u.waiting)
	case unitHold:
		t := &b.Holds
		t.Nos, t.Bases, t.Epochs, t.Jobs = append(t.Nos, u.no), append(t.Bases, u.base), append(t.Epochs, u.epoch), append(t.Jobs, u.job)
		t.Helds = append(t.Helds, u.held)
	case unitRelease:
		t := &b.Releases
		t.Nos, t.Seqs, t.Epochs, t.Jobs = append(t.Nos, u.no), append(t.Seqs, u.base), append(t.Epochs, u.epoch), append(t.Jobs, u.turnJob)
		t.Claims, t.Waitings = append(t.Claims, u.job == 0), append(t.Waitings, u.waiting)
	case unitTakeOver:
		b.TakeOvers.Nos = append(b.TakeOvers.Nos, u.no)
		b.TakeOvers.Jobs = append(b.TakeOvers.Jobs, u.turnJob)
	case unitTerminate:
		t := &b.Terminates
		t.Nos, t.Counts, t.Events = append(t.Nos, u.no), append(t.Counts, u.count), append(t.Events, u.events)
		t.Outputs, t.Failures = append(t.Outputs, u.output.Inline()), append(t.Failures, u.failure)
		t.Children = append(t.Children, u.children)
		if u.children != nil && !slices.Contains(b.RiverQueues, SystemQueue) {
			b.RiverQueues = append(b.RiverQueues, SystemQueue)
		}
	case unitRestart:
		b.Restarts = append(b.Restarts, u.no)
	case unitControl:
		t := &b.Controls
		t.Nos, t.Kinds, t.Counts = append(t.Nos, u.no), append(t.Kinds, u.control.kind), append(t.Counts, u.count)
		t.Events, t.Payloads = append(t.Events, u.events), append(t.Payloads, u.control.payload)
		t.Suspensions = append(t.Suspensions, u.suspended)
	case unitCancel:
		t := &b.CancelPending
		t.Nos, t.Counts, t.Events, t.Failures = append(t.Nos, u.no), append(t.Counts, u.count), append(t.Events, u.events), append(t.Failures, u.failure)
	}
	if u.handsOver() {
		b.HandOvers.Nos = append(b.HandOvers.Nos, u.no)
		b.HandOvers.Waitings = append(b.HandOvers.Waitings, u.waiting)
		b.HandOvers.TurnJobs = append(b.HandOvers.TurnJobs, u.nextTurnJob)
		b.DeleteJobs = append(b.DeleteJobs, u.turnJob)
	}
}

// add is B3 and what belongs to it: the row, and its turn job or the timer of a delayed start.
func (s *start) add(b *store.Batch, wakes []int64) []int64 {
	t := &b.Starts
	t.Nos, t.Hubs, t.Ids = append(t.Nos, s.no), append(t.Hubs, s.hub), append(t.Ids, s.id)
	t.Names, t.Versions = append(t.Names, s.name), append(t.Versions, s.version)
	ref, _ := s.input.Stored()
	t.Inputs, t.InputRefs = append(t.Inputs, s.input.Inline()), append(t.InputRefs, ref)
	t.ParentNos, t.ParentGens, t.ParentTasks = append(t.ParentNos, s.parentNo), append(t.ParentGens, s.parentGen), append(t.ParentTasks, s.parentTask)
	t.TurnJobs, t.Tags = append(t.TurnJobs, s.turnJob), append(t.Tags, s.tags)
	t.Priorities = append(t.Priorities, s.priority)
	if s.trace != "" { // those without one are left out behind the last that has one, which is most often all: null in their place
		for len(t.Traces) < len(t.Nos)-1 {
			t.Traces = append(t.Traces, "")
		}
		t.Traces = append(t.Traces, s.trace)
	}
	t.ScheduledAts = append(t.ScheduledAts, s.scheduledAt)
	if s.turnJob == 0 {
		key := timerKey{taskKey{no: s.no}, timerStart}
		(&unit{timers: []newTimer{{timerKey: key, fireAt: s.scheduledAt}}}).addTimers(b)
		return wakes
	}
	addJob(b, startJob(s))
	return wakes
}

// addMessages is B6: everything that ends up in an inbox.
func (u *unit) addMessages(b *store.Batch, wakes []int64) []int64 {
	for _, t := range u.tokens {
		b.Tasks.Tokens, b.Tasks.Nos = append(b.Tasks.Tokens, t.token), append(b.Tasks.Nos, t.key.no)
		b.Tasks.Gens, b.Tasks.Tasks = append(b.Tasks.Gens, t.key.gen), append(b.Tasks.Tasks, t.key.task)
		b.Tasks.Payloads = append(b.Tasks.Payloads, t.payload)
		wakes = append(wakes, t.key.no)
	}
	for _, t := range u.timersDue {
		b.Locks = append(b.Locks, t.no)
		b.Timers.Nos, b.Timers.Gens = append(b.Timers.Nos, t.no), append(b.Timers.Gens, t.gen)
		b.Timers.Tasks, b.Timers.Kinds = append(b.Timers.Tasks, t.task), append(b.Timers.Kinds, t.kind)
		wakes = append(wakes, t.no)
	}
	for _, t := range u.retriesDue {
		b.Retries.Nos, b.Retries.Gens = append(b.Retries.Nos, t.no), append(b.Retries.Gens, t.gen)
		b.Retries.Tasks = append(b.Retries.Tasks, t.task)
	}
	for _, r := range u.raises {
		b.Raises.Nos, b.Raises.Keys = append(b.Raises.Nos, u.no), append(b.Raises.Keys, r.key)
		b.Raises.Payloads = append(b.Raises.Payloads, r.payload)
		b.Raises.Ords = append(b.Raises.Ords, int32(len(b.Raises.Ords)))
		wakes = append(wakes, u.no)
	}
	for _, d := range u.deliveries {
		b.Deliveries.Nos, b.Deliveries.Hubs = append(b.Deliveries.Nos, u.no), append(b.Deliveries.Hubs, d.hub)
		b.Deliveries.Targets = append(b.Deliveries.Targets, d.target)
		wakes = append(wakes, u.no)
	}
	for _, m := range u.messages {
		b.Locks = append(b.Locks, m.no)
		addMessage(b, m)
		if m.no != u.no || u.kind == unitPlain {
			wakes = append(wakes, m.no)
		}
	}
	for _, s := range u.sends {
		b.Sends.Hubs, b.Sends.Targets = append(b.Sends.Hubs, s.hub), append(b.Sends.Targets, s.target)
		b.Sends.Kinds = append(b.Sends.Kinds, s.kind)
		b.Sends.Payloads, b.Sends.Refs = append(b.Sends.Payloads, s.payload), append(b.Sends.Refs, s.ref)
	}
	return wakes
}

func addMessage(b *store.Batch, m message) {
	t := &b.Messages
	t.Nos, t.Gens, t.Tasks = append(t.Nos, m.no), append(t.Gens, m.gen), append(t.Tasks, m.task)
	t.Kinds, t.Payloads = append(t.Kinds, m.kind), append(t.Payloads, m.payload)
	t.Ords = append(t.Ords, int32(len(t.Ords)))
}

func (u *unit) addTimers(b *store.Batch) {
	for _, k := range u.cancels {
		b.Cancels.Nos, b.Cancels.Gens = append(b.Cancels.Nos, k.no), append(b.Cancels.Gens, k.gen)
		b.Cancels.Tasks = append(b.Cancels.Tasks, k.task)
	}
	if u.dropTimers {
		b.DropTimers = append(b.DropTimers, u.no)
	}
	for _, t := range u.timers {
		n := &b.NewTimers
		n.Nos, n.FireAts, n.Gens = append(n.Nos, t.no), append(n.FireAts, t.fireAt), append(n.Gens, t.gen)
		n.Tasks, n.Kinds, n.Holders = append(n.Tasks, t.task), append(n.Kinds, t.kind), append(n.Holders, t.holder)
	}
}

// addJobs is B7's part on River's table.
func (u *unit) addJobs(b *store.Batch) {
	if u.dropTasks {
		b.DropTasks = append(b.DropTasks, u.no)
	}
	b.DeleteJobs = append(b.DeleteJobs, u.deleteJobs...)
	for _, r := range u.replaces {
		b.Replaces.Olds, b.Replaces.News = append(b.Replaces.Olds, r.old), append(b.Replaces.News, r.fresh)
	}
	for _, p := range u.parks {
		t := &b.Parks
		t.Tokens, t.News, t.Nos = append(t.Tokens, p.token), append(t.News, p.fresh), append(t.Nos, p.key.no)
		t.Gens, t.Tasks = append(t.Gens, p.key.gen), append(t.Tasks, p.key.task)
		t.FireAts, t.Errors = append(t.FireAts, p.fireAt), append(t.Errors, p.err)
	}
	for _, j := range u.jobs {
		addJob(b, j)
	}
}

func addJob(b *store.Batch, j job) {
	t := &b.Jobs
	t.Ids, t.States, t.Attempts = append(t.Ids, j.id), append(t.States, j.state), append(t.Attempts, j.attempt)
	t.Priorities, t.Kinds, t.Queues = append(t.Priorities, j.priority), append(t.Kinds, j.kind), append(t.Queues, j.queue)
	t.Args, t.Errors, t.UniqueKeys = append(t.Args, j.args), append(t.Errors, j.err), append(t.UniqueKeys, j.key)
	t.MaxAttempts = append(t.MaxAttempts, j.max)
}

// change tells the feed what a unit did to an instance.
type change struct {
	no     int64
	seq    int64
	status history.Status
	// progress says that there is progress; with the seq sameSeq, that there is nothing else.
	progress bool
	// output is what a completed instance returned, where it is told with the change; else absent.
	output history.Payload
}

// sameSeq stands for the seq of a change that is not of the instance's history or row.
const sameSeq = -1

// and is what a change and a later one of the same instance come to.
func (c change) and(later change) change {
	if later.seq == sameSeq {
		c.progress = true
		return c
	}
	later.progress = later.progress || c.progress
	return later
}

// maxToldOutput is how large an output may be to be told with the end of its instance, which saves those who wait
// for it from reading it; and maxToldOutputs, of how many instances one notification tells the outputs.
const (
	maxToldOutput  = 256
	maxToldOutputs = 8
)

// ends are those of the changes that end instances. The outputs of many are left out: their notification would
// become too long to name them all.
func ends(changes []change) []change {
	ended := slices.DeleteFunc(changes, func(c change) bool { return c.status.Live() })
	if len(ended) > maxToldOutputs {
		for i := range ended {
			ended[i].output = history.Payload{}
		}
	}
	return ended
}

// changes lists what watchers of the feed would see of the units.
func changes(units []*unit) []change {
	var out []change
	for _, u := range units {
		switch u.kind {
		case unitTurn, unitContinue:
			out = append(out, change{no: u.no, seq: u.seq, status: u.status, progress: u.progress != nil}) // continued, it runs
		case unitRestart:
			if u.seq > 0 { // else it had not ended
				out = append(out, change{no: u.no, seq: u.seq, status: history.Pending})
			}
		case unitControl:
			if u.seq > 0 { // else its session is told, and changes it
				out = append(out, change{no: u.no, seq: u.seq, status: u.status})
			}
		case unitFinish:
			c := change{no: u.no, seq: u.seq, status: u.status, progress: u.progress != nil}
			if _, elsewhere := u.output.Stored(); u.status == history.Completed && !elsewhere && u.output.Size() <= maxToldOutput {
				c.output = u.output
			}
			out = append(out, c)
		case unitPlain:
			if u.progress != nil {
				out = append(out, change{no: u.no, seq: sameSeq, progress: true})
			}
		case unitTerminate, unitCancel:
			out = append(out, change{no: u.no, seq: u.seq, status: u.status})
		case unitHold, unitRelease, unitClaim, unitHandOver:
			if u.waiting != nil || u.held != nil {
				out = append(out, change{no: u.no, seq: u.base, status: history.Running})
			}
		}
		if u.tags != nil { // how the instance stands is not known here, and is read again
			out = append(out, change{no: u.no, status: history.Running})
		}
		for _, p := range u.purges { // whoever looks finds out what it is at
			out = append(out, change{no: p.no, status: history.Terminated})
		}
		for i := range u.starts {
			out = append(out, change{no: u.starts[i].no, status: history.Pending})
		}
	}
	return out
}
