package model

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Options say what Report explores.
type Options struct {
	Full      bool   // all worlds; otherwise only those that go test explores
	Only      string // only worlds and seeds whose names contain this
	Worlds    bool   // the worlds, with all rules on
	Seeds     bool   // the worlds of the seeds, each with its rules off
	Ablate    bool   // each rule off, alone, in all worlds until one notices
	Traces    bool   // with the counterexamples of seeds
	MaxStates int    // give a world up after so many states
	Parallel  int    // so many worlds at a time; 0 = GOMAXPROCS
}

// Report explores and writes what it finds as Markdown tables. It returns an
// error if a world does not hold, is not exhausted, or a seed is not found.
func Report(w io.Writer, o Options) error {
	if o.Parallel == 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	var errs []error
	if o.Worlds {
		errs = append(errs, reportWorlds(w, o))
	}
	if o.Seeds {
		errs = append(errs, reportSeeds(w, o))
	}
	if o.Ablate {
		reportAblations(w, o)
	}
	return errors.Join(errs...)
}

// each runs work(0) to work(n-1), so many at a time, and calls done for each in
// order, as soon as it can.
func each(n, parallel int, work func(int) result, done func(int, result)) {
	results := make([]chan result, n)
	for k := range results {
		results[k] = make(chan result, 1)
	}
	var group sync.WaitGroup
	next := make(chan int)
	for range parallel {
		group.Go(func() {
			for k := range next {
				results[k] <- work(k)
			}
		})
	}
	go func() {
		for k := range n {
			next <- k
		}
		close(next)
	}()
	for k := range n {
		done(k, <-results[k])
	}
	group.Wait()
}

// selected returns the worlds of the set.
func (o *Options) selected() []world {
	return slices.DeleteFunc(worlds(), func(w world) bool {
		return w.large && !o.Full || !strings.Contains(w.name, o.Only)
	})
}

func reportWorlds(w io.Writer, o Options) error {
	all := o.selected()
	var errs []error
	total := result{}
	fmt.Fprintln(w, "| world | bounds | set | states | steps | depth | rests | verdict |")
	fmt.Fprintln(w, "|---|---|---|---:|---:|---:|---:|---|")
	each(len(all), o.Parallel,
		func(k int) result { return all[k].explore(0, o.MaxStates) },
		func(k int, r result) {
			set := "CI"
			if all[k].large {
				set = "full"
			}
			fmt.Fprintf(w, "| %s | %s | %s | %d | %d | %d | %d | %s |\n",
				all[k].name, all[k].bounds(), set, r.states, r.steps, r.depth, r.rests, r)
			total.states += r.states
			total.steps += r.steps
			if r.verdict != verdictOK {
				errs = append(errs, fmt.Errorf("%s: %s\n%s", all[k].name, r, strings.Join(r.trace, "")))
			}
		})
	fmt.Fprintf(w, "\n%d worlds, %d states, %d steps.\n\n", len(all), total.states, total.steps)
	return errors.Join(errs...)
}

func reportSeeds(w io.Writer, o Options) error {
	all := slices.DeleteFunc(seeds(), func(s seed) bool {
		return !strings.Contains(s.text, o.Only) && !strings.Contains(s.world, o.Only)
	})
	var errs []error
	fmt.Fprintln(w, "| seeded fault | rules off | world | steps to it | found |")
	fmt.Fprintln(w, "|---|---|---|---:|---|")
	each(len(all), o.Parallel,
		func(k int) result { return all[k].explore(o.MaxStates) },
		func(k int, r result) {
			fmt.Fprintf(w, "| %s | %s | %s | %d | %s |\n", all[k].text, all[k].off, all[k].world, len(r.trace), r)
			if o.Traces {
				fmt.Fprintf(w, "\n```\n%s```\n\n", strings.Join(r.trace, ""))
			}
			if !r.found() {
				errs = append(errs, fmt.Errorf("not found: %s", all[k].text))
			}
		})
	fmt.Fprintf(w, "\n%d seeded faults, %d not found.\n\n", len(all), len(errs))
	return errors.Join(errs...)
}

// reportAblations turns off one rule at a time. That no world notices is no
// error: the rule may be there for a reason outside the bounds.
func reportAblations(w io.Writer, o Options) {
	all := o.selected()
	fmt.Fprintln(w, "| rule off, alone | where | it says | noticed |")
	fmt.Fprintln(w, "|---|---|---|---|")
	each(len(ruleTable), o.Parallel,
		func(k int) result {
			exhausted := true
			for _, world := range all {
				r := world.explore(ruleTable[k].rule, o.MaxStates)
				if r.found() {
					r.why = fmt.Sprintf("%s (%s)", r.why, world.name)
					return r
				}
				exhausted = exhausted && r.verdict == verdictOK
			}
			if !exhausted {
				return result{why: "by no world; some were not exhausted"}
			}
			return result{why: "by no world"}
		},
		func(k int, r result) {
			rule := ruleTable[k]
			noticed := r.String()
			if !r.found() {
				noticed = r.why
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s |\n", rule.name, rule.where, rule.text, noticed)
		})
	fmt.Fprintln(w)
}
