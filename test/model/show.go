package model

import (
	"fmt"
	"strings"
)

var (
	statusNames  = [...]string{"absent", "PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "FAILED", "TERMINATED", "purged"}
	messageNames = [...]string{"", "start", "event", "result", "suspend", "resume", "rewound"}
	taskNames    = [...]string{"-", "scheduled", "done"}
	jobNames     = [...]string{"", "turn", "task", "deliver"}
	kindNames    = [...]string{"", "local", "River", "Tx local", "Tx River", "timer", "child"}
	jobStates    = [...]string{"", "available", "running", "scheduled", "completed"}
	phaseNames   = [...]string{"", "fetched", "open", "to reload", "of unknown outcome"}
	unitNames    = [...]string{"", "a turn", "a claim", "a promotion", "an export", "a park", "a release", "a hand-over", "a hold"}
	localNames   = [...]string{"", "queued", "running", "finished", "failed"}
	callNames    = [...]string{"", "handed over", "running", "returned early", "of unknown outcome"}
)

func (l label) String() string {
	return strings.NewReplacer(
		"{w}", fmt.Sprintf("w%d", l.worker+1), "{i}", fmt.Sprintf("i%d", l.instance), "{what}", l.what,
	).Replace(l.text)
}

// show describes a state in a counterexample.
func (p *protocol) show(s *state) string {
	var out strings.Builder
	for i := range s.instances {
		if s.instances[i].status != statusAbsent {
			s.instances[i].show(&out, i)
		}
	}
	for _, j := range s.jobs {
		if j.id == 0 {
			continue
		}
		fmt.Fprintf(&out, "        row %d: %s of i%d", j.id, jobNames[j.kind], j.inst)
		if j.kind == jobTask {
			fmt.Fprintf(&out, ", task %d gen %d", j.task, j.gen)
		}
		fmt.Fprintf(&out, ", %s", jobStates[j.state])
		if j.by != 0 {
			fmt.Fprintf(&out, " by w%d", j.by)
		}
		out.WriteByte('\n')
	}
	for _, row := range s.outbox {
		if row.used {
			fmt.Fprintf(&out, "        outbox: event %d for i%d\n", row.number, row.inst)
		}
	}
	for w := range s.workers {
		if wk := &s.workers[w]; wk.up || wk.alive {
			wk.show(&out, w)
		}
	}
	return out.String()
}

func (inst *instance) show(out *strings.Builder, i int) {
	fmt.Fprintf(out, "        i%d: %s seq=%d epoch=%d gen=%d owner=%d turn_job=%d; history: gen %d, tasks", i,
		statusNames[inst.status], inst.seq, inst.epoch, inst.gen, inst.owner, inst.turnJob, inst.history.gen)
	for _, t := range inst.history.tasks {
		fmt.Fprintf(out, " %s", taskNames[t])
	}
	fmt.Fprintf(out, ", %d events up to %d; inbox:", inst.history.events, inst.history.lastEvent)
	for _, msg := range inst.inbox {
		switch msg.kind {
		case noMessage:
		case messageResult:
			fmt.Fprintf(out, " %d=result(task %d, gen %d)", msg.id, msg.task, msg.gen)
		case messageEvent:
			fmt.Fprintf(out, " %d=event(%d)", msg.id, msg.event)
		case messageStart:
			fmt.Fprintf(out, " %d=start(gen %d, carries %d)", msg.id, msg.gen, msg.carried)
		default:
			fmt.Fprintf(out, " %d=%s", msg.id, messageNames[msg.kind])
		}
	}
	if inst.timers != [maxTasks]genSet{} || inst.retries != [maxTasks]genSet{} {
		fmt.Fprintf(out, "; timers by generation %03b, retries %03b", inst.timers, inst.retries)
	}
	out.WriteByte('\n')
}

func (wk *worker) show(out *strings.Builder, w int) {
	fmt.Fprintf(out, "        w%d:", w+1)
	flag := func(on bool, text string) {
		if on {
			out.WriteString(" " + text)
		}
	}
	flag(!wk.up, "(killed)")
	flag(!wk.alive, "(fenced)")
	flag(wk.draining, "(draining)")
	flag(wk.unfit, "(unfit)")
	for i := range wk.sessions {
		sess := &wk.sessions[i]
		if sess.phase != sessionNone {
			fmt.Fprintf(out, " session(i%d %s, job %d", i, phaseNames[sess.phase], sess.job)
			if sess.phase == sessionOpen {
				fmt.Fprintf(out, ", seq=%d epoch=%d read=%d claimed=%v", sess.seq, sess.epoch, sess.read, sess.claimed)
			}
			flag(sess.redispatch != 0, fmt.Sprintf("redispatch=%b", sess.redispatch))
			for n := range sess.inFlight() {
				flag(true, unitNames[sess.units[n].kind]+" in flight")
			}
			out.WriteByte(')')
		}
		for t, loc := range wk.locals[i] {
			if loc.phase != localNone {
				fmt.Fprintf(out, " local(i%d task %d gen %d %s, row %d)", i, t, loc.gen, localNames[loc.phase], loc.token)
			}
		}
		flag(wk.wake[i], fmt.Sprintf("wake-up(i%d)", i))
	}
	if wk.call.phase != callNone {
		fmt.Fprintf(out, " works(row %d %s)", wk.call.job, callNames[wk.call.phase])
	}
	for _, r := range wk.returned {
		flag(r.job != 0, fmt.Sprintf("returned(row %d)", r.job))
	}
	out.WriteByte('\n')
}
