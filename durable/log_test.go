package durable_test

import (
	"context"
	"log/slog"
)

// durableLogger calls fn with the message of each record.
func durableLogger(fn func(string)) *slog.Logger { return slog.New(lineHandler{fn}) }

type lineHandler struct{ fn func(string) }

func (lineHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h lineHandler) Handle(_ context.Context, r slog.Record) error { h.fn(r.Message); return nil }

func (h lineHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h lineHandler) WithGroup(string) slog.Handler { return h }
