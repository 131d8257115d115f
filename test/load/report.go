package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// report gathers figures in the order in which they were measured.
type report struct {
	Machine string   `json:"machine"`
	When    string   `json:"when"`
	Figures []figure `json:"figures"`
}

type figure struct {
	Workload string  `json:"workload"`
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	// Ratio is the value in units of one commit, or of commits per second, where the target is given so.
	Ratio  float64 `json:"ratio,omitempty"`
	Target string  `json:"target,omitempty"`
	OK     *bool   `json:"ok,omitempty"`
}

// target is what a figure must reach. Ratios are to C, the commits per second of the same run: of a rate its
// multiple of C, of a time its number of commits.
type target struct {
	workload, name string
	ratio          string // "rate", "time in ms", or "" for the value itself
	atMost         bool
	value          float64
	text           string
}

var targets = []target{
	{"W1-20k", "orchestration/s", "rate", false, 1.2, ">= 1.2 C"},
	{"W1-20k", "CPU ms/orchestration", "", true, 0.3, "<= 0.3"},
	{"W1-20k", "WAL B/orchestration", "", true, 6144, "<= 6 KiB"},
	{"W2", "activity/s", "rate", false, 8, ">= 8 C"},
	{"W3", "ms/step", "time", true, 2, "<= 2 commits"},
	{"W3", "round trip p50 ms", "time", true, 6, "<= 6 commits"},
	{"W4", "growth", "", true, 1.1, "<= 1.1"},
	{"W5", "single starts/s, 16 callers", "rate", false, 2, ">= 2 C"},
	{"W5", "batched starts/s", "rate", false, 6, ">= 6 C"},
	{"W6", "ms/event", "time", true, 4, "<= 4 commits"},
	{"W7", "slower than W1-20k %", "", true, 20, "<= 20"},
	{"W8", "all moving again after s", "", true, 1, "<= 1"},
	{"W8", "lost", "", true, 0, "0"},
	{"W8", "duplicate", "", true, 0, "0"},
	{"W9", "signal/s, one entity", "rate", false, 1, ">= 1 C"},
	{"W9", "operation/s, 100 entities", "rate", false, 3, ">= 3 C"},
	{"W10", "early", "", true, 0, "0"},
	{"W10", "ms late p99", "", true, 50, "<= 50"},
	{"W11", "idle % of a core", "", true, 3, "<= 3"},
	{"W11", "slower %", "", true, 20, "<= 20"},
	{"W12", "growth", "", true, 1.2, "<= 1.2"},
	{"W13", "first page p95 ms, worst with an index", "", true, 50, "<= 50"},
	{"W14", "slower %", "", true, 10, "<= 10"},
	{"W15", "list p95 ms, worst", "", true, 50, "<= 50"},
	{"W15", "history p95 ms, 500 of 10,000 events", "", true, 30, "<= 30"},
	{"W15", "hostile query refused, worst ms", "", true, 50, "<= 50"},
	{"W15", "MB of 1,000 sockets", "", true, 200, "<= 200"},
	{"W15", "ms to 200 subscribers p99", "", true, 250, "<= 250"},
	{"W15", "watched slower %", "", true, 10, "<= 10"},
	{"memory", "worker MB, 10,000 live", "", true, 500, "<= 500"},
	{"memory", "idle server MB", "", true, 60, "<= 60"},
	{"memory", "idle Postgres % of a core", "", true, 2, "<= 2"},
}

func (r *report) machine(b *bench) {
	r.When = time.Now().UTC().Format("2006-01-02")
	r.Machine = fmt.Sprintf("%s, PostgreSQL %s", machineLine(), b.pg.pg.Binaries().Version)
}

func (r *report) get(workload, name string) (float64, bool) {
	for _, f := range r.Figures {
		if f.Workload == workload && f.Name == name {
			return f.Value, true
		}
	}
	return 0, false
}

// relative tells whether a target of the workload is a ratio to C.
func relative(workload string) bool {
	return slices.ContainsFunc(targets, func(t target) bool { return t.workload == workload && t.ratio != "" })
}

// add adds a figure. One whose target is a ratio is judged later.
func (r *report) add(workload, name string, value float64) {
	f := figure{Workload: workload, Name: name, Value: value}
	for _, t := range targets {
		if t.workload == workload && t.name == name && t.ratio == "" {
			f.judge(t, value)
		}
	}
	r.Figures = append(r.Figures, f)
}

// judge holds the figures of a workload against their targets that are ratios to c, the commits per second beside
// it.
func (r *report) judge(workload string, c float64) {
	for i := range r.Figures {
		f := &r.Figures[i]
		for _, t := range targets {
			if f.Workload != workload || t.workload != workload || t.name != f.Name || t.ratio == "" {
				continue
			}
			f.Ratio = f.Value / c
			if t.ratio != "rate" {
				f.Ratio = f.Value / 1000 * c
			}
			f.judge(t, f.Ratio)
		}
	}
}

func (f *figure) judge(t target, got float64) {
	ok := got >= t.value
	if t.atMost {
		ok = got <= t.value
	}
	f.Target, f.OK = t.text, &ok
}

// summary is the figures of a workload on one line.
func (r *report) summary(workload string) string {
	var parts []string
	for _, f := range r.Figures {
		if f.Workload == workload && !strings.Contains(f.Name, " client") && !strings.Contains(f.Name, " worker") && !strings.Contains(f.Name, " Postgres") {
			parts = append(parts, fmt.Sprintf("%s %s", format(f.Value), f.Name))
		}
	}
	return strings.Join(parts, ", ")
}

func format(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// print writes the table, in Markdown.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %s\n\n", r.When, r.Machine)
	fmt.Fprintln(w, "| workload | figure | value | in commits | target | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|")
	for _, f := range r.Figures {
		ratio, verdict := "", ""
		if f.Ratio != 0 {
			ratio = fmt.Sprintf("%.2f", f.Ratio)
		}
		if f.OK != nil {
			verdict = "missed"
			if *f.OK {
				verdict = "met"
			}
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", f.Workload, f.Name, format(f.Value), ratio, f.Target, verdict)
	}
}

func (r *report) write(path string) error { return writeJSON(path, r) }
