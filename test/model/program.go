package model

// taskKind is what a program asks for, and how it is run.
type taskKind uint8

const (
	noTask      taskKind = iota
	taskLocal            // an activity without a row of its own, run by the session's process
	taskRiver            // an activity in a river_job row, run by any process
	taskTxLocal          // a TxHandler run by the session's process; it has a row, its token
	taskTxRiver          // a TxHandler run by any process
	taskTimer
	taskChild // instance 1 is its child
)

func (k taskKind) tx() bool { return k == taskTxLocal || k == taskTxRiver }

// local tells whether the session's process runs such a task, if it can.
func (k taskKind) local() bool { return k == taskLocal || k == taskTxLocal }

// program is the user's code, as a function of the history.
type program struct {
	tasks  [maxGens][maxTasks]taskKind // scheduled at the start of each generation
	events [maxGens]uint8              // events that a generation waits for
	renews [maxGens]bool               // continues as new at the first event, and carries the others over
	fails  [maxGens]bool               // fails when task 0 is done
}

// decision is what the code wants after it has seen a history.
type decision struct {
	schedules taskSet
	ends      status // a final status, or statusAbsent
	renews    bool
}

// run runs the code on a history, and records there what it schedules.
func (code *program) run(h *history) decision {
	var d decision
	for t, kind := range code.tasks[h.gen] {
		if kind != noTask && h.tasks[t] == taskUnknown {
			h.tasks[t] = taskScheduled
			d.schedules.add(t)
		}
	}
	if code.renews[h.gen] && h.events >= 1 {
		d.renews = true
		return d
	}
	if code.fails[h.gen] && h.tasks[0] == taskDone {
		d.ends = statusFailed
		return d
	}
	if h.events < code.events[h.gen] {
		return d
	}
	for t, kind := range code.tasks[h.gen] {
		if kind != noTask && h.tasks[t] != taskDone {
			return d
		}
	}
	d.ends = statusCompleted
	return d
}

// waits tells whether the code waits for an event that has not been raised.
func (code *program) waits(h *history) bool {
	return h.events < code.events[h.gen] || code.renews[h.gen] && h.events == 0
}
