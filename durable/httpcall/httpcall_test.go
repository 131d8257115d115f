package httpcall_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/httpcall"
	"github.com/weir-dev/weir/internal/pgtest"
	"github.com/weir-dev/weir/internal/weirtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const Fetch durable.Orchestration[httpcall.Request, httpcall.Response] = "fetch"

type bundle struct {
	t      *testing.T
	ctx    context.Context
	pool   *pgxpool.Pool
	client *durable.Client
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	b := &bundle{t: t, ctx: ctx, pool: weirtest.Pool(t)}
	c, err := durable.NewClient(b.pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b.client = c
	return b
}

// worker runs the activity and an orchestration that calls it.
func (b *bundle) worker(o httpcall.Options, opts ...durable.CallOption) (stop func()) {
	b.t.Helper()
	w, err := durable.NewWorker(b.pool, &durable.Config{DrainTimeout: 100 * time.Millisecond}, httpcall.Handler(o),
		Fetch.Handler(func(ctx *durable.Context, r httpcall.Request) (httpcall.Response, error) {
			return httpcall.Call(ctx, r, opts...)
		}))
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.ctx))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("worker: %v", err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}

func (b *bundle) fetch(r httpcall.Request) (httpcall.Response, error) {
	b.t.Helper()
	inst, err := Fetch.Start(b.ctx, b.client, r)
	if err != nil {
		b.t.Fatal(err)
	}
	return inst.Wait(b.ctx)
}

func serve(t *testing.T, fn http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(fn)
	t.Cleanup(s.Close)
	return s
}

