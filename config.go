package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/durable/otlp"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/tracing"
	"github.com/weir-dev/weir/graph"
	"github.com/weir-dev/weir/internal/devpg"
)

// Config is everything that can be set, each by one environment variable.
type Config struct {
	DatabaseURL     string
	Schema          string
	RiverSchema     string
	Listen          string
	Path            string
	Hubs            []string
	ActivityJobs    map[string]bool // nil: not said
	Migrate         bool
	Deployment      string
	PayloadLimit    int
	QueryRate       int
	ShutdownTimeout time.Duration
	LogLevel        slog.Level
	LogFormat       string
	DevDir          string
	DevWorker       bool
	// OTLP is where spans and metrics are sent, and TracesRatio the share of starts and changes that are traced although their
	// caller is not.
	OTLP           otlp.Config
	TracesRatio    float64
	AdminToken     string
	AllowAnybody   bool
	OperatorValues bool
	TrustedProxies []netip.Prefix
	Providers      []auth.ProviderConfig
	PublicURL      *url.URL
	SessionIdle    time.Duration
	SessionLength  time.Duration
	SessionRefresh time.Duration
	// OpenSessions lets browsers that have signed in run any operation, not only the dashboard's.
	OpenSessions bool

	// WebhookNetworks are those besides public ones that webhooks may be in; SecretKey seals their secrets, nil = a key in the
	// database.
	WebhookNetworks []netip.Prefix
	SecretKey       []byte

	dev bool // weir dev, not weir server
}

// setting is one environment variable: its name, what it means, what it is if it is not set, and how it is
// read.
type setting struct {
	name, doc, byDefault string
	read                 func(c *Config, v string) error
	secret               bool // not to be repeated in errors
}

var pathPattern = regexp.MustCompile(`^/([a-zA-Z0-9_~-][a-zA-Z0-9._~-]*/)*$`)

var schemaPattern = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

func readSchema(into func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !schemaPattern.MatchString(v) {
			return errors.New("want 1 to 40 of a-z, 0-9 and _, not starting with a digit")
		}
		*into(c) = v
		return nil
	}
}

func readBool(into func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return errors.New("want true or false")
		}
		*into(c) = b
		return nil
	}
}

func readDuration(least, most time.Duration, into func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < least || d > most {
			return fmt.Errorf("want a duration from %s to %s, such as 90s or 2h", least, most)
		}
		*into(c) = d
		return nil
	}
}

