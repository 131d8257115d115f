package engine

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/weir-dev/weir/engine/history"
)

// How work is named in River. A turn job's kind carries the orchestration's name and version, an activity's
// kind is its name; both lie in queues of their hub. The database's function turn_kind and the functions that
// write turn jobs spell the same.

// TurnKind is the River kind of an orchestration's turn jobs.
func TurnKind(name, version string) string {
	if version == "" {
		return "turn:" + name
	}
	return "turn:" + name + "<" + version + ">"
}

// TaskKind is the River kind of an activity: its name, and the version that a call asks for.
func TaskKind(name, version string) string {
	if version == "" {
		return name
	}
	return name + "<" + version + ">"
}

// activityOf tells how this process runs the activity of a River kind.
func (n *Node) activityOf(kind string) ActivityKind {
	for _, d := range n.exec.Kinds().Activities {
		if TaskKind(d.Name, d.Version) == kind {
			how, _ := n.exec.Activity(d.Name, d.Version)
			return how
		}
	}
	return NoActivity
}

// DeliverKind is the River kind of the jobs that deliver events raised in users' transactions.
const DeliverKind = "weir.deliver"

// ControlKind is the River kind of the jobs that do to an instance what was asked for another it belongs to.
const ControlKind = "weir.control"

// SystemQueue is the River queue of jobs that belong to no hub.
const SystemQueue = "weir_system"

// TurnQueue is the River queue of a hub's turn jobs.
func TurnQueue(hub int32) string { return "h" + strconv.Itoa(int(hub)) + "_orch" }

// ActivityQueue is the River queue of a hub's activities: those of a named group, or of any worker.
func ActivityQueue(hub int32, group string) string {
	if group == "" {
		return "h" + strconv.Itoa(int(hub)) + "_act"
	}
	return "h" + strconv.Itoa(int(hub)) + "_a_" + group
}

// DefaultPriority is the priority of instances that are given none: River's, from 1, which goes first, to 4. Their turns and
// activities have it.
const DefaultPriority = 2

// CheckPriority tests a priority: 1 to 4, or 0 for none.
func CheckPriority(field string, p int) error {
	if p < 0 || p > 4 {
		return invalid(field, "is %d, allowed are 1, which goes first, to 4", p)
	}
	return nil
}

// priorityOf is the priority of a task: its own, or the instance's.
func (s *session) priorityOf(t *history.TaskScheduled) int16 {
	if t.Priority != 0 {
		return int16(t.Priority)
	}
	return s.priority
}

// unlimited is River's limit of attempts where Weir decides itself about retries.
const unlimited = 32767

func turnJob(id, no int64, hub int32, name, version string, priority int16) job {
	return job{
		id: id, state: "available", priority: priority, kind: TurnKind(name, version), queue: TurnQueue(hub),
		args: strconv.AppendInt([]byte(`{"no":`), no, 10), max: unlimited,
	}.closed()
}

func (j job) closed() job { j.args = append(j.args, '}'); return j }

// TurnJob is a turn job that River has handed to this process.
type TurnJob struct {
	TurnArgs
	ID        int64
	CreatedAt time.Time
	// First tells that nobody has worked it before.
	First bool
}

// TurnArgs are the arguments of a turn job.
type TurnArgs struct {
	No int64 `json:"no"`
	// Start is the instance as it was started, so that its first session need not read it. Whether it still is like
	// that, the first commit tells.
	Start *Fresh `json:"start,omitempty"`
	// Deaths counts the workers that have died with the turn in hand since it last got on. One of its activities may be what
	// they died of: so each gets a River row from the start, by which the next death is known to be its.
	Deaths int `json:"deaths,omitempty"`
}

// Fresh is an instance that nobody has worked on.
type Fresh struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// Priority is the instance's; 0 means DefaultPriority.
	Priority int16   `json:"priority,omitempty"`
	Input    *string `json:"input,omitempty"`
	// Input64 is the input when it is not valid UTF-8, or not text at all.
	Input64 []byte `json:"input64,omitempty"`
	// Trace is the instance's context of distributed tracing, as in the column.
	Trace string `json:"trace,omitempty"`
}

