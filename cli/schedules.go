package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

type schedule struct {
	ScheduleID     string   `json:"scheduleId"`
	Orchestration  string   `json:"orchestration"`
	Version        *string  `json:"version"`
	Input          *payload `json:"input"`
	InstanceID     *string  `json:"instanceId"`
	Every          *string  `json:"every"`
	Cron           []string `json:"cron"`
	Zone           string   `json:"zone"`
	Jitter         *string  `json:"jitter"`
	StartAt        *string  `json:"startAt"`
	EndAt          *string  `json:"endAt"`
	Overlap        string   `json:"overlap"`
	CatchUp        string   `json:"catchUp"`
	StartIfLate    bool     `json:"startIfLate"`
	State          string   `json:"state"`
	Note           *string  `json:"note"`
	Explanation    string   `json:"explanation"`
	Revision       string   `json:"revision"`
	CreatedAt      string   `json:"createdAt"`
	UpdatedAt      string   `json:"updatedAt"`
	NextAt         *string  `json:"nextAt"`
	LastAt         *string  `json:"lastAt"`
	LastInstanceID *string  `json:"lastInstanceId"`
	Runs           string   `json:"runs"`
	Skipped        string   `json:"skipped"`
}

const scheduleFields = `fragment S on Schedule {
	scheduleId orchestration version input { ...V } instanceId every cron zone jitter startAt endAt overlap catchUp startIfLate
	state note explanation revision createdAt updatedAt nextAt lastAt lastInstanceId runs skipped
}`

type changedSchedule struct {
	outcome

	Schedule *schedule `json:"schedule"`
}

var (
	schedulesOperation = define[nodes[schedule]](`query Schedules($hub: String!, $filter: ScheduleFilter, $first: Int!, $after: String) {
	done: schedules(hub: $hub, filter: $filter, first: $first, after: $after) { nodes { ...S } `+pageFields+` }
}`, scheduleFields, valueFields)
	scheduleOperation = define[schedule](`query Schedule($hub: String!, $id: String!) {
	done: schedule(hub: $hub, scheduleId: $id) { ...S }
}`, scheduleFields, valueFields)
	putScheduleOperation    = scheduleChange("putSchedule", "PutScheduleInput")
	pauseScheduleOperation  = scheduleChange("pauseSchedule", "PauseScheduleInput")
	resumeScheduleOperation = scheduleChange("resumeSchedule", "ResumeScheduleInput")
	deleteScheduleOperation = scheduleChange("deleteSchedule", "DeleteScheduleInput")

	runScheduleOperation = define[changedInstance](`mutation Trigger($input: RunScheduleInput!) {
	done: runSchedule(input: $input) { orchestration { ...Row } `+errorFields+` }
}`, rowFields)
	backfillOperation = define[struct {
		outcome

		Started  int `json:"started"`
		Existing int `json:"existing"`
	}](`mutation Backfill($input: BackfillScheduleInput!) {
	done: backfillSchedule(input: $input) { started existing ` + errorFields + ` }
}`)
)

func scheduleChange(field, input string) operation[changedSchedule] {
	return define[changedSchedule]("mutation Change($input: "+input+"!) {\n\tdone: "+field+"(input: $input) { schedule { ...S } "+errorFields+" }\n}", scheduleFields, valueFields)
}

var scheduleHead = []string{"SCHEDULE", "STARTS", "STATE", "NEXT", "LAST", "RUNS", "WHEN"}

func (s *schedule) cells() []string {
	return []string{s.ScheduleID, s.Orchestration, s.State, at(s.NextAt), at(s.LastAt), s.Runs, s.times()}
}

func (s *schedule) times() string {
	if s.Every != nil {
		return "every " + *s.Every
	}
	return strings.Join(s.Cron, "; ") + " " + s.Zone
}

func schedulesListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var (
		p      paging
		state  = enum{allowed: []string{"ACTIVE", "PAUSED", "COMPLETED"}}
		prefix = flags.String("prefix", "", "whose id begins so")
	)
	p.declare(flags)
	flags.Var(&state, "state", "ACTIVE, PAUSED or COMPLETED")
	return func(ctx context.Context, c *call) error {
		f := map[string]any{}
		if state.value != "" {
			f["state"] = state.value
		}
		if *prefix != "" {
			f["scheduleIdPrefix"] = *prefix
		}
		return all(ctx, c, &p, schedulesOperation, c.vars("filter", f), scheduleHead, (*schedule).cells)
	}
}

