package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/otlp"
)

// traces makes spans of the share of instances that WEIR_TRACES_RATIO says, and sends them to where
// OTEL_EXPORTER_OTLP_ENDPOINT says, in the client's process and in those of workers: without the latter there are none. end
// sends what is left, and tells what was dropped.
func traces() (t durable.Tracing, end func(), err error) {
	cfg, err := otlp.FromEnv(os.LookupEnv)
	if err != nil || cfg.Traces == "" {
		return t, func() {}, err
	}
	if t.Ratio, err = strconv.ParseFloat(os.Getenv("WEIR_TRACES_RATIO"), 64); err != nil {
		return t, nil, fmt.Errorf("WEIR_TRACES_RATIO: %w", err)
	}
	exporter := otlp.New(cfg)
	t.Sink = exporter
	return t, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := exporter.Close(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		if s := exporter.Stats(); s.Dropped+s.Failed > 0 {
			fmt.Fprintf(os.Stderr, "spans: %+v\n", s)
		}
	}, nil
}
