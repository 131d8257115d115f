// Package house checks who imports whom: the rules of the house, as README.md tells them. The linter checks the
// direct imports; this test sees the indirect ones too.
package house

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/weir-dev/weir"

// rooms lists, for each package or tree of packages, what of ours it may import. Arrows only point down.
var rooms = []struct {
	room string
	may  []string
}{
	{"engine/history", nil},
	{"engine/internal/store", nil},
	{"engine/schedule", nil},
	{"engine/archive", nil},
	{"engine/logkey", nil},
	{"engine/tracing", []string{"engine/logkey"}},
	{"engine", []string{"engine/archive", "engine/history", "engine/internal/store", "engine/logkey", "engine/schedule", "engine/tracing"}},
	{"jobs", []string{"engine", "engine/history", "engine/logkey"}},
	{"durable", []string{"jobs", "engine", "engine/history", "engine/logkey", "engine/schedule", "engine/tracing"}},
	{"durable/analyzer", nil},
	{"durable/weirprom", []string{"durable", "engine"}},
	{"durable/otlp", []string{"engine/logkey", "engine/tracing"}},
	{"durable/analyzer/cmd/weirvet", []string{"durable/analyzer"}},
	{"durable/durabletest", []string{"durable", "engine", "engine/history"}},
	{"cli", []string{"engine", "engine/archive", "engine/history", "internal/archives", "internal/devpg/flock"}},
	{"internal/archives", nil},
	{"durable/httpcall", []string{"durable", "engine"}},
	{"alerts", []string{"durable", "engine", "engine/logkey"}},
	{"graph", []string{"auth", "engine", "engine/history", "engine/logkey", "engine/tracing", "graph/model", "graph/generated", "internal/requests"}},
	{"graph/model", []string{"auth", "engine", "engine/history", "graph/scalar"}},
	{"graph/scalar", nil},
	{"rest", []string{"auth", "engine", "engine/history", "engine/logkey", "engine/tracing", "internal/requests"}},
	{"auth", []string{"engine/logkey"}},
	{"internal/requests", nil},
	{"migrations", []string{"engine/logkey"}},
	{"ui", nil},
	{"internal/devpg/flock", nil},
	{"internal/devpg", []string{"internal/devpg/flock"}},
	{"internal/pgtest", []string{"internal/devpg", "internal/devpg/flock"}},
	{"internal/otlptest", nil},
	{"internal/weirtest/check", []string{"engine/history"}},
	{"internal/weirtest", []string{"internal/weirtest/check", "internal/pgtest", "migrations"}},
	{"examples/api/statements", []string{"durable"}},
	{"examples/checkout/orders", []string{"durable"}},
	{"examples/ingest/files", []string{"durable"}},
	{"examples/monitor/uptime", []string{"durable"}},
	{"examples/poll/polls", []string{"durable"}},
}

// foreign lists what must not even come in indirectly: a user's worker binary stays small.
var foreign = []struct{ room, never string }{
	{"durable", "github.com/99designs/gqlgen"},
	{"durable", "github.com/coreos/go-oidc"},
	{"durable", "google.golang.org/grpc"},
	{"durable", "go.opentelemetry.io/otel/sdk"},
	{"durable", "go.opentelemetry.io/otel/exporters"},
	{"durable", "go.opentelemetry.io/proto"},
	{"durable", "github.com/prometheus"},
	{"durable/otlp", "go.opentelemetry.io/otel/sdk"},
	{"durable/otlp", "google.golang.org/grpc"},
	{"engine/tracing", "net/http"},
	{"engine/tracing", "github.com/jackc/pgx"},
	{"durable", module + "/ui"},
	{"durable", "testing"},
	{"durable", "golang.org/x/tools"},
	{"durable/durabletest", "golang.org/x/tools"},
	{"durable/durabletest", "github.com/99designs/gqlgen"},
	{"durable/durabletest", module + "/internal"},
	{"engine", "github.com/riverqueue/river"},
	{"engine", "net/http"},
	{"engine", "github.com/minio"},
	{"durable", "github.com/minio"},
	{"engine/schedule", "github.com/jackc/pgx"}, // pure
	{"graph", "github.com/riverqueue/river"},
	{"jobs", "github.com/99designs/gqlgen"},
	{"rest", "github.com/99designs/gqlgen"},
	{"rest", "github.com/riverqueue/river"},
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Fields(string(out))
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	for _, r := range rooms {
		t.Run(r.room, func(t *testing.T) {
			t.Parallel()
			for _, imp := range goList(t, "-f", `{{join .Imports "\n"}}`, "./"+r.room) {
				ours, ok := strings.CutPrefix(imp, module+"/")
				if ok && !slices.Contains(r.may, ours) {
					t.Errorf("%s imports %s; it may import %v", r.room, ours, r.may)
				}
			}
		})
	}
}

// free lists packages, and trees of packages, that may import what they like.
var free = []string{
	"",                // the composition root knows every room
	"examples",        // programs; what they are made of has its room above
	"test",            // programs that measure and break things
	"graph/generated", // gqlgen's, which follows the schema
	"internal/house",
}

// TestEveryPackageHasItsRule: a new package is given a room, or said to be free.
func TestEveryPackageHasItsRule(t *testing.T) {
	t.Parallel()
	for _, pkg := range goList(t, "./...") {
		name := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
		ruled := false
		for _, r := range rooms {
			ruled = ruled || r.room == name
		}
		for _, f := range free {
			ruled = ruled || name == f || f != "" && strings.HasPrefix(name, f+"/")
		}
		if !ruled {
			t.Errorf("%s has no rule: add it to rooms, or to free with a reason", name)
		}
	}
}

func TestForeignPackagesStayOut(t *testing.T) {
	t.Parallel()
	for _, f := range foreign {
		t.Run(f.room+" without "+f.never, func(t *testing.T) {
			t.Parallel()
			for _, dep := range goList(t, "-deps", "./"+f.room) {
				if dep == f.never || strings.HasPrefix(dep, f.never+"/") {
					t.Errorf("%s depends on %s", f.room, dep)
				}
			}
		})
	}
}