func (c *call) schedule(ctx context.Context) (*schedule, error) {
	return scheduleOperation.need(ctx, c, c.vars("id", c.args[0]), fmt.Sprintf("schedule %q in hub %q", c.args[0], c.hub))
}

func schedulesGetCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		s, err := c.schedule(ctx)
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		s.print(c)
		return nil
	}
}

func (s *schedule) print(c *call) {
	fields(c, "schedule", s.ScheduleID, "starts", s.Orchestration, "version", text(s.Version), "instance", text(s.InstanceID), "when", s.times(),
		"jitter", text(s.Jitter), "from", at(s.StartAt), "until", at(s.EndAt), "overlap", s.Overlap, "catch-up", s.CatchUp, "state", s.State,
		"note", text(s.Note), "stands", s.Explanation, "next", at(s.NextAt), "last", at(s.LastAt), "last run", text(s.LastInstanceID),
		"runs", s.Runs, "left out", s.Skipped, "input", s.Input.short(), "revision", s.Revision, "created", at(&s.CreatedAt), "changed", at(&s.UpdatedAt))
}

// scheduleFlags are what a schedule is made of. Which were given decides, not what they say.
type scheduleFlags struct {
	orchestration, version, input, instance, every, zone, jitter, catchUp string
	cron                                                                  list
	start, end                                                            moment
	overlap                                                               enum
	startIfLate, paused                                                   bool
}

func (s *scheduleFlags) declare(flags *flag.FlagSet) {
	s.overlap.allowed = []string{"SKIP", "BUFFER_ONE", "BUFFER_ALL", "TERMINATE_OTHER", "ALLOW_ALL", "CANCEL_OTHER"}
	s.start.future, s.end.future = true, true
	flags.StringVar(&s.orchestration, "orchestration", "", "the orchestration to start")
	flags.StringVar(&s.version, "version", "", "the version of the code to run")
	flags.StringVar(&s.input, "input", "", "JSON; @FILE reads a file, - the standard input")
	flags.StringVar(&s.instance, "instance", "", "the id of every instance; without it each has one of its own")
	flags.StringVar(&s.every, "every", "", "the distance of two firings, such as 10m")
	flags.Var(&s.cron, "cron", "an expression of five fields; may be repeated")
	flags.StringVar(&s.zone, "zone", "", "the time zone that cron is read in, such as Europe/Berlin")
	flags.StringVar(&s.jitter, "jitter", "", "delay each firing by a part of this, such as 5m")
	flags.Var(&s.start, "from", "no firing before this time, or so long from now")
	flags.Var(&s.end, "until", "no firing after this time, or so long from now")
	flags.Var(&s.overlap, "overlap", "what becomes of a firing while the last instance runs: skip, buffer-one, buffer-all, terminate-other, cancel-other or allow-all")
	flags.StringVar(&s.catchUp, "catch-up", "", "how late a firing may still start, such as 1h")
	flags.BoolVar(&s.startIfLate, "start-if-late", false, "start an instance at once if the first firing is past")
	flags.BoolVar(&s.paused, "paused", false, "pause it")
}

// given puts what was given on the command line into the input. Errors: Usage.
func (s *scheduleFlags) given(c *call, flags *flag.FlagSet, in map[string]any) error {
	var wrong error
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "orchestration":
			in["orchestration"] = s.orchestration
		case "version":
			in["version"] = s.version
		case "input":
			var raw json.RawMessage
			if raw, wrong = c.value("--input", s.input); raw != nil {
				in["input"] = raw
			} else {
				delete(in, "input")
			}
		case "instance":
			in["instanceId"] = s.instance
		case "every":
			in["every"] = s.every
			delete(in, "cron")
			delete(in, "zone")
		case "cron":
			in["cron"] = []string(s.cron)
			delete(in, "every")
		case "zone":
			in["zone"] = s.zone
		case "jitter":
			in["jitter"] = s.jitter
		case "from":
			in["startAt"] = s.start.text
		case "until":
			in["endAt"] = s.end.text
		case "overlap":
			in["overlap"] = s.overlap.value
		case "catch-up":
			in["catchUp"] = s.catchUp
		case "start-if-late":
			in["startIfLate"] = s.startIfLate
		case "paused":
			in["paused"] = s.paused
		}
	})
	return wrong
}

