package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// Reason says, in words, why an instance is not further than it is. It is put together from what the database
// knows: the instance's row, the River rows of its tasks, and what the workers that live can run.
type Reason struct {
	Kind    ReasonKind
	Parts   []ReasonPart
	Since   *time.Time
	Until   *time.Time
	Subject string
}

// ReasonKind classes reasons.
type ReasonKind string

// The kinds of reasons.
const (
	ReasonEnded         ReasonKind = "ENDED"
	ReasonHeld          ReasonKind = "HELD"
	ReasonSuspended     ReasonKind = "SUSPENDED"
	ReasonScheduled     ReasonKind = "SCHEDULED"
	ReasonNoWorker      ReasonKind = "NO_WORKER"
	ReasonQueued        ReasonKind = "QUEUED"
	ReasonEvent         ReasonKind = "EVENT"
	ReasonTimer         ReasonKind = "TIMER"
	ReasonActivity      ReasonKind = "ACTIVITY"
	ReasonRetry         ReasonKind = "RETRY"
	ReasonOrchestration ReasonKind = "ORCHESTRATION"
	ReasonEntity        ReasonKind = "ENTITY"
	ReasonLock          ReasonKind = "LOCK"
	ReasonLimit         ReasonKind = "LIMIT"
	ReasonDeadLetter    ReasonKind = "DEAD_LETTER"
	ReasonRunning       ReasonKind = "RUNNING"
)

// ReasonPart is a piece of the sentence: text, or a time that the reader's side formats.
type ReasonPart struct {
	Text   string
	Strong bool
	At     *time.Time
	// Since shows At as the time that has passed since.
	Since bool
}

// Text is the reason as plain text; times are UTC.
func (r *Reason) Text(now time.Time) string {
	var b strings.Builder
	for _, p := range r.Parts {
		switch {
		case p.At == nil:
			b.WriteString(p.Text)
		case p.Since:
			b.WriteString(Span(now.Sub(*p.At)))
		default:
			b.WriteString(p.At.UTC().Format("2006-01-02 15:04:05 UTC"))
		}
	}
	return b.String()
}

// Span writes a duration in at most two units: "310 ms", "4.18 s", "3 h 12 min".
func Span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return twoUnits(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 24*time.Hour:
		return twoUnits(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return twoUnits(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func twoUnits(a int, unitA string, b int, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, unitA)
	}
	return fmt.Sprintf("%d %s %d %s", a, unitA, b, unitB)
}

func say(text string) ReasonPart { return ReasonPart{Text: text} }

func strong(text string) ReasonPart { return ReasonPart{Text: text, Strong: true} }

func at(t time.Time) ReasonPart { return ReasonPart{At: &t, Strong: true} }

func since(t time.Time) ReasonPart { return ReasonPart{At: &t, Since: true} }

// PendingTask is an activity or step without a result, as River and the workers know it.
type PendingTask struct {
	ID            int32
	Name          string
	Version       string
	State         TaskState
	Attempt       int
	StartedAt     *time.Time
	NextAttemptAt *time.Time
	LastError     string
	Worker        string

	limit  *limitWait
	deaths *deaths
}

// TaskState is where a pending task stands.
type TaskState string

// The states of a pending task.
const (
	TaskQueued   TaskState = "QUEUED"
	TaskRunning  TaskState = "RUNNING"
	TaskRetrying TaskState = "RETRYING"
	TaskNoWorker TaskState = "NO_WORKER"
	// TaskLimited waits to be let through its limit.
	TaskLimited TaskState = "LIMITED"
	// TaskDead is a dead letter: it waits to be redriven.
	TaskDead TaskState = "DEAD_LETTER"
)

// Explain says why an instance is not further, exactly: it reads its tasks' rows, and its history if no summary
// of what it waits for has been written since its last turn.
func (e *Engine) Explain(ctx context.Context, i *Instance) (*Reason, error) {
	f, err := e.facts(ctx, i)
	if err != nil {
		return nil, err
	}
	return f.reason(), nil
}

// PendingTasks lists the activities and steps of an instance that have no result, in the order in which they
// were scheduled.
func (e *Engine) PendingTasks(ctx context.Context, i *Instance) ([]PendingTask, error) {
	f, err := e.facts(ctx, i)
	if err != nil {
		return nil, err
	}
	out := make([]PendingTask, 0, len(f.tasks))
	for _, t := range f.tasks {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b PendingTask) int { return int(a.ID - b.ID) })
	return out, nil
}

