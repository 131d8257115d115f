package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/weir-dev/weir/durable/otlp"
	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/engine/tracing"
)

// startTracing says what becomes of spans: they go where the environment says, if it does. end sends what is left.
func (c *Config) startTracing(log *slog.Logger) (cfg tracing.Config, end func()) {
	if c.OTLP.Traces == "" {
		return tracing.Config{}, func() {}
	}
	to := c.OTLP
	to.Logger = log
	exporter := otlp.New(to)
	return tracing.Config{Sink: exporter, Ratio: c.TracesRatio}, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := exporter.Close(ctx); err != nil {
			log.WarnContext(ctx, "spans are lost", logkey.Err, err)
		}
	}
}
