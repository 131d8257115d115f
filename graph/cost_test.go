package graph_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/graph"
)

type costs struct {
	Cost      int `json:"cost"`
	Remaining int `json:"remaining"`
	Limit     int `json:"limit"`
	PerSecond int `json:"perSecond"`
}

// TestCost: each answer says what it cost; who has used up its budget is told when to come again, and nobody else is.
func TestCost(t *testing.T) {
	g := serveKnown(t, func(c *graph.Config, _ *pgxpool.Config) { c.Budget = &graph.Budget{Burst: 20_000, PerSecond: 1} })
	ann, bob := g.token("default=READER"), g.token("*=READER")
	const dear = `{ orchestrations(hub: "default", first: 200) { nodes { id instanceId name status createdAt finishedAt tags { key value } } } queryCost { cost remaining limit perSecond } }`
	type answer struct {
		Data struct {
			QueryCost costs `json:"queryCost"`
		} `json:"data"`
		Extensions struct {
			Cost costs `json:"cost"`
		} `json:"extensions"`
		Errors []struct {
			Message    string `json:"message"`
			Extensions struct {
				Code       string `json:"code"`
				RetryAfter string `json:"retryAfter"`
			} `json:"extensions"`
		} `json:"errors"`
	}
	read := func(token string) (a answer) {
		t.Helper()
		if err := json.Unmarshal([]byte(g.as(token, dear, nil).raw), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := read(ann)
	c := first.Extensions.Cost
	if c.Cost < 1000 || c.Remaining != 20_000-c.Cost || c.Limit != 20_000 || c.PerSecond != 1 || first.Data.QueryCost != c {
		t.Fatalf("got %+v", first)
	}
	var last answer
	n := 1
	for ; len(last.Errors) == 0; n++ {
		if n > 30 {
			t.Fatal("there is no end to it")
		}
		last = read(ann)
	}
	e := last.Errors[0]
	wait, err := strconv.ParseFloat(e.Extensions.RetryAfter, 64)
	if err != nil || wait <= 0 || e.Extensions.Code != "RATE_LIMITED" || !strings.Contains(e.Message, "try again in") || n-1 != 20_000/c.Cost {
		t.Errorf("after %d of cost %d: %+v, %v", n, c.Cost, e, err)
	}
	if a := read(bob); len(a.Errors) != 0 || a.Extensions.Cost.Remaining != 20_000-c.Cost {
		t.Errorf("somebody else: %+v", a)
	}
	// A subscription is charged like a question.
	s := g.dialWith(http.Header{"Authorization": {"Bearer " + ann}})
	s.write(message{Type: "connection_init"})
	if m := s.read(); m.Type != "connection_ack" {
		t.Fatalf("got %+v", m)
	}
	limited := false
	for id := 0; !limited && id < 20; id++ {
		s.subscribe(strconv.Itoa(id), changesQuery, vars{"first": 200})
		m := s.read()
		for m.Type == "complete" || m.ID != strconv.Itoa(id) {
			m = s.read()
		}
		limited = strings.Contains(string(m.Payload), "RATE_LIMITED")
	}
	if !limited {
		t.Error("subscriptions cost nothing")
	}
}
