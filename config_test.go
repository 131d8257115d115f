package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/engine"
)

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c, err := loadConfig(environment())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Schema: "weir", RiverSchema: "river", Listen: "127.0.0.1:8082", Path: "/", Hubs: []string{"default"}, Migrate: true,
		PayloadLimit: engine.DefaultPayloadLimit, ShutdownTimeout: 20 * time.Second, LogLevel: slog.LevelInfo, LogFormat: "text", DevWorker: true, TracesRatio: 0.05,
	}
	if got := *c; len(got.Hubs) != 1 || got.Hubs[0] != "default" {
		t.Errorf("the hubs are %v", got.Hubs)
	} else if got.Hubs, want.Hubs = nil, nil; got.DatabaseURL != "" || got.Schema != want.Schema || got.RiverSchema != want.RiverSchema || got.Listen != want.Listen ||
		got.Path != want.Path || got.Migrate != want.Migrate || got.PayloadLimit != want.PayloadLimit || got.ShutdownTimeout != want.ShutdownTimeout ||
		got.LogLevel != want.LogLevel || got.LogFormat != want.LogFormat || got.DevWorker != want.DevWorker || got.DevDir != "" || got.dev || got.TracesRatio != want.TracesRatio || got.OTLP.Traces != "" || got.OTLP.Metrics != "" ||
		got.OpenSessions {
		t.Errorf("got %+v", got)
	}
	if err := c.needDatabase(); err == nil || !strings.Contains(err.Error(), "WEIR_DATABASE_URL") || !strings.Contains(err.Error(), "weir dev") {
		t.Errorf("got %v", err)
	}
}