// reason puts the sentence together.
func (f *facts) reason() *Reason {
	i := f.instance
	switch {
	case !i.Status.Live():
		return ended(i)
	case i.Suspended != nil:
		return suspended(i)
	case f.turnDeaths != nil:
		return f.turnDeaths.reason()
	case i.Held != nil:
		return &Reason{Kind: ReasonHeld, Since: &i.UpdatedAt, Parts: []ReasonPart{
			say("Held: "), strong(i.Held.Message), say(". Nothing is lost; it is tried again when a worker with other code comes, and every few minutes."),
		}}
	case i.StartedAt == nil && i.ScheduledAt != nil && i.ScheduledAt.After(time.Now()) && !i.Queued:
		return &Reason{Kind: ReasonScheduled, Until: i.ScheduledAt, Parts: []ReasonPart{say("Starts at "), at(*i.ScheduledAt), say(".")}}
	case i.Queued:
		return f.queued()
	}
	r := f.waits()
	if c := f.canceling; c != nil { // its code has been told, and does this all the same
		r.Parts = append(r.Parts, say(" It was asked to end "), since(c.At), say(" ago"))
		if c.By != "" {
			r.Parts = append(r.Parts, say(" by "), strong(c.By))
		}
		if c.Reason != "" {
			r.Parts = append(r.Parts, say(": "), strong(c.Reason))
		}
		r.Parts = append(r.Parts, say("."))
	}
	return r
}

// suspended tells by whom, why and for how long.
func suspended(i *Instance) *Reason {
	s := i.Suspended
	r := &Reason{Kind: ReasonSuspended, Since: &s.At, Subject: s.By, Parts: []ReasonPart{say("Suspended for "), since(s.At)}}
	if s.By != "" {
		r.Parts = append(r.Parts, say(" by "), strong(s.By))
	}
	if s.Reason != "" {
		r.Parts = append(r.Parts, say(": "), strong(s.Reason))
	}
	r.Parts = append(r.Parts, say(". What it waits for is kept until it is resumed."))
	return r
}

// ended tells how an instance has ended.
func ended(i *Instance) *Reason {
	r := &Reason{Kind: ReasonEnded, Since: i.CompletedAt}
	took := ""
	if i.CompletedAt != nil {
		took = " after " + Span(i.CompletedAt.Sub(i.CreatedAt))
	}
	switch i.Status {
	case history.Completed:
		r.Parts = []ReasonPart{say("Completed" + took + ".")}
	case history.Failed:
		r.Parts = []ReasonPart{say("Failed" + took)}
		if i.Failure != nil {
			r.Parts = append(r.Parts, say(": "), strong(i.Failure.Message))
		}
		r.Parts = append(r.Parts, say("."))
	case history.Terminated, history.Canceled:
		word := map[history.Status]string{history.Terminated: "Terminated", history.Canceled: "Canceled"}[i.Status]
		r.Parts = []ReasonPart{say(word + took)}
		if i.Failure != nil {
			if reason, ok := strings.CutPrefix(i.Failure.Message, strings.ToLower(word)+": "); ok {
				r.Parts = append(r.Parts, say(": "), strong(reason))
			}
		}
		r.Parts = append(r.Parts, say("."))
	default:
		r.Parts = []ReasonPart{say("Ended as " + i.Status.String() + took + ".")}
	}
	return r
}

func label(name, version string) string {
	if version == "" {
		return name
	}
	return name + " " + version
}

// queued explains an instance whose turn is due and not taken up.
func (f *facts) queued() *Reason {
	i := f.instance
	served := slices.ContainsFunc(f.workers, func(w WorkerInfo) bool { return w.Accepts(i.Name, i.Version) })
	what := "Not started"
	if i.StartedAt != nil {
		what = "Cannot go on"
	}
	if others := f.otherVersions(); !served && others != nil {
		return &Reason{Kind: ReasonNoWorker, Since: &i.UpdatedAt, Subject: i.Name, Parts: []ReasonPart{
			say(what + ": no worker for "), strong(versionText(i.Version)), say(" of "), strong(i.Name), say("; there are workers for " + strings.Join(others, ", ") + "."),
		}}
	}
	if !served {
		return &Reason{Kind: ReasonNoWorker, Since: &i.UpdatedAt, Subject: i.Name, Parts: []ReasonPart{
			say(what + ": no worker accepts "), strong(label(i.Name, i.Version)), say("."),
		}}
	}
	return &Reason{Kind: ReasonQueued, Since: &i.UpdatedAt, Subject: i.Name, Parts: []ReasonPart{
		say("Queued for "), since(i.UpdatedAt), say(": the workers that accept "), strong(label(i.Name, i.Version)), say(" are busy."),
	}}
}

