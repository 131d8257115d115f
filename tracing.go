package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/weir-dev/weir/durable/otlp"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/engine/tracing"
)

// telemetry is where spans and metrics go; the exporter is nil if the environment names no place.
type telemetry struct {
	exporter *otlp.Exporter
	tracing  tracing.Config
}

func (c *Config) telemetry(log *slog.Logger) *telemetry {
	t := &telemetry{}
	if c.OTLP.Traces == "" && c.OTLP.Metrics == "" {
		return t
	}
	to := c.OTLP
	to.Logger = log
	t.exporter = otlp.New(to)
	if c.OTLP.Traces != "" {
		t.tracing = tracing.Config{Sink: t.exporter, Ratio: c.TracesRatio}
	}
	return t
}

// close sends what is left.
func (t *telemetry) close(log *slog.Logger) {
	if t.exporter == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := t.exporter.Close(ctx); err != nil {
		log.WarnContext(ctx, "spans are lost", logkey.Err, err)
	}
}
