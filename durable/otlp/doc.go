// Package otlp sends spans and metrics to a collector of OpenTelemetry, or to whatever speaks its protocol over HTTP
// (http/protobuf). A worker or a client hands its Exporter to durable.Tracing:
//
//	cfg, err := otlp.FromEnv(os.LookupEnv)
//	...
//	exporter := otlp.New(cfg)
//	defer exporter.Close(ctx)
//	worker, err := durable.NewWorker(pool, &durable.Config{Tracing: durable.Tracing{Sink: exporter, Ratio: 0.05}}, handlers...)
//
// Spans are written in the protocol's form at once, into one buffer that is sent now and then: no object stands for a span,
// which makes one cost a fraction of a microsecond. The buffer is bounded; what does not fit is dropped and counted, so
// that a collector that is slow or away never holds up a turn.
package otlp
