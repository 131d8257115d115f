package statements_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
	"github.com/weir-dev/weir/durable/httpcall"
	"github.com/weir-dev/weir/examples/api/statements"
	"github.com/weir-dev/weir/examples/internal/harness"
	"github.com/weir-dev/weir/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// bench is a harness with the API and its accounts, which answer when they may.
type bench struct {
	*harness.Harness
	t      *testing.T
	server *httptest.Server
	gone   chan struct{} // a month is added up when this yields, or is closed
	broken atomic.Bool   // the accounts say nothing of May
	asked  atomic.Int64
}

func setup(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	b := &bench{Harness: harness.New(t), t: t, gone: make(chan struct{})}
	b.serve()
	return b
}

func (b *bench) serve() {
	b.server = httptest.NewServer(statements.API(b.Client))
	b.t.Cleanup(b.server.Close)
}

const errNoAccounts durable.Failure = "no_accounts"

func (b *bench) work(more ...durable.Handler) (stop func()) {
	return b.Worker(append(statements.Handlers(func(ctx context.Context, m statements.Month) (int64, error) {
		b.asked.Add(1)
		if b.broken.Load() && m.Month == 5 {
			return 0, errNoAccounts
		}
		select {
		case <-b.gone:
			return int64(m.Month), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}), more...)...)
}

// reply is what the API has answered.
type reply struct {
	code     int
	location string
	after    string
	statements.Answer
}

func (b *bench) do(method, url, key, body string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.Ctx, method, url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := b.server.Client().Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{code: resp.StatusCode, after: resp.Header.Get("Retry-After")}
	if l, err := resp.Location(); err == nil {
		r.location = l.String()
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r.Answer); err != nil {
		b.t.Fatalf("%s %s: %d %s", method, url, resp.StatusCode, text)
	}
	return r
}

func (b *bench) post(key, body string) reply {
	return b.do("POST", b.server.URL+"/statements", key, body)
}

const kim2025 = `{"customer": "kim", "year": 2025}`

// instance is what a Location stands for.
func (b *bench) instance(r reply) *durable.Instance[statements.Statement] {
	return statements.Draw.Instance(b.Client, "statement-"+r.location[strings.LastIndex(r.location, "/")+1:])
}

func (b *bench) reaches(r reply, done int) {
	b.t.Helper()
	harness.Reaches(b.Harness, b.instance(r), "months are done", func(p statements.Progress) bool { return p.Done == done })
}

func TestAPI(t *testing.T) {
	t.Parallel()
	t.Run("AcceptedThenFound", func(t *testing.T) {
		b := setup(t)
		posted := b.post("", kim2025) // before anybody works
		if posted.code != http.StatusAccepted || posted.after != "1" || !strings.HasPrefix(posted.location, b.server.URL+"/statements/") {
			t.Fatalf("got %+v", posted)
		}
		if r := b.do("GET", posted.location, "", ""); r.code != http.StatusAccepted || r.Status != "PENDING" || r.after != "1" || r.location != posted.location {
			t.Errorf("got %+v", r)
		}
		b.work()
		for range 4 {
			b.gone <- struct{}{}
		}
		b.reaches(posted, 4)
		r := b.do("GET", posted.location, "", "")
		if r.code != http.StatusAccepted || r.Status != "RUNNING" || r.Progress == nil || *r.Progress != (statements.Progress{Done: 4, Total: 12}) {
			t.Errorf("got %+v", r)
		}
		close(b.gone)
		if _, err := b.instance(posted).Wait(b.Ctx); err != nil {
			t.Fatal(err)
		}
		r = b.do("GET", posted.location, "", "")
		if r.code != http.StatusOK || r.Status != "COMPLETED" || r.after != "" || r.Statement == nil || r.Statement.Total != 78 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("SentAgain", func(t *testing.T) {
		b := setup(t)
		close(b.gone)
		b.work()
		first := b.post("click-1", kim2025)
		if again := b.post("click-1", kim2025); again != first {
			t.Errorf("got %+v, then %+v", first, again)
		}
		if other := b.post("../click 2", kim2025); other.location == first.location || other.code != http.StatusAccepted {
			t.Errorf("got %+v", other)
		}
		if n := b.Number("SELECT count(*) FROM weir.instances"); n != 2 {
			t.Errorf("%d instances", n)
		}
		if _, err := b.instance(first).Wait(b.Ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("AnotherServerAnswers", func(t *testing.T) {
		b := setup(t)
		stop := b.work()
		posted := b.post("", kim2025)
		for range 4 {
			b.gone <- struct{}{}
		}
		b.reaches(posted, 4)
		stop()
		b.server.Close()
		b.serve()
		posted.location = b.server.URL + posted.location[strings.Index(posted.location, "/statements/"):]
		if r := b.do("GET", posted.location, "", ""); r.code != http.StatusAccepted || r.Progress == nil || r.Progress.Done != 4 {
			t.Errorf("got %+v", r)
		}
		close(b.gone)
		b.work()
		if _, err := b.instance(posted).Wait(b.Ctx); err != nil {
			t.Fatal(err)
		}
		if r := b.do("GET", posted.location, "", ""); r.code != http.StatusOK || r.Statement == nil || r.Statement.Total != 78 {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("Failed", func(t *testing.T) {
		b := setup(t)
		b.broken.Store(true)
		close(b.gone)
		b.work()
		posted := b.post("", kim2025)
		if _, err := b.instance(posted).Wait(b.Ctx); !errors.Is(err, errNoAccounts) {
			t.Fatalf("got %v", err)
		}
		r := b.do("GET", posted.location, "", "")
		if r.code != http.StatusOK || r.Status != "FAILED" || r.Statement != nil || !strings.Contains(r.Error, "no_accounts") {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("Refused", func(t *testing.T) {
		b := setup(t)
		for body, want := range map[string]string{
			`{`:                                 "read the query: unexpected EOF",
			`{"year": 2025}`:                    "invalid_query: customer must not be empty",
			`{"customer": "kim", "year": 1999}`: "invalid_query: year is 1999, want 2000 to 2099",
			`{"customer": "` + strings.Repeat("k", 5000) + `"}`: "read the query: http: request body too large",
		} {
			if r := b.post("", body); r.code != http.StatusBadRequest || r.Error != want || r.location != "" {
				t.Errorf("%.40s: got %+v, want %q", body, r, want)
			}
		}
		if r := b.do("GET", b.server.URL+"/statements/nobody", "", ""); r.code != http.StatusNotFound {
			t.Errorf("got %+v", r)
		}
		if n := b.Number("SELECT count(*) FROM weir.instances"); n != 0 {
			t.Errorf("%d instances", n)
		}
	})
}

// TestAsk: the client looks until the statement is there.
func TestAsk(t *testing.T) {
	b := setup(t)
	b.work()
	looks := 0
	s, err := statements.Ask(b.Ctx, b.server.Client(), b.server.URL, statements.Query{Customer: "kim", Year: 2025}, func(statements.Answer) {
		if looks++; looks == 1 {
			close(b.gone)
		}
	})
	if err != nil || s.Total != 78 || s.Customer != "kim" || len(s.Months) != 12 {
		t.Errorf("got %+v, %v", s, err)
	}
	if looks == 0 {
		t.Error("the API did not make the client wait")
	}
	if n := b.asked.Load(); n != 12 {
		t.Errorf("the accounts were asked %d times", n)
	}
	const refused = "400 Bad Request: invalid_query: year is 1999, want 2000 to 2099"
	if _, err := statements.Ask(b.Ctx, b.server.Client(), b.server.URL, statements.Query{Customer: "kim", Year: 1999}, nil); err == nil || err.Error() != refused {
		t.Errorf("got %v, want %s", err, refused)
	}
	ctx, cancel := context.WithCancel(b.Ctx)
	_, err = statements.Ask(ctx, b.server.Client(), b.server.URL, statements.Query{Customer: "kim", Year: 2025}, func(statements.Answer) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

const audit durable.Orchestration[string, int64] = "audit"

// TestAskedByAnOrchestration: what answers like this can be called from an orchestration, which waits durably.
func TestAskedByAnOrchestration(t *testing.T) {
	b := setup(t)
	close(b.gone)
	b.work(httpcall.Handler(httpcall.Options{}), audit.Handler(func(ctx *durable.Context, base string) (int64, error) {
		r, err := httpcall.Call(ctx, httpcall.Request{Method: http.MethodPost, URL: base + "/statements", Body: []byte(kim2025)}, durable.Overall(time.Minute))
		if err != nil {
			return 0, err
		}
		var a statements.Answer
		if err := r.JSON(&a); err != nil || a.Statement == nil {
			return 0, errors.Join(err, errors.New(a.Error))
		}
		return a.Statement.Total, nil
	}))
	inst, err := audit.Start(b.Ctx, b.Client, b.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if total, err := inst.Wait(b.Ctx); err != nil || total != 78 {
		t.Errorf("got %d, %v", total, err)
	}
}
