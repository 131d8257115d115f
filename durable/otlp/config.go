package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weir-dev/weir/engine/tracing"
)

// Config says what is sent, and where to.
type Config struct {
	// Traces and Metrics are the addresses that take them, such as http://localhost:4318/v1/traces; empty sends none.
	Traces  string
	Metrics string
	// TraceHeaders and MetricHeaders go with the requests, for instance a collector's key.
	TraceHeaders  map[string]string
	MetricHeaders map[string]string
	// Gzip compresses the requests.
	Gzip bool
	// Timeout bounds one request; 0 means 10 s.
	Timeout time.Duration
	// Every is how long spans wait to be sent together, 0 means 5 s; MetricsEvery is the same for metrics, 0 means a minute.
	Every        time.Duration
	MetricsEvery time.Duration
	// Buffer bounds the spans that wait, in bytes; 0 means 8 MiB, some 20,000 of them.
	Buffer int
	// Resource says what this process is: service.name and others.
	Resource []tracing.Attr
	// Client makes the requests; nil means one of the exporter's own.
	Client *http.Client
	// Logger takes what goes wrong; nil means slog.Default().
	Logger *slog.Logger
}

// FromEnv reads the environment variables of OpenTelemetry: OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS, _TIMEOUT, _COMPRESSION,
// _CERTIFICATE and _PROTOCOL, each also as OTEL_EXPORTER_OTLP_TRACES_... and _METRICS_... where it makes a difference;
// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_SCHEDULE_DELAY, OTEL_METRIC_EXPORT_INTERVAL, OTEL_TRACES_EXPORTER,
// OTEL_METRICS_EXPORTER and OTEL_SDK_DISABLED. Without an endpoint nothing is sent: the Config is empty. env is os.LookupEnv.
// Errors name the variable and what is allowed.
func FromEnv(env func(string) (string, bool)) (Config, error) {
	r := reader{env: env}
	c := Config{Timeout: r.millis("OTEL_EXPORTER_OTLP_TIMEOUT"), Every: r.millis("OTEL_BSP_SCHEDULE_DELAY"), MetricsEvery: r.millis("OTEL_METRIC_EXPORT_INTERVAL")}
	if r.get("OTEL_SDK_DISABLED") == "true" {
		return Config{}, nil
	}
	c.Traces, c.TraceHeaders = r.signal("TRACES", "traces")
	c.Metrics, c.MetricHeaders = r.signal("METRICS", "metrics")
	if c.Traces == "" && c.Metrics == "" {
		return Config{}, errors.Join(r.errs...)
	}
	switch v := r.get("OTEL_EXPORTER_OTLP_COMPRESSION"); v {
	case "", "none":
	case "gzip":
		c.Gzip = true
	default:
		r.failf("OTEL_EXPORTER_OTLP_COMPRESSION", "want gzip or none, got %q", v)
	}
	if file := r.get("OTEL_EXPORTER_OTLP_CERTIFICATE"); file != "" {
		c.Client = r.trusting(file)
	}
	c.Resource = r.resource()
	return c, errors.Join(r.errs...)
}

// reader reads environment variables and gathers what is wrong with them.
type reader struct {
	env  func(string) (string, bool)
	errs []error
}

func (r *reader) failf(name, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...)))
}

func (r *reader) get(name string) string {
	v, _ := r.env(name)
	return strings.TrimSpace(v)
}

func (r *reader) millis(name string) time.Duration {
	v := r.get(name)
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		r.failf(name, "want a number of milliseconds, got %q", v)
	}
	return time.Duration(n) * time.Millisecond
}

// signal is where traces or metrics go.
func (r *reader) signal(upper, lower string) (address string, headers map[string]string) {
	switch exporter := r.get("OTEL_" + upper + "_EXPORTER"); exporter {
	case "", "otlp":
	case "none":
		return "", nil
	default:
		r.failf("OTEL_"+upper+"_EXPORTER", "want otlp or none, got %q", exporter)
		return "", nil
	}
	name := "OTEL_EXPORTER_OTLP_" + upper + "_ENDPOINT"
	if address = r.get(name); address == "" {
		name = "OTEL_EXPORTER_OTLP_ENDPOINT"
		if address = r.get(name); address == "" {
			return "", nil
		}
		address = strings.TrimSuffix(address, "/") + "/v1/" + lower
	}
	if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.failf(name, "want an address such as http://localhost:4318") // not repeated: it may have a password
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + upper + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if v := r.get(name); v != "" && v != "http/protobuf" {
			r.failf(name, "want http/protobuf, the only one that is spoken, got %q", v)
		}
	}
	headers = r.headers("OTEL_EXPORTER_OTLP_HEADERS")
	maps.Copy(headers, r.headers("OTEL_EXPORTER_OTLP_"+upper+"_HEADERS"))
	return address, headers
}

// headers reads name=value,name=value.
func (r *reader) headers(name string) map[string]string {
	out := map[string]string{}
	for pair := range strings.SplitSeq(r.get(name), ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		k, v, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(v))
		if k = strings.TrimSpace(k); !ok || k == "" || err != nil {
			r.failf(name, "want name=value pairs with commas between") // not repeated: it may hold a key
			return out
		}
		out[k] = value
	}
	return out
}

func (r *reader) trusting(file string) *http.Client {
	const name = "OTEL_EXPORTER_OTLP_CERTIFICATE"
	pem, err := os.ReadFile(file) //nolint:gosec // the setting names the file
	if err != nil {
		r.failf(name, "%v", err)
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		r.failf(name, "%s has no certificate in PEM", file)
		return nil
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t}
}

// resource says what the process is.
func (r *reader) resource() []tracing.Attr {
	attrs := r.headers("OTEL_RESOURCE_ATTRIBUTES")
	if service := r.get("OTEL_SERVICE_NAME"); service != "" {
		attrs["service.name"] = service
	}
	if attrs["service.name"] == "" {
		attrs["service.name"] = "unknown_service:" + filepath.Base(os.Args[0])
	}
	return Resource(attrs)
}

// Resource makes the attributes of a resource, with those of this library and process.
func Resource(attrs map[string]string) []tracing.Attr {
	out := []tracing.Attr{
		tracing.Text("telemetry.sdk.name", "weir"), tracing.Text("telemetry.sdk.language", "go"), tracing.Int("process.pid", int64(os.Getpid())),
	}
	if host, err := os.Hostname(); err == nil && attrs["host.name"] == "" {
		out = append(out, tracing.Text("host.name", host))
	}
	for k, v := range attrs {
		out = append(out, tracing.Text(k, v))
	}
	return out
}
