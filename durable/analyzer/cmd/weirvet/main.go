// Command weirvet finds code in orchestrations that does not do the same when it is replayed.
//
//	go install github.com/weir-dev/weir/durable/analyzer/cmd/weirvet@latest
//	go vet -vettool=$(which weirvet) ./...
//
// It runs by itself too: weirvet ./...
package main

import (
	"golang.org/x/tools/go/analysis/singlechecker"

	"github.com/weir-dev/weir/durable/analyzer"
)

func main() { singlechecker.Main(analyzer.Analyzer) }
