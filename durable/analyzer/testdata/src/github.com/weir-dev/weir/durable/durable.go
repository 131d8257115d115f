// Package durable has the types that the analyzer knows, as far as the tests need them: tests of analyzers cannot
// import from a module. TestVet checks the real ones.
package durable

import (
	"context"
	"time"
)

type Context struct{}

func (c *Context) Now() time.Time              { return time.Time{} }
func (c *Context) Sleep(d time.Duration) error { return nil }
func (c *Context) NewID() string               { return "" }

type Future[T any] struct{}

func (f *Future[T]) Await() (t T, err error) { return t, err }

type Activity[I, O any] string

func (a Activity[I, O]) Call(ctx *Context, in I) (o O, err error) { return o, err }
func (a Activity[I, O]) Go(ctx *Context, in I) *Future[O]         { return nil }

type Handler struct{}

func (a Activity[I, O]) Handler(fn func(context.Context, I) (O, error)) Handler { return Handler{} }

func Step[T any](ctx *Context, name string, fn func(context.Context) (T, error)) (t T, err error) {
	return t, err
}
func Go[T any](ctx *Context, fn func(*Context) (T, error)) *Future[T] { return nil }

type Client struct{}

func (c *Client) Close() {}

type Instance[O any] struct{}

func (i *Instance[O]) Terminate(ctx context.Context, reason string) error { return nil }
