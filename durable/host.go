package durable

import (
	"cmp"
	"context"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/engine/history"
)

// Host is what runs a worker's handlers where there is no worker and no database: package durabletest is built on
// it. Programs do not need it.
type Host struct{ x *executor }

// NewHost makes a host. Of the configuration only Retry, Versions, Codec, Converter and Logger count. Of several handlers for the
// same thing the last one counts, so that fakes can follow what they replace. Errors name the handler that cannot be
// served.
func NewHost(cfg *Config, handlers ...Handler) (*Host, error) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	var retry *Retry
	if !reflect.ValueOf(c.Retry).IsZero() {
		retry = &c.Retry
	}
	x, err := newExecutor(lastOfEach(handlers), nil, retry, &c.Versions, cmp.Or(c.Logger, slog.Default()))
	if err != nil {
		return nil, err
	}
	x.values = &values{c.Converter, c.Codec}
	return &Host{x}, nil
}

// lastOfEach drops handlers that a later one replaces.
func lastOfEach(handlers []Handler) []Handler {
	type thing struct {
		orchestration bool
		name, version string
	}
	last := map[thing]int{}
	key := func(h *Handler) thing {
		if h.kind == orchestrationHandler {
			return thing{true, h.name, h.version}
		}
		if h.kind == operationHandler {
			return thing{name: strings.ToLower(h.name), version: strings.ToLower(h.operation)}
		}
		return thing{name: h.name, version: h.version}
	}
	for n := range handlers {
		if handlers[n].name != "" {
			last[key(&handlers[n])] = n
		}
	}
	var out []Handler
	for n := range handlers {
		if h := &handlers[n]; h.name == "" || last[key(h)] == n { // an empty one is an error that newExecutor tells
			out = append(out, *h)
		}
	}
	return out
}

// Executor is how the engine sees the handlers.
func (h *Host) Executor() engine.Executor { return h.x }

// Request is what starting an orchestration asks of the engine, by a clock that shows now.
func (h *Host) Request(now time.Time, name string, in any, opts ...StartOption) (engine.StartRequest, error) {
	o, err := startOptionsOf(opts)
	if err != nil {
		return engine.StartRequest{}, err
	}
	input, err := h.Encode(in)
	if err != nil {
		return engine.StartRequest{}, err
	}
	r := o.request("", "", name, input)
	if o.delay > 0 {
		r.At = now.Add(o.delay)
	}
	return r, nil
}

// Event is what raising an event asks of the engine.
func (h *Host) Event(instance, name string, input history.Payload, opts ...RaiseOption) engine.RaiseRequest {
	r := engine.RaiseRequest{Instance: instance, Name: name, Input: input}
	for _, opt := range opts {
		opt.applyRaise(&r)
	}
	return r
}

// Encode writes a value as calls and events do.
func (h *Host) Encode(v any) (history.Payload, error) {
	return h.x.values.encode(context.Background(), v)
}

// Decode reads a value.
func (h *Host) Decode(p history.Payload, into any) error {
	return h.x.values.decode(context.Background(), p, into)
}

// Progress is a record as Instance.Progress returns it.
func (h *Host) Progress(p engine.Progress) *ProgressRecord { return h.x.values.record(&p) }

// Error is the *TaskError that whoever waits for an instance gets when that has not completed.
func (h *Host) Error(instance string, why *history.Failure) error {
	return fromFailure("instance "+instance, why, 0)
}