// otherVersions says which versions of the instance's orchestration the workers take that have it.
func (f *facts) otherVersions() []string {
	var out []string
	for n := range f.workers {
		if text := f.workers[n].describe(f.instance.Name); text != "" && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out
}

// waits explains an instance by what it waits for.
func (f *facts) waits() *Reason {
	w, i := f.waiting, f.instance
	if w == nil {
		return f.atWork()
	}
	r := &Reason{Since: &w.Since}
	switch {
	case len(w.Events) > 0:
		r.Kind, r.Subject = ReasonEvent, w.Events[0]
		r.Parts = append(r.Parts, say("Waits for event "))
		for n, name := range w.Events {
			if n > 0 {
				r.Parts = append(r.Parts, say(" or "))
			}
			r.Parts = append(r.Parts, strong(name))
		}
		r.Parts = append(r.Parts, say(" for "), since(w.Since), say("."))
		if w.Timer != nil {
			r.Until = w.Timer
			r.Parts = append(r.Parts, say(" Times out at "), at(*w.Timer), say("."))
		}
		f.tasksOf(r, w, " Meanwhile ")
	case w.Count > 0:
		f.tasksOf(r, w, "")
		if w.Timer != nil {
			r.Until = w.Timer
			r.Parts = append(r.Parts, say(" A timer fires at "), at(*w.Timer), say("."))
		}
	case w.Timer != nil:
		r.Kind, r.Until = ReasonTimer, w.Timer
		r.Parts = []ReasonPart{say("Sleeps until "), at(*w.Timer), say(".")}
	case i.Owner != 0:
		return f.atWork()
	default:
		r.Kind = ReasonEvent
		r.Parts = []ReasonPart{say("Waits for an event for "), since(w.Since), say(".")}
	}
	return r
}

func (f *facts) atWork() *Reason {
	r := &Reason{Kind: ReasonRunning, Since: &f.instance.UpdatedAt, Parts: []ReasonPart{say("Runs")}}
	if name := f.nameOf(f.instance.Owner); name != "" {
		r.Subject = name
		r.Parts = append(r.Parts, say(" on worker "), strong(name))
	}
	r.Parts = append(r.Parts, say("."))
	return r
}

// tasksOf adds what is pending: the most telling task in words, of the others the number.
func (f *facts) tasksOf(r *Reason, w *Waiting, lead string) {
	if w.Count == 0 {
		return
	}
	first := f.mostTelling(w)
	kind, parts := f.describe(first, lead)
	if r.Kind == "" {
		r.Kind, r.Subject = kind, first.Name
	}
	r.Parts = append(r.Parts, parts...)
	if t, ok := f.tasks[first.ID]; ok && r.Until == nil {
		r.Until = t.NextAttemptAt
	}
	switch {
	case w.Count == 2:
		r.Parts = append(r.Parts, say(" 1 more is pending."))
	case w.Count > 2:
		r.Parts = append(r.Parts, say(fmt.Sprintf(" %d more are pending.", w.Count-1)))
	}
}

// mostTelling picks the task to name: one that nobody can run, else one that has failed, else the oldest.
func (f *facts) mostTelling(w *Waiting) WaitingTask {
	for _, state := range []TaskState{TaskDead, TaskNoWorker, TaskRetrying, TaskLimited} {
		for _, t := range w.Tasks {
			if f.tasks[t.ID].State == state {
				return t
			}
		}
	}
	return w.Tasks[0]
}

func (f *facts) describe(t WaitingTask, lead string) (ReasonKind, []ReasonPart) {
	verb := func(up, down string) ReasonPart {
		if lead == "" {
			return say(up)
		}
		return say(lead + down)
	}
	if t.Kind == "orchestration" {
		return ReasonOrchestration, []ReasonPart{
			verb("Waits for orchestration ", "it waits for orchestration "), strong(t.Name), say(" (" + t.Instance + ") for "), since(t.Since), say("."),
		}
	}
	if t.Kind == "operation" || t.Kind == "lock" {
		return f.describeEntity(t, verb)
	}
	p, known := f.tasks[t.ID]
	switch {
	case known && p.State == TaskNoWorker:
		return ReasonNoWorker, []ReasonPart{verb("No worker accepts activity ", "no worker accepts activity "), strong(label(t.Name, p.Version)), say(".")}
	case known && p.deaths != nil:
		return p.deaths.describe(verb("Activity ", "activity "), strong(t.Name))
	case known && p.State == TaskRetrying:
		parts := []ReasonPart{verb("Activity ", "activity "), strong(t.Name), say(fmt.Sprintf(" failed %d times", p.Attempt))}
		if p.Attempt == 1 {
			parts[2] = say(" failed")
		}
		if p.LastError != "" {
			parts = append(parts, say(": "+firstLine(p.LastError)))
		}
		parts = append(parts, say("."))
		if p.NextAttemptAt != nil {
			parts = append(parts, say(" The next attempt is at "), at(*p.NextAttemptAt), say("."))
		}
		return ReasonRetry, parts
	case known && p.State == TaskLimited:
		return describeLimit(p, t, verb)
	case known && p.State == TaskQueued:
		return ReasonQueued, []ReasonPart{verb("Activity ", "activity "), strong(t.Name), say(" is queued for "), since(t.Since), say(".")}
	}
	parts := []ReasonPart{verb("Runs "+t.Kind+" ", t.Kind+" "), strong(t.Name)}
	if lead != "" {
		parts = append(parts, say(" runs"))
	}
	parts = append(parts, say(" for "), since(t.Since))
	if known && p.Attempt > 1 {
		parts = append(parts, say(fmt.Sprintf(", attempt %d", p.Attempt)))
	}
	return ReasonActivity, append(parts, say("."))
}

// describeEntity says what of an entity is waited for, and who keeps it busy.
func (f *facts) describeEntity(t WaitingTask, verb func(up, down string) ReasonPart) (ReasonKind, []ReasonPart) {
	if t.Kind == "lock" {
		parts := []ReasonPart{verb("Waits for the lock of ", "it waits for the lock of "), strong(strings.Join(t.Locks, ", ")), say(" for "), since(t.Since)}
		for _, id := range t.Locks {
			if holder := f.holders[id]; holder != "" && holder != f.instance.ID {
				return ReasonLock, append(parts, say("; "), strong(id), say(" is locked by "), strong(holder), say("."))
			}
		}
		return ReasonLock, append(parts, say("."))
	}
	id, err := ParseEntityID("entity", t.Instance)
	if err == nil && !f.has(id.Name) {
		return ReasonNoWorker, []ReasonPart{verb("No worker has entity ", "no worker has entity "), strong(id.Name), say(" (" + t.Instance + ").")}
	}
	parts := []ReasonPart{verb("Waits for operation ", "it waits for operation "), strong(t.Name), say(" of "), strong(t.Instance), say(" for "), since(t.Since)}
	if holder := f.holders[t.Instance]; holder != "" && holder != f.instance.ID {
		return ReasonLock, append(parts, say("; it is locked by "), strong(holder), say("."))
	}
	return ReasonEntity, append(parts, say("."))
}

// has tells whether a worker that lives has the entity.
func (f *facts) has(entity string) bool {
	return slices.ContainsFunc(f.workers, func(w WorkerInfo) bool { return slices.Contains(w.Entities, entity) })
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	if len(line) > 200 {
		return strings.ToValidUTF8(line[:200], "") + "…"
	}
	return line
}

// Short is the reason in a few words, for lists, from what the row alone tells; "" if there is nothing to say. It
// names points in time but no durations: lists show it as it was read, and a duration would stand still there.
func (i *Instance) Short(served func(Definition) bool, now time.Time) string {
	w := i.Waiting
	switch {
	case !i.Status.Live():
		if i.Failure != nil && i.Status != history.Completed {
			return firstLine(i.Failure.Message)
		}
		return ""
	case i.Suspended != nil && i.Suspended.Reason != "":
		return "suspended: " + firstLine(i.Suspended.Reason)
	case i.Suspended != nil:
		return "suspended"
	case i.Held != nil:
		return "held: " + firstLine(i.Held.Message)
	case i.Queued && !served(Definition{Name: i.Name, Version: i.Version}):
		return "no worker accepts " + label(i.Name, i.Version)
	case i.StartedAt == nil && i.ScheduledAt != nil && i.ScheduledAt.After(now):
		return "starts " + i.ScheduledAt.UTC().Format("2006-01-02 15:04 UTC")
	case w == nil:
		return ""
	case len(w.Events) > 0:
		return "waits for event " + strings.Join(w.Events, " or ")
	case w.Count > 0:
		t := w.Tasks[0]
		text := t.Kind + " " + t.Name
		if t.Kind == "operation" {
			text += " of " + t.Instance
		}
		if w.Count > 1 {
			text += fmt.Sprintf(" and %d more", w.Count-1)
		}
		return text
	case w.Timer != nil:
		return "timer until " + w.Timer.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return ""
}