// TestConfigValues: what each setting takes, and what it says of what it does not take.
func TestConfigValues(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		good []string
		bad  map[string]string // value to words of the error
	}{
		{
			"WEIR_DATABASE_URL",
			[]string{"", "postgres://u:p@localhost/db", "postgresql://localhost:5433/db?sslmode=disable", "host=/run/x dbname=db", "postgres:///db?host=/run/x"},
			map[string]string{"mysql://u:hunter2@h/db": "want a connection string", "postgres://u:hunter2@h:port/db": "want a connection string", "postgres://u:hunter2@h/db?pool_max_conns=x": "want a connection string", "nonsense": "want a connection string"},
		},
		{"WEIR_SCHEMA", []string{"weir", "_a1", strings.Repeat("x", 40)}, map[string]string{"": "1 to 40", "Weir": "a-z", "1a": "digit", "a b": "a-z", "a;drop": "a-z", strings.Repeat("x", 41): "1 to 40", "ä": "a-z", "river": "must be two"}},
		{"WEIR_SESSION_OPERATIONS", []string{"trusted", "open"}, map[string]string{"": "want trusted or open", "Open": "want trusted or open", "true": "want trusted or open"}},
		{"WEIR_RIVER_SCHEMA", []string{"public", "jobs"}, map[string]string{"": "1 to 40", "weir": "must be two"}},
		{
			"WEIR_LISTEN",
			[]string{"127.0.0.1:0", "localhost:8082", "[::1]:80", "127.1.2.3:65535", ":8082", "0.0.0.0:8082", "[::]:8082", "weir.example:80"},
			map[string]string{"": "host:port", "8082": "host:port", "a b:80": "host:port", "127.0.0.1:http": "port from 0", "127.0.0.1:65536": "port from 0", "127.0.0.1:": "port from 0"},
		},
		{"WEIR_PATH", []string{"/", "/weir/", "/a/b-c/d.e/"}, map[string]string{"": "begins and ends", "weir/": "begins and ends", "/weir": "begins and ends", "//": "letters", "/a//b/": "letters", "/../": "letters", "/{x}/": "letters", "/a b/": "letters"}},
		{"WEIR_HUBS", []string{"default", "one, two", "A-1"}, map[string]string{"": "3 to 45", "ab": "3 to 45", "one,": "3 to 45", "1ab": "letter", "a_b_c": "letters", strings.Repeat("x", 46): "3 to 45"}},
		{"WEIR_ACTIVITY_JOBS", []string{"", "none", "default", " default , default"}, map[string]string{"other": "not among WEIR_HUBS", "default,": "not among WEIR_HUBS"}},
		{"WEIR_MIGRATE", []string{"true", "false", "1", "0"}, map[string]string{"": "true or false", "yes": "true or false", "2": "true or false"}},
		{"WEIR_DEPLOYMENT", []string{"", "production", strings.Repeat("ü", 40)}, map[string]string{strings.Repeat("x", 41): "40 characters", "\xff": "40 characters"}},
		{"WEIR_PAYLOAD_LIMIT", []string{"1024", "268435456"}, map[string]string{"": "1024 to", "1023": "1024 to", "268435457": "1024 to", "16MiB": "1024 to", "-1": "1024 to"}},
		{"WEIR_QUERY_RATE", []string{"0", "1000000"}, map[string]string{"": "a number from 0", "-1": "a number from 0", "1000001": "to 1000000", "many": "a number"}},
		{"WEIR_SHUTDOWN_TIMEOUT", []string{"0s", "1m30s"}, map[string]string{"": "duration", "20": "duration", "-1s": "duration", "soon": "duration"}},
		{"WEIR_TRACES_RATIO", []string{"0", "1", "0.25"}, map[string]string{"": "0 to 1", "1.1": "0 to 1", "-1": "0 to 1", "NaN": "0 to 1"}},
		{"WEIR_LOG_LEVEL", []string{"debug", "INFO", "warn", "error"}, map[string]string{"": "debug, info", "loud": "debug, info"}},
		{"WEIR_LOG_FORMAT", []string{"text", "json"}, map[string]string{"": "text or json", "xml": "text or json"}},
		{"WEIR_ADMIN_TOKEN", []string{"", strings.Repeat("x", 24)}, map[string]string{"short": "24", "hunter2 hunter2 hunter2 hunter2": "without blanks", strings.Repeat("ü", 24): "ASCII"}},
		{"WEIR_ALLOW_ANYBODY", []string{"true", "false"}, map[string]string{"": "true or false", "maybe": "true or false"}},
		{"WEIR_OPERATOR_VALUES", []string{"true", "false"}, map[string]string{"": "true or false"}},
		{"WEIR_TRUSTED_PROXIES", []string{"", "10.0.0.1", "10.0.0.0/8, ::1"}, map[string]string{"proxy": "neither an address", "10.0.0.0/33": "neither an address"}},
		{
			"WEIR_OIDC",
			[]string{"", "[]", `[{"issuer":"https://id.example","clientId":"weir"}]`, `[{"issuer":"http://127.0.0.1:1","audiences":["weir"],"algorithms":["PS256"],"clockSkew":"0s","roles":{"ops":{"*":["OPERATOR"]}}}]`},
			map[string]string{
				"{}": "JSON array", "[]x": "nothing after", "@/nowhere": "cannot read /nowhere", `[{"issuer":"http://id.example","clientId":"x"}]`: "https", `[{"issuer":"https://id.example"}]`: "want audiences",
				`[{"issuer":"https://id.example","clientId":"x","algorithms":["none"]}]`: `"none" is not allowed`, `[{"issuer":"https://id.example","clientId":"x","algorithms":["HS256"]}]`: `"HS256" is not allowed`,
				`[{"issuer":"https://id.example","clientId":"x","clockSkew":"6m"}]`: "0s to 5m", `[{"issuer":"https://id.example","clientId":"x","secret":"hunter2"}]`: "unknown field", `[{"issuer":"https://id.example","audiences":[""]}]`: "an empty one",
				`[{"issuer":"https://id.example","clientId":"x","cliClientId":"y"}]`:                              "cliClientId: want audiences",
				`[{"issuer":"https://id.example","clientId":"x"},{"issuer":"https://id.example","clientId":"y"}]`: "twice", `[{"issuer":"https://id.example","clientId":"x","roles":{"ops":{"*":["KING"]}}}]`: `"KING"`,
			},
		},
		{"WEIR_PUBLIC_URL", []string{"", "https://weir.example.com", "https://example.com/weir/", "http://localhost:8082"}, map[string]string{"weir.example.com": "want an address", "http://weir.example.com": "want https", "https://u:p@x/": "want an address", "https://x/?a": "want an address"}},
		{"WEIR_SESSION_IDLE", []string{"1m", "720h"}, map[string]string{"": "duration", "59s": "1m0s to", "721h": "720h"}},
		{"WEIR_SESSION_LENGTH", []string{"8h"}, map[string]string{"0s": "duration"}},
		{"WEIR_SESSION_REFRESH", []string{"10s", "24h"}, map[string]string{"1s": "10s to"}},
		{"WEIR_WEBHOOK_NETWORKS", []string{"", "10.1.0.0/16, fd00:1::/32"}, map[string]string{"10.1.0.0": "want networks", "10.1.2.3/16": "want networks", ",": "want networks"}},
		{"WEIR_SECRET_KEY", []string{"", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, map[string]string{"AAAA": "32 bytes", "!": "32 bytes"}},
		{"WEIR_DEV_DIR", []string{"", "/tmp/x"}, nil},
		{"WEIR_DEV_WORKER", []string{"true", "false"}, map[string]string{"": "true or false", "maybe": "true or false"}},
	} {
		for _, v := range test.good {
			if _, err := loadConfig(environment(test.name, v)); err != nil {
				t.Errorf("%s=%q: %v", test.name, v, err)
			}
		}
		for v, words := range test.bad {
			_, err := loadConfig(environment(test.name, v))
			switch {
			case err == nil:
				t.Errorf("%s=%q is accepted", test.name, v)
			case !strings.Contains(err.Error(), test.name) || !strings.Contains(err.Error(), words):
				t.Errorf("%s=%q: %v", test.name, v, err)
			case strings.Contains(err.Error(), "hunter2"):
				t.Errorf("%s: the error shows the password: %v", test.name, err)
			case strings.Contains(err.Error(), "faults"):
				t.Errorf("%s=%q: one fault is %v", test.name, v, err)
			}
		}
	}
	var names int
	for _, s := range settings {
		names++
		if !strings.HasPrefix(s.name, "WEIR_") || s.doc == "" || strings.HasSuffix(s.doc, ".") {
			t.Errorf("%s: %q", s.name, s.doc)
		}
	}
	if names != 29 {
		t.Errorf("there are %d settings: is a new one in this test?", names)
	}
}

