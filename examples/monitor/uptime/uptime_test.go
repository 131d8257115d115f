package uptime_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/examples/monitor/uptime"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// bundle is an endpoint whose answer can be set, a worker, and the alarms it raised.
type bundle struct {
	*harness.Harness
	t      *testing.T
	server *httptest.Server
	code   atomic.Int32
	asked  atomic.Int32
	alarms chan uptime.Alarm
	broken atomic.Bool // nobody can be alarmed
	stop   func()
}

func setup(t *testing.T) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{t: t, Harness: harness.New(t), alarms: make(chan uptime.Alarm, 100)}
	b.code.Store(http.StatusOK)
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b.asked.Add(1)
		w.WriteHeader(int(b.code.Load()))
	}))
	t.Cleanup(b.server.Close)
	b.work()
	return b
}

func (b *bundle) work() {
	b.stop = b.Worker(uptime.Handlers(func(_ context.Context, a uptime.Alarm) error {
		if b.broken.Load() {
			return errPager
		}
		b.alarms <- a
		return nil
	})...)
}

const errPager durable.Failure = "pager_broken"

const (
	seldom = uptime.Duration(time.Hour) // never, in a test: only commands lead to checks
	often  = uptime.Duration(100 * time.Millisecond)
)

func (b *bundle) start(w uptime.Watch) *durable.Instance[uptime.Summary] {
	b.t.Helper()
	if w.URL == "" {
		w.URL = b.server.URL
	}
	i, err := uptime.Monitor.Start(b.Ctx, b.Client, w)
	if err != nil {
		b.t.Fatal(err)
	}
	return i
}

func (b *bundle) tell(i *durable.Instance[uptime.Summary], c uptime.Command) {
	b.t.Helper()
	harness.Raise(b.Harness, uptime.Control, i.ID(), c)
}

func (b *bundle) reaches(i *durable.Instance[uptime.Summary], what string, ok func(uptime.Status) bool) uptime.Status {
	b.t.Helper()
	return harness.Reaches(b.Harness, i, what, ok)
}

func (b *bundle) alarm() uptime.Alarm {
	b.t.Helper()
	select {
	case a := <-b.alarms:
		return a
	case <-b.Ctx.Done():
		b.t.Fatal("no alarm")
		return uptime.Alarm{}
	}
}