func TestCall(t *testing.T) {
	t.Parallel()
	t.Run("SendsAndReceives", func(t *testing.T) {
		b := setup(t)
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Echo", r.Header.Get("X-Sent")+r.Header.Get("Authorization"))
			w.Header().Set("X-Latin", "caf\xe9")
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprintf(w, `{"method":%q,"body":%q,"key":%q}`, r.Method, body, r.Header.Get("Idempotency-Key"))
		})
		b.worker(httpcall.Options{Prepare: func(r *http.Request) error { r.Header.Set("Authorization", "secret"); return nil }})
		res, err := b.fetch(httpcall.Request{Method: "post", URL: s.URL, Header: map[string][]string{"x-sent": {"a"}}, Body: []byte("hello")})
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Method, Body, Key string }
		if err := res.JSON(&got); err != nil || got.Method != "POST" || got.Body != "hello" || got.Key == "" {
			t.Errorf("the server has seen %+v (%v)", got, err)
		}
		if res.Status != http.StatusTeapot || res.OK() || res.Header["X-Echo"][0] != "asecret" || res.Header["X-Latin"][0] != "caf?" {
			t.Errorf("got %+v", res)
		}
	})
	t.Run("RetriesWithTheSameKey", func(t *testing.T) {
		b := setup(t)
		var calls atomic.Int32
		var keys sync.Map
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			keys.Store(r.Header.Get("Idempotency-Key"), true)
			if calls.Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		b.worker(httpcall.Options{}, durable.Retry{Attempts: 5, Initial: time.Millisecond})
		res, err := b.fetch(httpcall.Request{Method: "POST", URL: s.URL, RetryOn: httpcall.Transient})
		if err != nil || !res.OK() || calls.Load() != 3 {
			t.Errorf("got %+v, %v after %d calls", res, err, calls.Load())
		}
		n := 0
		keys.Range(func(k, _ any) bool { n++; return k != "" })
		if n != 1 {
			t.Errorf("%d idempotency keys", n)
		}
	})
	t.Run("StatusFails", func(t *testing.T) {
		b := setup(t)
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, strings.Repeat("no\xff", 1000))
		})
		b.worker(httpcall.Options{}, durable.Retry{Attempts: 2, Initial: time.Millisecond})
		_, err := b.fetch(httpcall.Request{URL: s.URL, RetryOn: httpcall.Transient})
		if !errors.Is(err, httpcall.ErrStatus) || !strings.Contains(err.Error(), "502 Bad Gateway") || !strings.Contains(err.Error(), "2 attempts") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("NoServer", func(t *testing.T) {
		b := setup(t)
		s := serve(t, nil)
		s.Close()
		b.worker(httpcall.Options{}, durable.Retry{Attempts: 2, Initial: time.Millisecond})
		if _, err := b.fetch(httpcall.Request{URL: s.URL}); err == nil || !strings.Contains(err.Error(), "2 attempts") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Timeout", func(t *testing.T) {
		b := setup(t)
		gone := make(chan struct{})
		s := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); close(gone) })
		b.worker(httpcall.Options{}, durable.Timeout(200*time.Millisecond))
		if _, err := b.fetch(httpcall.Request{URL: s.URL}); !errors.Is(err, durable.ErrTimeout) {
			t.Errorf("got %v", err)
		}
		<-gone
	})
	t.Run("TooLarge", func(t *testing.T) {
		b := setup(t)
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 1001)) })
		b.worker(httpcall.Options{MaxBody: 1000}, durable.Retry{Attempts: 5})
		if _, err := b.fetch(httpcall.Request{URL: s.URL}); !errors.Is(err, durable.ErrTooLarge) || strings.Contains(err.Error(), "attempts") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Refused", func(t *testing.T) {
		const ErrDenied durable.Failure = "denied"
		b := setup(t)
		b.worker(httpcall.Options{Prepare: func(*http.Request) error { return ErrDenied }}, durable.Retry{Attempts: 5})
		if _, err := b.fetch(httpcall.Request{URL: "http://localhost"}); !errors.Is(err, ErrDenied) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("BadArguments", func(t *testing.T) {
		b := setup(t)
		b.worker(httpcall.Options{})
		for name, r := range map[string]httpcall.Request{
			"no url":         {},
			"relative":       {URL: "/x"},
			"other scheme":   {URL: "file:///etc/passwd"},
			"no host":        {URL: "http://"},
			"long url":       {URL: "http://localhost/" + strings.Repeat("x", 9000)},
			"method":         {URL: "http://localhost", Method: "GET /"},
			"header name":    {URL: "http://localhost", Header: map[string][]string{"a b": {"x"}}},
			"header value":   {URL: "http://localhost", Header: map[string][]string{"a": {"x\r\nb: c"}}},
			"status":         {URL: "http://localhost", RetryOn: []int{42}},
			"negative poll":  {URL: "http://localhost", PollEvery: -1},
			"negative bound": {URL: "http://localhost", PollFor: -1},
		} {
			if _, err := b.fetch(r); !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

func TestPolling(t *testing.T) {
	t.Parallel()
	// job is a service that finishes at the third look; it remembers what it was asked.
	type job struct {
		*httptest.Server
		mu    sync.Mutex
		asked []string
	}
	service := func(t *testing.T, retryAfter func(looks int) string) *job {
		j := &job{}
		looks := 0
		j.Server = serve(t, func(w http.ResponseWriter, r *http.Request) {
			j.mu.Lock()
			defer j.mu.Unlock()
			body, _ := io.ReadAll(r.Body)
			j.asked = append(j.asked, fmt.Sprintf("%s %s %s%s", r.Method, r.URL.Path, r.Header.Get("Authorization"), body))
			if r.URL.Path != "/jobs" {
				looks++
			}
			if looks == 3 {
				fmt.Fprint(w, "done")
				return
			}
			w.Header().Set("Location", "../state/7")
			w.Header().Set("Retry-After", retryAfter(looks))
			w.WriteHeader(http.StatusAccepted)
		})
		return j
	}
	request := func(j *job) httpcall.Request {
		return httpcall.Request{
			Method: "POST", URL: j.URL + "/jobs", Body: []byte("{}"), PollEvery: 10 * time.Millisecond,
			Header: map[string][]string{"Authorization": {"me"}, "Content-Type": {"application/json"}},
		}
	}
	t.Run("FollowsLocation", func(t *testing.T) {
		b := setup(t)
		j := service(t, func(int) string { return "" })
		b.worker(httpcall.Options{})
		res, err := b.fetch(request(j))
		if err != nil || string(res.Body) != "done" {
			t.Errorf("got %+v, %v", res, err)
		}
		if got, want := strings.Join(j.asked, ","), "POST /jobs me{},GET /state/7 me,GET /state/7 me,GET /state/7 me"; got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
	t.Run("HonoursRetryAfter", func(t *testing.T) {
		b := setup(t)
		j := service(t, func(looks int) string {
			if looks == 1 {
				return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat)
			}
			return "1"
		})
		b.worker(httpcall.Options{})
		began := time.Now()
		if _, err := b.fetch(request(j)); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < 3*time.Second {
			t.Errorf("it took only %s", d)
		}
	})
	t.Run("SurvivesTheWorker", func(t *testing.T) {
		b := setup(t)
		j := service(t, func(int) string { return "1" })
		stop := b.worker(httpcall.Options{})
		inst, err := Fetch.Start(b.ctx, b.client, request(j))
		if err != nil {
			t.Fatal(err)
		}
		for asked := 0; asked < 2; {
			time.Sleep(5 * time.Millisecond)
			j.mu.Lock()
			asked = len(j.asked)
			j.mu.Unlock()
		}
		stop()
		b.worker(httpcall.Options{})
		res, err := inst.Wait(b.ctx)
		if err != nil || string(res.Body) != "done" {
			t.Errorf("got %+v, %v", res, err)
		}
		if posts := strings.Count(strings.Join(j.asked, ","), "POST"); posts != 1 {
			t.Errorf("%d posts", posts)
		}
	})
	t.Run("KeepsCredentialsAtHome", func(t *testing.T) {
		b := setup(t)
		var seen atomic.Value
		other := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			seen.Store(r.Header.Get("Authorization") + r.Header.Get("X-Mine"))
		})
		home := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(http.StatusAccepted)
		})
		b.worker(httpcall.Options{})
		_, err := b.fetch(httpcall.Request{
			URL: home.URL, PollEvery: time.Millisecond, Header: map[string][]string{"authorization": {"me"}, "X-Mine": {"x"}},
		})
		if err != nil || seen.Load() != "x" {
			t.Errorf("the other host has seen %q (%v)", seen.Load(), err)
		}
	})
	t.Run("IsBounded", func(t *testing.T) {
		b := setup(t)
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/")
			w.WriteHeader(http.StatusAccepted)
		})
		b.worker(httpcall.Options{})
		_, err := b.fetch(httpcall.Request{URL: s.URL, PollEvery: 50 * time.Millisecond, PollFor: 200 * time.Millisecond})
		if !errors.Is(err, durable.ErrTimeout) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Not", func(t *testing.T) {
		for name, r := range map[string]httpcall.Request{"WithoutLocation": {}, "WhenRefused": {Accept202: true}} {
			t.Run(name, func(t *testing.T) {
				b := setup(t)
				s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					if r.Accept202 {
						w.Header().Set("Location", "/")
					}
					w.WriteHeader(http.StatusAccepted)
				})
				b.worker(httpcall.Options{})
				r.URL = s.URL
				if res, err := b.fetch(r); err != nil || res.Status != http.StatusAccepted {
					t.Errorf("got %+v, %v", res, err)
				}
			})
		}
	})
}