var settings = []setting{
	{"WEIR_DATABASE_URL", "the Postgres database, as postgres://user:password@host/database", "", func(c *Config, v string) error {
		if v == "" {
			return nil // asked for where it is needed
		}
		if _, err := pgxpool.ParseConfig(v); err != nil {
			return errors.New("want a connection string, such as postgres://user:password@host/database")
		}
		c.DatabaseURL = v
		return nil
	}, true},
	{"WEIR_SCHEMA", "the schema of Weir's tables", "weir", readSchema(func(c *Config) *string { return &c.Schema }), false},
	{"WEIR_RIVER_SCHEMA", "the schema of River's tables", "river", readSchema(func(c *Config) *string { return &c.RiverSchema }), false},
	{"WEIR_LISTEN", "the address of the dashboard and the API", "127.0.0.1:8082", func(c *Config, v string) error {
		host, port, err := net.SplitHostPort(v)
		if err != nil {
			return errors.New("want host:port, such as 127.0.0.1:8082")
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errors.New("want a port from 0 (any that is free) to 65535")
		}
		if host != "" && net.ParseIP(host) == nil && strings.ContainsAny(host, " /") {
			return errors.New("want host:port, such as 127.0.0.1:8082")
		}
		c.Listen = v
		return nil
	}, false},
	{"WEIR_PATH", "the path below which everything is served, for use behind a proxy", "/", func(c *Config, v string) error {
		if !pathPattern.MatchString(v) {
			return errors.New("want a path that begins and ends with /, of letters, digits, and . _ ~ -")
		}
		c.Path = v
		return nil
	}, false},
	{"WEIR_HUBS", "task hubs to create if they do not exist, with commas between", "default", func(c *Config, v string) error {
		for name := range strings.SplitSeq(v, ",") {
			name = strings.TrimSpace(name)
			if err := engine.CheckHub(name, name); err != nil {
				return err
			}
			c.Hubs = append(c.Hubs, name)
		}
		return nil
	}, false},
	{"WEIR_ACTIVITY_JOBS", "hubs of WEIR_HUBS in which every activity is a River job from the start, or none; unset leaves them as they are", "", func(c *Config, v string) error {
		if v == "" {
			return nil
		}
		c.ActivityJobs = map[string]bool{}
		if v == "none" {
			return nil
		}
		for name := range strings.SplitSeq(v, ",") {
			name = strings.TrimSpace(name)
			if !slices.Contains(c.Hubs, name) {
				return fmt.Errorf("%q is not among WEIR_HUBS", name)
			}
			c.ActivityJobs[name] = true
		}
		return nil
	}, false},
	{"WEIR_MIGRATE", "whether the server brings the database to its version when it starts", "true", readBool(func(c *Config) *bool { return &c.Migrate }), false},
	{"WEIR_ADMIN_TOKEN", "a token that may do everything, to begin with: at least 24 characters, sent as `Authorization: Bearer <token>`", "", func(c *Config, v string) error {
		if v == "" {
			return nil
		}
		if _, err := auth.AdminToken(v); err != nil {
			return err
		}
		c.AdminToken = v
		return nil
	}, true},
	{"WEIR_ALLOW_ANYBODY", "whether everybody who reaches the server may do everything", "false", readBool(func(c *Config) *bool { return &c.AllowAnybody }), false},
	{"WEIR_OPERATOR_VALUES", "whether the role OPERATOR sees inputs, outputs and other values", "false", readBool(func(c *Config) *bool { return &c.OperatorValues }), false},
	{"WEIR_TRUSTED_PROXIES", "addresses and networks of proxies whose X-Forwarded-For is believed, with commas between", "", func(c *Config, v string) error {
		var err error
		c.TrustedProxies, err = auth.ParseProxies(v)
		return err
	}, false},
	{"WEIR_OIDC", "the OpenID providers, as a JSON array, or @ and a file that holds it: see docs/security.md", "", func(c *Config, v string) error {
		if v == "" {
			return nil
		}
		raw := []byte(v)
		if path, ok := strings.CutPrefix(v, "@"); ok {
			var err error
			if raw, err = os.ReadFile(path); err != nil { //nolint:gosec // whoever starts the server names the file
				return fmt.Errorf("cannot read %s", path)
			}
		}
		var err error
		c.Providers, err = auth.ParseProviders(raw)
		return err
	}, true},
	{"WEIR_PUBLIC_URL", "the address of this server as browsers know it, which people who sign in come back to", "", func(c *Config, v string) error {
		if v == "" {
			return nil
		}
		u, err := url.Parse(strings.TrimSuffix(v, "/") + "/")
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return errors.New("want an address such as https://weir.example.com/")
		}
		if u.Scheme == "http" && !isLoopback(u.Hostname()) {
			return errors.New("want https: cookies are not sent in the clear")
		}
		c.PublicURL = u
		return nil
	}, false},
	{"WEIR_SESSION_IDLE", "how long a browser's session lasts without being used, 1m to 720h", "2h", readDuration(time.Minute, 720*time.Hour, func(c *Config) *time.Duration { return &c.SessionIdle }), false},
	{"WEIR_SESSION_LENGTH", "how long a browser's session lasts at most, 1m to 720h", "12h", readDuration(time.Minute, 720*time.Hour, func(c *Config) *time.Duration { return &c.SessionLength }), false},
	{"WEIR_SESSION_REFRESH", "how often the provider is asked whether a session still has the same groups, 10s to 24h", "5m", readDuration(10*time.Second, 24*time.Hour, func(c *Config) *time.Duration { return &c.SessionRefresh }), false},
	{"WEIR_SESSION_OPERATIONS", "what browsers that have signed in may run: trusted, the operations of the dashboard, or open, any", "trusted", func(c *Config, v string) error {
		if v != "trusted" && v != "open" {
			return errors.New("want trusted or open")
		}
		c.OpenSessions = v == "open"
		return nil
	}, false},
	{"WEIR_DEPLOYMENT", "the name of this deployment, shown in the dashboard", "", func(c *Config, v string) error {
		if utf8.RuneCountInString(v) > 40 || !utf8.ValidString(v) {
			return errors.New("want at most 40 characters")
		}
		c.Deployment = v
		return nil
	}, false},
	{"WEIR_PAYLOAD_LIMIT", "the largest value accepted (input, output, event), in bytes", strconv.Itoa(engine.DefaultPayloadLimit), func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1024 || n > 256<<20 {
			return errors.New("want 1024 to 268435456")
		}
		c.PayloadLimit = n
		return nil
	}, false},
	{"WEIR_QUERY_RATE", "what each caller of the API may ask for in a second, in units of complexity, with ten times as much at once; 0 for no bound", strconv.Itoa(graph.DefaultBudget.PerSecond), func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 || n > 1_000_000 {
			return errors.New("want a number from 0, for no bound, to 1000000")
		}
		c.QueryRate = n
		return nil
	}, false},
	{"WEIR_SHUTDOWN_TIMEOUT", "how long a stopping server lets requests and work end", "20s", func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return errors.New("want a duration, such as 20s")
		}
		c.ShutdownTimeout = d
		return nil
	}, false},
	{"WEIR_LOG_LEVEL", "debug, info, warn or error", "info", func(c *Config, v string) error {
		if err := c.LogLevel.UnmarshalText([]byte(v)); err != nil {
			return errors.New("want debug, info, warn or error")
		}
		return nil
	}, false},
	{"WEIR_LOG_FORMAT", "text or json", "text", func(c *Config, v string) error {
		if v != "text" && v != "json" {
			return errors.New("want text or json")
		}
		c.LogFormat = v
		return nil
	}, false},
	{"WEIR_TRACES_RATIO", "the share of starts and changes that are traced although their caller is not, from 0 to 1; spans go where OTEL_EXPORTER_OTLP_ENDPOINT says", "0.05", func(c *Config, v string) error {
		ratio, err := strconv.ParseFloat(v, 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) {
			return errors.New("want a number from 0 to 1, such as 0.05")
		}
		c.TracesRatio = ratio
		return nil
	}, false},
	{"WEIR_WEBHOOK_NETWORKS", "networks besides public ones that webhooks may be in, with commas between, such as 10.1.0.0/16", "", func(c *Config, v string) error {
		if v == "" {
			return nil
		}
		for text := range strings.SplitSeq(v, ",") {
			network, err := netip.ParsePrefix(strings.TrimSpace(text))
			if err != nil || network != network.Masked() {
				return errors.New("want networks such as 10.1.0.0/16 or fd00:1::/32, with commas between")
			}
			c.WebhookNetworks = append(c.WebhookNetworks, network)
		}
		return nil
	}, false},
	{"WEIR_SECRET_KEY", "the key that seals the secrets of webhooks: 32 bytes in base64, the same for all servers; empty means one in the database that only servers may read", "", func(c *Config, v string) error {
		if v == "" {
			return nil
		}
		key, err := base64.StdEncoding.DecodeString(v)
		if err != nil || len(key) != engine.SecretKeyLen {
			return errors.New("want 32 bytes in base64, such as `openssl rand -base64 32` makes")
		}
		c.SecretKey = key
		return nil
	}, true},
	{"WEIR_DEV_DIR", "where weir dev keeps its Postgres; empty means a folder of the user's", "", func(c *Config, v string) error {
		c.DevDir = v
		return nil
	}, false},
	{"WEIR_DEV_WORKER", "whether weir dev runs the demo worker and starts sample work", "true", readBool(func(c *Config) *bool { return &c.DevWorker }), false},
}