func (b *bundle) ends(i *durable.Instance[uptime.Summary], want uptime.Summary) {
	b.t.Helper()
	b.tell(i, uptime.Command{Do: uptime.Stop})
	got, err := i.Wait(b.Ctx)
	if err != nil || got != want {
		b.t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func checks(n int) func(uptime.Status) bool {
	return func(s uptime.Status) bool { return s.Checks == n }
}

func generation(b *bundle) int64 { return b.Number("SELECT gen FROM weir.instances") }

func TestMonitor(t *testing.T) {
	t.Parallel()
	now := uptime.Command{Do: uptime.CheckNow}
	t.Run("AlarmsWhenItGoesDownAndComesUp", func(t *testing.T) {
		b := setup(t)
		i := b.start(uptime.Watch{Every: seldom})
		up := b.reaches(i, "it is up", checks(1))
		if up.State != "up" || up.Last.Code != 200 || up.UpShare != "1 of 1" || up.Alarms != 0 {
			t.Errorf("got %+v", up)
		}
		b.code.Store(http.StatusServiceUnavailable)
		b.tell(i, now)
		if a := b.alarm(); a.Up || a.Error != "503 Service Unavailable" || a.URL != b.server.URL || a.After <= 0 {
			t.Errorf("got %+v", a)
		}
		down := b.reaches(i, "it is down", checks(2))
		if down.State != "down" || down.UpShare != "1 of 2" || !down.Since.After(*up.Since) {
			t.Errorf("got %+v", down)
		}
		b.tell(i, now) // still down: no news
		b.reaches(i, "it is down still", checks(3))
		b.code.Store(http.StatusNoContent)
		b.tell(i, now)
		if a := b.alarm(); !a.Up || a.Error != "" {
			t.Errorf("got %+v", a)
		}
		b.ends(i, uptime.Summary{Checks: 4, Alarms: 2})
		if len(b.alarms) != 0 {
			t.Errorf("%d more alarms", len(b.alarms))
		}
	})
	t.Run("NobodyListens", func(t *testing.T) {
		b := setup(t)
		b.server.Close()
		i := b.start(uptime.Watch{Every: seldom})
		if a := b.alarm(); a.Up || a.After != 0 || !strings.Contains(a.Error, "connection refused") {
			t.Errorf("got %+v", a)
		}
		if s := b.reaches(i, "it is down", checks(1)); s.State != "down" || s.Last.Code != 0 {
			t.Errorf("got %+v", s)
		}
		b.ends(i, uptime.Summary{Checks: 1, Alarms: 1})
	})
	t.Run("ChecksByItselfForManyGenerations", func(t *testing.T) {
		b := setup(t)
		i := b.start(uptime.Watch{Every: often, Window: 5, Generation: 3})
		s := b.reaches(i, "it has checked ten times", checks(10))
		if s.UpShare != "5 of 5" {
			t.Errorf("the window is %s", s.UpShare)
		}
		if g := generation(b); g < 3 {
			t.Errorf("generation %d", g)
		}
		// The history of a generation stays as short as the first.
		if n := b.Number("SELECT seq - base_seq FROM weir.instances"); n > 40 {
			t.Errorf("%d events in this generation", n)
		}
		b.tell(i, uptime.Command{Do: uptime.Stop})
		if sum, err := i.Wait(b.Ctx); err != nil || sum.Checks < 10 || sum.Checks != int(b.asked.Load()) {
			t.Errorf("got %+v, %v; the server was asked %d times", sum, err, b.asked.Load())
		}
	})
	t.Run("PauseAndResume", func(t *testing.T) {
		b := setup(t)
		i := b.start(uptime.Watch{Every: often})
		b.reaches(i, "it has checked", func(s uptime.Status) bool { return s.Checks > 1 })
		b.tell(i, uptime.Command{Do: uptime.Pause})
		paused := b.reaches(i, "it is paused", func(s uptime.Status) bool { return s.State == "paused" })
		b.tell(i, now)
		s := b.reaches(i, "it refuses", func(s uptime.Status) bool { return s.Refused != "" })
		if s.Refused != "check-now: the monitor is paused" || s.Checks != paused.Checks {
			t.Errorf("got %+v", s)
		}
		if n := int(b.asked.Load()); n != paused.Checks {
			t.Errorf("the server was asked %d times, the monitor checked %d times", n, paused.Checks)
		}
		b.tell(i, uptime.Command{Do: uptime.Resume})
		b.reaches(i, "it checks again", func(s uptime.Status) bool { return s.State == "up" && s.Checks > paused.Checks })
	})
	t.Run("Interval", func(t *testing.T) {
		b := setup(t)
		i := b.start(uptime.Watch{Every: seldom})
		b.reaches(i, "it has checked", checks(1))
		b.tell(i, uptime.Command{Do: uptime.Interval, Every: often})
		b.reaches(i, "it checks by itself", func(s uptime.Status) bool { return s.Checks >= 4 && s.Every == often })
	})
	t.Run("AnotherURL", func(t *testing.T) {
		b := setup(t)
		b.code.Store(http.StatusNotFound)
		i := b.start(uptime.Watch{Every: seldom})
		b.alarm()
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		defer other.Close()
		b.tell(i, uptime.Command{Do: uptime.Target, URL: other.URL})
		s := b.reaches(i, "it watches the other", checks(2))
		if s.State != "up" || s.URL != other.URL || s.UpShare != "1 of 1" || s.Alarms != 1 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("CommandsThatMakeNoSense", func(t *testing.T) {
		b := setup(t)
		i := b.start(uptime.Watch{Every: seldom})
		for n, test := range []struct {
			command uptime.Command
			want    string
		}{
			{uptime.Command{Do: "dance"}, `"dance": want pause, resume, check-now, interval, watch or stop`},
			{uptime.Command{}, `"": want pause, resume, check-now, interval, watch or stop`},
			{uptime.Command{Do: uptime.Interval}, "interval: invalid_watch: every 0s is too often, want at least 100ms"},
			{uptime.Command{Do: uptime.Target, URL: "ftp://x"}, `watch: invalid_watch: "ftp://x" is not an http or https address`},
		} {
			b.reaches(i, "it has checked", checks(n+1))
			b.tell(i, test.command)
			s := b.reaches(i, "it refuses", func(s uptime.Status) bool { return s.Checks == n+2 })
			if s.Refused != test.want || s.Every != seldom || s.URL != b.server.URL {
				t.Errorf("got %+v", s)
			}
		}
	})
	t.Run("NoCommandIsLostBetweenGenerations", func(t *testing.T) {
		b := setup(t)
		i := b.start(uptime.Watch{Every: seldom, Generation: 1})
		const n = 30
		for range n {
			b.tell(i, now)
		}
		b.reaches(i, "all commands are carried out", checks(n+1))
		b.ends(i, uptime.Summary{Checks: n + 1})
		if g := generation(b); g != n {
			t.Errorf("generation %d", g)
		}
	})
	t.Run("SurvivesItsWorker", func(t *testing.T) {
		b := setup(t)
		i := b.start(uptime.Watch{Every: seldom})
		b.reaches(i, "it has checked", checks(1))
		b.stop()
		b.tell(i, now) // while nobody works
		b.work()
		b.reaches(i, "it has checked again", checks(2))
		b.ends(i, uptime.Summary{Checks: 2})
	})
	t.Run("AnAlarmThatReachesNobodyDoesNotEndIt", func(t *testing.T) {
		b := setup(t)
		b.broken.Store(true)
		b.code.Store(http.StatusInternalServerError)
		i := b.start(uptime.Watch{Every: seldom})
		b.reaches(i, "it goes on", checks(1))
		b.ends(i, uptime.Summary{Checks: 1, Alarms: 1})
	})
}

func TestImpossibleWatches(t *testing.T) {
	b := setup(t)
	for _, w := range []uptime.Watch{
		{URL: "localhost:80", Every: seldom},
		{URL: "http://", Every: seldom},
		{URL: ":", Every: seldom},
		{Every: 1},
		{Every: seldom, Window: uptime.MaxWindow + 1},
		{Every: seldom, Generation: -1},
	} {
		if _, err := b.start(w).Wait(b.Ctx); !errors.Is(err, uptime.ErrInvalid) {
			t.Errorf("%+v: got %v", w, err)
		}
	}
	if n := b.asked.Load(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

func TestEnsure(t *testing.T) {
	b := setup(t)
	ensure := func(url string) string {
		t.Helper()
		id, err := uptime.Ensure(b.Ctx, b.Client, "health", uptime.Watch{URL: url, Every: seldom})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if id := ensure("http://127.0.0.1:1"); id != "health" {
		t.Errorf("got %q", id)
	}
	if id := ensure(b.server.URL); id != "health" { // there is one: it is told the new address
		t.Errorf("got %q", id)
	}
	i := uptime.Monitor.Instance(b.Client, "health")
	b.reaches(i, "it watches the new address", func(s uptime.Status) bool { return s.URL == b.server.URL && s.State == "up" })
	b.tell(i, uptime.Command{Do: uptime.Stop})
	if _, err := i.Wait(b.Ctx); err != nil {
		t.Fatal(err)
	}
	if id := ensure(b.server.URL); id != "health 2" {
		t.Errorf("got %q", id)
	}
	if id := ensure(b.server.URL); id != "health 2" {
		t.Errorf("got %q", id)
	}
}

func TestWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	var c uptime.Command
	if err := json.Unmarshal([]byte(`{"do": "interval", "every": "1m30s"}`), &c); err != nil {
		t.Fatal(err)
	}
	if want := (uptime.Command{Do: uptime.Interval, Every: uptime.Duration(90 * time.Second)}); c != want {
		t.Errorf("got %+v", c)
	}
	if out, err := json.Marshal(c); err != nil || string(out) != `{"do":"interval","every":"1m30s"}` {
		t.Errorf("got %s, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"do": "interval", "every": "soon"}`), &c); err == nil {
		t.Error("no error")
	}
}