// maxFreshInput is the largest input that travels in a turn job: it is written once more there, and once more when
// River hands the job out.
const maxFreshInput = 1 << 10

// startJob is the turn job of a new instance.
func startJob(s *start) job {
	j := turnJob(s.turnJob, s.no, s.hub, s.name, s.version, s.priority)
	if _, elsewhere := s.input.Stored(); elsewhere || s.input.Size() > maxFreshInput || s.parentNo != 0 || s.tags != nil {
		return j
	}
	args := TurnArgs{No: s.no, Start: &Fresh{ID: s.id, Name: s.name, Version: s.version, Trace: s.trace}}
	if s.priority != DefaultPriority {
		args.Start.Priority = s.priority
	}
	args.Start.Input, args.Start.Input64 = inText(s.input)
	out, err := json.Marshal(args)
	if err != nil { // strings and numbers only
		panic(err)
	}
	j.args = out
	return j
}

// inText writes a value so that jsonb keeps every byte of it.
func inText(v history.Payload) (text *string, data []byte) {
	if !v.Present() {
		return nil, nil
	}
	if utf8.Valid(v.Data()) && !hasNUL(v.Data()) {
		s := string(v.Data())
		return &s, nil
	}
	return nil, v.Data()
}

// fromText reads what inText has written.
func fromText(text *string, data []byte) history.Payload {
	switch {
	case text != nil:
		return history.Text(*text)
	case data != nil:
		return history.Bytes(data)
	}
	return history.Payload{}
}

// TaskArgs are the arguments of an activity's River job. The input is text, whatever JSON it holds, because
// the column is jsonb and would change it.
type TaskArgs struct {
	Instance string  `json:"instance"`
	Input    *string `json:"input,omitempty"`
	// Input64 is the input when it is not valid UTF-8, or not text at all.
	Input64  []byte           `json:"input64,omitempty"`
	InputRef int64            `json:"inputRef,omitempty"`
	Size     int              `json:"size,omitempty"`
	Retry    *history.Retry   `json:"retry,omitempty"`
	Timeout  history.Duration `json:"timeout,omitzero"`
	// EndBy is when the call as a whole must have ended, and Heartbeat how long it may be silent.
	EndBy     time.Time        `json:"endBy,omitzero"`
	Heartbeat history.Duration `json:"heartbeat,omitzero"`
	// Limit names the limit in which the call holds a place.
	Limit string `json:"limit,omitempty"`
	// Earlier are the attempts that failed, newest last.
	FirstAt int64 `json:"firstAt,omitempty"`
	// Trace is the context of distributed tracing of the instance.
	Trace string `json:"trace,omitempty"`
}

func taskArgs(instance, trace string, t *history.TaskScheduled) []byte {
	if t.Native {
		return t.Input.Data()
	}
	args := TaskArgs{Instance: instance, Retry: t.Retry, Timeout: t.Timeout, EndBy: endBy(t), Heartbeat: t.Heartbeat, Limit: t.Limit, Trace: trace}
	if id, elsewhere := t.Input.Stored(); elsewhere {
		args.InputRef, args.Size = id, t.Input.Size()
	} else {
		args.Input, args.Input64 = inText(t.Input)
	}
	out, err := json.Marshal(args)
	if err != nil { // strings, numbers and durations only
		panic(err)
	}
	return out
}

func (a *TaskArgs) payload() history.Payload {
	if a.InputRef != 0 {
		return history.Ref(a.InputRef, a.Size)
	}
	return fromText(a.Input, a.Input64)
}

// hasNUL tells whether data holds the one character that jsonb cannot.
func hasNUL(data []byte) bool {
	return bytes.IndexByte(data, 0) >= 0
}