// TestConfigFaultsTogether: nobody has to find out one by one.
func TestConfigFaultsTogether(t *testing.T) {
	t.Parallel()
	_, err := loadConfig(environment("WEIR_LISTEN", "80", "WEIR_PATH", "x", "WEIR_HUBS", "!", "WEIR_LOG_LEVEL", "loud", "WEIR_DATABASE_URL", "mysql://hunter2@x"))
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 6 || lines[0] != "the configuration has 5 faults:" {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"WEIR_LISTEN", "WEIR_PATH", "WEIR_HUBS", "WEIR_LOG_LEVEL", "WEIR_DATABASE_URL"} {
		if !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args  []string
		env   []string
		code  int
		words []string
	}{
		{nil, nil, 0, []string{"weir server", "weir dev", "weir migrate", "weir replay", "weir version", "WEIR_LISTEN", "default: 127.0.0.1:8082"}},
		{[]string{"help"}, nil, 0, []string{"weir server", "WEIR_DEV_WORKER"}},
		{[]string{"--help"}, []string{"WEIR_LISTEN", "nonsense"}, 0, []string{"weir server"}}, // help helps also with faults in the settings
		{[]string{"version"}, nil, 0, []string{version()}},
		{[]string{"sever"}, nil, 2, []string{`"sever"`, "weir help"}},
		{[]string{""}, nil, 2, []string{`""`}},
		{[]string{"server", "--port=80"}, nil, 2, []string{"--port=80", "environment variables"}},
		{[]string{"version", "x"}, nil, 2, []string{"takes no arguments"}},
		{[]string{"replay", "--help"}, nil, 0, []string{"weir replay --hub HUB", "-last", "Exit codes"}},
		{[]string{"replay"}, nil, 2, []string{"--hub", "weir replay --help"}},
		{[]string{"replay", "--hub", "h"}, nil, 2, []string{"--binary"}},
		{[]string{"replay", "--hub", "h", "--save", "f"}, nil, 2, []string{"--name"}},
		{[]string{"replay", "--hub", "h", "--save", "f", "--name", "n", "x"}, nil, 2, []string{`"x" is no flag`}},
		{[]string{"replay", "--hub", "h", "--binary", "b", "--last", "0"}, nil, 2, []string{"--last is 0, want 1 to"}},
		{[]string{"replay", "--hub", "h", "--binary", "b", "--name", ""}, nil, 2, []string{"must not be empty"}},
		{[]string{"replay", "--hbu", "h"}, nil, 2, []string{"-hbu"}},
		{[]string{"replay", "--hub", "h", "--binary", "b"}, nil, 1, []string{"WEIR_DATABASE_URL is not set"}},
		{[]string{"server"}, nil, 1, []string{"WEIR_DATABASE_URL is not set", "weir dev"}},
		{[]string{"migrate"}, nil, 1, []string{"WEIR_DATABASE_URL is not set"}},
		{[]string{"doctor", "--rows", "x"}, nil, 2, []string{"weir doctor --help"}},
		{[]string{"doctor"}, []string{"WEIR_DATABASE_URL", "postgres://127.0.0.1:1/none"}, 4, []string{"cannot reach the database"}},
		{[]string{"list"}, []string{"WEIR_SERVER", "http://127.0.0.1:1"}, 4, []string{"list: cannot reach the server"}},
		{[]string{"schedules"}, nil, 2, []string{"say what to do"}},
		{[]string{"help", "start"}, nil, 0, []string{"weir start NAME [flags]", "-return-existing", "-token"}},
		{[]string{"help", "archive"}, nil, 0, []string{"weir archive --hub HUB"}},
		{[]string{"start", "--help"}, nil, 0, []string{"weir start NAME [flags]"}},
		{[]string{"schedules", "--help"}, nil, 0, []string{"schedules backfill SCHEDULE"}},
		{[]string{"completion", "bash"}, nil, 0, []string{"complete -o default -F _weir weir"}},
		{[]string{"__complete", "schedules", "pau"}, nil, 0, []string{"pause\t"}},
		{[]string{"server"}, []string{"WEIR_LISTEN", "nonsense"}, 1, []string{"WEIR_LISTEN: want host:port"}},
	} {
		var out bytes.Buffer
		err := run(t.Context(), test.args, environment(test.env...), &out)
		text := out.String()
		if err != nil {
			text += err.Error()
		}
		if got := exitCode(err); got != test.code {
			t.Errorf("%q: exit code %d, want %d (%v)", test.args, got, test.code, err)
		}
		for _, w := range test.words {
			if !strings.Contains(text, w) {
				t.Errorf("%q does not say %q:\n%s", test.args, w, text)
			}
		}
	}
	if v := version(); v == "" || strings.ContainsAny(v, "() \n") {
		t.Errorf("the version is %q", v)
	}
}
