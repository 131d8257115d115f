package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/engine/history"
)

// TestPast: a replay is not held against ends that the code did not decide on.
func TestPast(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	turn := func(events ...history.Event) []history.Event {
		events = append([]history.Event{&history.OrchestratorStarted{}}, events...)
		for _, e := range events {
			history.SetTime(e, at)
		}
		return events
	}
	first := turn(&history.ExecutionStarted{Name: "a"}, &history.TaskScheduled{Name: "x"})
	end, _ := terminated("enough", history.Payload{}, at)
	answer := &history.TaskCompleted{}
	refused := &history.ExecutionCompleted{ID: 1, Status: history.Failed, Failure: failure(CodeTooLarge, "too large")}
	own := &history.ExecutionCompleted{ID: 1, Status: history.Failed, Failure: &history.Failure{Type: "error"}}
	for _, c := range []struct {
		name   string
		events []history.Event
		want   int
	}{
		{"Live", first, 3},
		{"OfItsOwn", append(first[:3:3], turn(answer, own)...), 6},
		{"Terminated", append(first[:3:3], end...), 3},
		{"FromOutside", append(first[:3:3], end[1]), 3},
		{"TooLarge", append(first[:3:3], turn(answer, refused)...), 3},
		{"TooLargeAtOnce", turn(&history.ExecutionStarted{Name: "a"}, refused), 0},
		{"TerminatedBeforeItBegan", end, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			stored, err := history.Encode(c.events)
			if err != nil {
				t.Fatal(err)
			}
			past, err := (&Recording{Events: stored}).Past()
			if err != nil || len(past) != c.want {
				t.Errorf("%d events are left, want %d (%v)", len(past), c.want, err)
			}
		})
	}
}

func TestReadRecordings(t *testing.T) {
	t.Parallel()
	good := `{"name":"a","instance":"i","events":[]}`
	for _, c := range []struct {
		text string
		n    int
		err  string
	}{
		{"", 0, ""},
		{good, 1, ""},
		{good + "\n\n" + good + "\n", 2, ""},
		{good + "\n{", 0, "line 2 is no recording"},
		{good + "\n" + `{"name":"a"}`, 0, "line 2 is no recording: it has no name or no events"},
	} {
		got, err := ReadRecordings(strings.NewReader(c.text))
		if len(got) != c.n || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q gives %d recordings, %v; want %d, %q", c.text, len(got), err, c.n, c.err)
		}
	}
}