func (c *call) changedSchedule(ctx context.Context, o operation[changedSchedule], vars map[string]any) error {
	p, err := o.ask(ctx, c, vars)
	if err != nil {
		return err
	}
	if done, err := c.emit(); done {
		return err
	}
	if p.Schedule == nil {
		c.sayf("Schedule %q is deleted.", c.args[0])
		return nil
	}
	c.sayOne(scheduleHead, p.Schedule.cells())
	return nil
}

func schedulesCreateCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var s scheduleFlags
	s.declare(flags)
	return func(ctx context.Context, c *call) error {
		in := map[string]any{"hub": c.hub, "scheduleId": c.args[0], "orchestration": s.orchestration, "ifRevision": "0"}
		if err := s.given(c, flags, in); err != nil {
			return err
		}
		return c.changedSchedule(ctx, putScheduleOperation, map[string]any{"input": in})
	}
}

func schedulesUpdateCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var s scheduleFlags
	s.declare(flags)
	return func(ctx context.Context, c *call) error {
		old, err := c.schedule(ctx)
		if err != nil {
			return err
		}
		in := old.asInput()
		in["hub"] = c.hub
		keeps := true
		flags.Visit(func(f *flag.Flag) { keeps = keeps && f.Name != "input" })
		if keeps && old.Input != nil {
			if old.Input.Truncated || old.Input.Encoding != "JSON" {
				return &Exit{ExitFailed, fmt.Errorf("the input of schedule %q cannot be read as a whole: give it again with --input", old.ScheduleID)}
			}
			in["input"] = json.RawMessage(old.Input.Text)
		}
		if err := s.given(c, flags, in); err != nil {
			return err
		}
		return c.changedSchedule(ctx, putScheduleOperation, map[string]any{"input": in})
	}
}

// asInput is the schedule as it would be put again, without its input, unless somebody has changed it since.
func (s *schedule) asInput() map[string]any {
	in := map[string]any{"scheduleId": s.ScheduleID, "orchestration": s.Orchestration, "overlap": s.Overlap, "catchUp": s.CatchUp, "startIfLate": s.StartIfLate, "ifRevision": s.Revision}
	for name, v := range map[string]*string{
		"version": s.Version, "instanceId": s.InstanceID, "every": s.Every, "jitter": s.Jitter, "startAt": s.StartAt, "endAt": s.EndAt,
	} {
		if v != nil {
			in[name] = *v
		}
	}
	if len(s.Cron) > 0 {
		in["cron"], in["zone"] = s.Cron, s.Zone
	}
	return in
}

// scheduleControl is a command that changes a schedule.
func scheduleControl(o operation[changedSchedule], withNote bool) func(*flag.FlagSet) func(context.Context, *call) error {
	return func(flags *flag.FlagSet) func(context.Context, *call) error {
		note := new(string)
		if withNote {
			note = flags.String("note", "", "why, for others")
		}
		return func(ctx context.Context, c *call) error {
			return c.changedSchedule(ctx, o, c.input("scheduleId", c.args[0], "note", *note))
		}
	}
}

func schedulesTriggerCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		return c.changed(ctx, runScheduleOperation, c.input("scheduleId", c.args[0]), false)
	}
}

func schedulesBackfillCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var from, to moment
	flags.Var(&from, "from", "the firings at this time or later: a time, or how long ago")
	flags.Var(&to, "to", "the firings at this time or earlier, likewise")
	return func(ctx context.Context, c *call) error {
		if from.text == "" || to.text == "" {
			return Usage("say with --from and --to which firings")
		}
		p, err := backfillOperation.ask(ctx, c, c.input("scheduleId", c.args[0], "from", from.text, "to", to.text))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		c.sayf("%s started, %s were there already.", strconv.Itoa(p.Started), strconv.Itoa(p.Existing))
		return nil
	}
}