// loadConfig reads the environment. All faults are reported at once.
func loadConfig(env func(string) (string, bool)) (*Config, error) {
	var (
		c    Config
		errs []error
	)
	for _, s := range settings {
		v, ok := env(s.name)
		if !ok {
			v = s.byDefault
		}
		if err := s.read(&c, v); err != nil {
			if !s.secret {
				err = fmt.Errorf("%w, got %q", err, v)
			}
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	var err error
	if c.OTLP, err = otlp.FromEnv(env); err != nil {
		errs = append(errs, err)
	}
	if c.Schema != "" && c.Schema == c.RiverSchema {
		errs = append(errs, errors.New("WEIR_SCHEMA and WEIR_RIVER_SCHEMA: must be two"))
	}
	switch len(errs) {
	case 0:
		return &c, nil
	case 1:
		return nil, errs[0]
	}
	return nil, fmt.Errorf("the configuration has %d faults:\n%w", len(errs), errors.Join(errs...))
}

// describeSettings lists the environment variables for people.
func describeSettings(w io.Writer) {
	for _, s := range settings {
		byDefault := s.byDefault
		if byDefault == "" {
			byDefault = "none"
		}
		_, _ = fmt.Fprintf(w, "  %-22s %s (default: %s)\n", s.name, s.doc, byDefault)
	}
}

// needDatabase tells what to do when no database is named.
func (c *Config) needDatabase() error {
	if c.DatabaseURL == "" {
		return errors.New("WEIR_DATABASE_URL is not set: name the Postgres database, or run `weir dev`, which brings one")
	}
	return nil
}

// devDir is the folder of weir dev, as an absolute path.
func (c *Config) devDir() (string, error) {
	if c.DevDir == "" {
		return devpg.DefaultDir()
	}
	dir, err := filepath.Abs(c.DevDir)
	if err != nil {
		return "", fmt.Errorf("dev directory: %w", err)
	}
	return dir, nil
}

func (c *Config) logger() *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(tracing.LogHandler(slog.NewJSONHandler(os.Stderr, opts)))
	}
	return slog.New(tracing.LogHandler(slog.NewTextHandler(os.Stderr, opts)))
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
