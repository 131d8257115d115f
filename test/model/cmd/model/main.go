// Command model explores the model of the commit protocol and prints what it
// finds as Markdown tables.
//
//	go run ./test/model/cmd/model                  # the worlds of CI, and the seeds
//	go run ./test/model/cmd/model -full            # all worlds, and the seeds
//	go run ./test/model/cmd/model -seeds -trace -only hold
//	go run ./test/model/cmd/model -ablate          # which rules are redundant?
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/weir-dev/weir/test/model"
)

func main() {
	var o model.Options
	flag.BoolVar(&o.Full, "full", false, "all worlds, not only those that go test explores")
	flag.StringVar(&o.Only, "only", "", "only worlds and seeds whose names contain this")
	flag.BoolVar(&o.Worlds, "worlds", false, "only the worlds, with all rules on")
	flag.BoolVar(&o.Seeds, "seeds", false, "only the seeded faults")
	flag.BoolVar(&o.Ablate, "ablate", false, "turn each rule off alone, and look for a world that notices")
	flag.BoolVar(&o.Traces, "trace", false, "print the counterexamples of seeds too")
	flag.IntVar(&o.MaxStates, "max", 20_000_000, "give a world up after so many states")
	flag.IntVar(&o.Parallel, "parallel", 0, "worlds explored at a time (default GOMAXPROCS)")
	flag.Parse()
	if !o.Worlds && !o.Seeds && !o.Ablate {
		o.Worlds, o.Seeds = true, true
	}
	if err := model.Report(os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
