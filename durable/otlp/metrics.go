package otlp

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/weir-dev/weir/engine/logkey"
	"github.com/weir-dev/weir/engine/tracing"
)

// Gatherer is what the metrics to send come from: a prometheus.Registry is one.
type Gatherer interface {
	Gather() ([]*dto.MetricFamily, error)
}

// metricSource is the scope of metrics.
const metricSource = "weir"

// PushMetrics sends what g gathers, under its Prometheus names, every Config.MetricsEvery and once more when ctx ends, at which it
// returns. Without an address for metrics it returns at once.
func (e *Exporter) PushMetrics(ctx context.Context, g Gatherer) {
	if e.cfg.Metrics == "" {
		return
	}
	began := time.Now()
	every := time.NewTicker(e.cfg.MetricsEvery)
	defer every.Stop()
	for last := false; !last; {
		select {
		case <-every.C:
		case <-ctx.Done():
			last = true
		}
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.Timeout)
		err := e.pushOnce(limit, g, began)
		cancel()
		if err != nil {
			e.cfg.Logger.WarnContext(ctx, "metrics could not be sent", logkey.Err, err)
		}
	}
}

func (e *Exporter) pushOnce(ctx context.Context, g Gatherer, began time.Time) error {
	families, err := g.Gather()
	if len(families) == 0 {
		return err
	}
	var (
		b   []byte
		now = time.Now()
	)
	for _, f := range families {
		b = appendFamily(b, f, began, now)
	}
	return e.post(ctx, e.cfg.Metrics, e.cfg.MetricHeaders, envelope(e.cfg.Resource, metricSource, b))
}

// The numbers are those of the fields in opentelemetry/proto/metrics/v1/metrics.proto. cumulative is the temporality of sums
// that begin with the process.
const cumulative = 2

// appendFamily appends metrics as a field of ScopeMetrics. Summaries, which Weir has none of but Go's runtime has, are left out.
func appendFamily(b []byte, f *dto.MetricFamily, began, now time.Time) []byte {
	var kind protowire.Number
	switch f.GetType() {
	case dto.MetricType_GAUGE, dto.MetricType_UNTYPED:
		kind = 5
	case dto.MetricType_COUNTER:
		kind = 7
	case dto.MetricType_HISTOGRAM:
		kind = 9
	default:
		return b
	}
	return appendMessage(b, 2, func(b []byte) []byte {
		b = appendText(b, 1, f.GetName())
		b = appendText(b, 2, f.GetHelp())
		if unit := unitOf(f.GetName()); unit != "" {
			b = appendText(b, 3, unit)
		}
		return appendMessage(b, kind, func(b []byte) []byte {
			for _, m := range f.GetMetric() {
				b = appendMessage(b, 1, func(b []byte) []byte {
					if kind == 9 {
						return appendHistogram(b, m, began, now)
					}
					return appendNumber(b, m, kind, began, now)
				})
			}
			if kind != 5 {
				b = appendVarint(b, 2, cumulative)
			}
			if kind == 7 {
				b = appendVarint(b, 3, 1) // never goes down
			}
			return b
		})
	})
}

// unitOf is the unit that a name ends with, as UCUM writes it.
func unitOf(name string) string {
	for suffix, unit := range map[string]string{"_seconds": "s", "_seconds_total": "s", "_bytes": "By", "_bytes_total": "By"} {
		if n := len(name) - len(suffix); n > 0 && name[n:] == suffix {
			return unit
		}
	}
	return ""
}

func appendNumber(b []byte, m *dto.Metric, kind protowire.Number, began, now time.Time) []byte {
	if kind == 7 {
		b = appendFixed64(b, 2, nanos(began))
	}
	b = appendFixed64(b, 3, nanos(now))
	value := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue() // it has one of them
	b = appendFixed64(b, 4, math.Float64bits(value))
	return appendLabels(b, 7, m)
}

func appendHistogram(b []byte, m *dto.Metric, began, now time.Time) []byte {
	h := m.GetHistogram()
	var bounds, counts []byte
	last := uint64(0)
	for _, bucket := range h.GetBucket() {
		if math.IsInf(bucket.GetUpperBound(), 1) {
			continue
		}
		bounds = binary.LittleEndian.AppendUint64(bounds, math.Float64bits(bucket.GetUpperBound()))
		counts = binary.LittleEndian.AppendUint64(counts, bucket.GetCumulativeCount()-last)
		last = bucket.GetCumulativeCount()
	}
	counts = binary.LittleEndian.AppendUint64(counts, h.GetSampleCount()-last)
	b = appendFixed64(b, 2, nanos(began))
	b = appendFixed64(b, 3, nanos(now))
	b = appendFixed64(b, 4, h.GetSampleCount())
	b = appendFixed64(b, 5, math.Float64bits(h.GetSampleSum()))
	b = appendBytes(b, 6, counts)
	b = appendBytes(b, 7, bounds)
	return appendLabels(b, 9, m)
}

func appendLabels(b []byte, field protowire.Number, m *dto.Metric) []byte {
	for _, l := range m.GetLabel() {
		b = appendAttr(b, field, &tracing.Attr{Key: l.GetName(), Text: l.GetValue()})
	}
	return b
}
