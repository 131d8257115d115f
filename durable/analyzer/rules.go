package analyzer

import (
	"go/types"
	"strings"
)

const (
	chance  = "chance is another at each replay: use ctx.Rand or ctx.NewID, or draw in a durable.Step"
	outside = "what is outside of the program is another at each replay, and is done again: do it in an activity or a durable.Step"
	setting = "the environment is another where the instance goes on: pass it as input, or read it in a durable.Step"
	noLock  = "branches of an orchestration run one at a time and need no locks, and one that waits here never goes on: use futures"
	logging = "this is printed again at each replay: use ctx.Logger()"
	noCtx   = "an orchestration has no context.Context: what needs one belongs in an activity or a durable.Step"
)

// functions that must not be called, by package. The empty name stands for all others of the package.
var functions = map[string]map[string]string{
	"time": {
		"Now":       "the time is another at each replay: use ctx.Now()",
		"Since":     "the time is another at each replay: use ctx.Now().Sub(t)",
		"Until":     "the time is another at each replay: use t.Sub(ctx.Now())",
		"Sleep":     "this sleep is forgotten with the process, and blocks a worker: use ctx.Sleep",
		"After":     "this timer is forgotten with the process: use ctx.Timer",
		"AfterFunc": "this timer is forgotten with the process: use ctx.Timer in a durable.Go",
		"NewTimer":  "this timer is forgotten with the process: use ctx.Timer",
		"NewTicker": "this ticker is forgotten with the process: use ctx.Sleep in a loop",
		"Tick":      "this ticker is forgotten with the process: use ctx.Sleep in a loop",
	},
	// What is seeded by hand draws the same each time.
	"math/rand":              {"": chance, "New": "", "NewSource": "", "NewZipf": ""},
	"math/rand/v2":           {"": chance, "New": "", "NewPCG": "", "NewChaCha8": "", "NewZipf": ""},
	"crypto/rand":            {"": chance},
	"github.com/google/uuid": {"New": chance, "NewString": chance, "NewRandom": chance, "NewUUID": chance, "NewV6": chance, "NewV7": chance},
	"os": {
		"": outside, "Getenv": setting, "LookupEnv": setting, "Environ": setting, "ExpandEnv": setting, "Hostname": setting, "Getpid": setting,
		"Getwd": setting, "IsNotExist": "", "IsExist": "", "IsTimeout": "", "IsPermission": "", "Expand": "", "NewSyscallError": "",
	},
	"os/exec":      {"": outside},
	"net":          {"": outside, "ParseIP": "", "ParseCIDR": "", "ParseMAC": "", "JoinHostPort": "", "SplitHostPort": "", "IPv4": "", "CIDRMask": ""},
	"net/http":     {"": outside, "StatusText": "", "CanonicalHeaderKey": "", "DetectContentType": ""},
	"database/sql": {"": outside},
	"runtime":      {"NumCPU": setting, "NumGoroutine": setting, "GOMAXPROCS": setting, "Gosched": noLock},
	"log":          {"": logging},
	"log/slog":     {"Debug": logging, "Info": logging, "Warn": logging, "Error": logging, "Log": logging, "Default": logging},
	"fmt":          {"Print": logging, "Println": logging, "Printf": logging},
	"context":      {"Background": noCtx, "TODO": noCtx},

	"github.com/jackc/pgx/v5":         {"Connect": outside},
	"github.com/jackc/pgx/v5/pgxpool": {"": outside},
}

// methods that must not be called, by package and type. The empty name stands for all of the type, or of the package.
var methods = map[string]map[string]string{
	"sync":                            {"": noLock},
	"net/http":                        {"Client": outside, "Transport": outside, "Server": outside},
	"database/sql":                    {"": outside},
	"os":                              {"File": outside, "Process": outside},
	"os/exec":                         {"": outside},
	"log":                             {"": logging},
	"time":                            {"Timer": "this timer is forgotten with the process: use ctx.Timer", "Ticker": "this ticker is forgotten with the process: use ctx.Sleep in a loop"},
	durablePath:                       {"Client": outside, "Instance": "an orchestration does not control instances by a client: call the orchestration as a child, or do it in an activity"},
	"github.com/jackc/pgx/v5":         {"Conn": outside},
	"github.com/jackc/pgx/v5/pgxpool": {"": outside},
}

// forbidden tells why an orchestration must not call a function, and what to use instead; "" if it may.
func forbidden(f *types.Func) string {
	if f.Pkg() == nil {
		return ""
	}
	path, signature := f.Pkg().Path(), f.Type().(*types.Signature)
	if recv := signature.Recv(); recv != nil {
		t := types.Unalias(recv.Type())
		if p, ok := t.(*types.Pointer); ok {
			t = types.Unalias(p.Elem())
		}
		n, ok := t.(*types.Named)
		if !ok {
			return ""
		}
		if why, ok := methods[path][n.Obj().Name()]; ok {
			return withName(path, n.Obj().Name()+"."+f.Name(), why)
		}
		return withName(path, n.Obj().Name()+"."+f.Name(), methods[path][""])
	}
	if strings.HasPrefix(f.Name(), "Err") {
		return ""
	}
	if why, ok := functions[path][f.Name()]; ok {
		return withName(path, f.Name(), why)
	}
	return withName(path, f.Name(), functions[path][""])
}

// withName puts the function's name before the reason.
func withName(path, name, why string) string {
	if why == "" {
		return ""
	}
	return path[strings.LastIndex(path, "/")+1:] + "." + name + ": " + why
}
