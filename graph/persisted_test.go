package graph_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/graph"
)

const (
	knownQuery  = "query Known($h: String!) { hub(name: $h) { name } }"
	knownStream = `subscription Stream { orchestrationChanges(hub: "default", first: 1) { __typename } }`
	otherQuery  = `{ hub(name: "default") { name } }`
	otherStream = `subscription { orchestrationChanges(hub: "default", first: 2) { __typename } }`
)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// servePersisted serves an API that knows two documents, to browsers that have signed in and to programs with a token.
func servePersisted(t *testing.T, open bool) *api {
	t.Helper()
	a := serveAlone(t, func(c *graph.Config, _ *pgxpool.Config) {
		c.Operations, c.OpenSessions = map[string]string{hashOf(knownQuery): knownQuery, hashOf(knownStream): knownStream}, open
	})
	admin := func(kind auth.Kind) *auth.Principal {
		return &auth.Principal{Subject: "somebody", Name: "somebody", Kind: kind, Grants: auth.Grants{auth.AllHubs: {auth.Admin}}}
	}
	gate := &auth.Gate{
		Verifiers: []auth.Verifier{func(context.Context, string) (*auth.Principal, error) { return admin(auth.ByToken), nil }},
		Session: func(req *http.Request) (*auth.Principal, error) {
			if c, err := req.Cookie("session"); err != nil || c.Value == "" {
				return nil, nil //nolint:nilerr // it has none
			}
			return admin(auth.BySession), nil
		},
	}
	a.server.Config.Handler = gate.Protect(a.handler, graph.Refuse)
	return a
}

// TestPersisted: who may run what by its hash, and by its text, over HTTP and over a websocket.
func TestPersisted(t *testing.T) {
	t.Parallel()
	trusted, open := servePersisted(t, false), servePersisted(t, true)
	browser, program := http.Header{"Cookie": {"session=x"}}, http.Header{"Authorization": {"Bearer x"}}
	both := http.Header{"Cookie": {"session=x"}, "Authorization": {"Bearer x"}}
	byHash := func(hash any) map[string]any {
		return map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hash}}
	}
	type request = map[string]any
	for name, test := range map[string]struct {
		a           *api
		who         http.Header
		query, live request // live is nil where a websocket would tell nothing new
		code        string
	}{
		"a browser, by hash":                {trusted, browser, request{"extensions": byHash(hashOf(knownQuery))}, request{"extensions": byHash(hashOf(knownStream))}, ""},
		"a browser, by hash and no text":    {trusted, browser, request{"query": "", "extensions": byHash(hashOf(knownQuery))}, request{"query": "", "extensions": byHash(hashOf(knownStream))}, ""},
		"a browser, by a known text":        {trusted, browser, request{"query": knownQuery}, request{"query": knownStream}, ""},
		"a browser, by hash and text":       {trusted, browser, request{"query": knownQuery, "extensions": byHash(hashOf(knownQuery))}, request{"query": knownStream, "extensions": byHash(hashOf(knownStream))}, ""},
		"a browser, by another text":        {trusted, browser, request{"query": otherQuery}, request{"query": otherStream}, "OPERATION_NOT_TRUSTED"},
		"a browser, by another's hash too":  {trusted, browser, request{"query": otherQuery, "extensions": byHash(hashOf(otherQuery))}, request{"query": otherStream, "extensions": byHash(hashOf(otherStream))}, "OPERATION_NOT_TRUSTED"},
		"a browser, by an unknown hash":     {trusted, browser, request{"extensions": byHash(hashOf(otherQuery))}, request{"extensions": byHash(hashOf(otherStream))}, "PERSISTED_QUERY_NOT_FOUND"},
		"a browser, by a hash that differs": {trusted, browser, request{"query": otherQuery, "extensions": byHash(hashOf(knownQuery))}, request{"query": otherStream, "extensions": byHash(hashOf(knownStream))}, "BAD_REQUEST"},
		"a browser where all is open":       {open, browser, request{"query": otherQuery}, request{"query": otherStream}, ""},
		"a hash where all is open":          {open, browser, request{"extensions": byHash(hashOf(knownQuery))}, request{"extensions": byHash(hashOf(knownStream))}, ""},
		"a program, by text":                {trusted, program, request{"query": otherQuery}, request{"query": otherStream}, ""},
		"a program, by hash":                {trusted, program, request{"extensions": byHash(hashOf(knownQuery))}, request{"extensions": byHash(hashOf(knownStream))}, ""},
		"a program, by an unknown hash":     {trusted, program, request{"extensions": byHash(hashOf(otherQuery))}, request{"extensions": byHash(hashOf(otherStream))}, "PERSISTED_QUERY_NOT_FOUND"},
		"a program, by a hash that differs": {trusted, program, request{"query": otherQuery, "extensions": byHash(hashOf(knownQuery))}, request{"query": otherStream, "extensions": byHash(hashOf(knownStream))}, "BAD_REQUEST"},
		"a token beside a cookie":           {trusted, both, request{"query": otherQuery}, request{"query": otherStream}, ""},
		"a hash that is a number":           {trusted, program, request{"extensions": byHash(5)}, request{"extensions": byHash(5)}, "BAD_REQUEST"},
		"an empty hash":                     {trusted, program, request{"extensions": byHash("")}, request{"extensions": byHash("")}, "BAD_REQUEST"},
		"no hash":                           {trusted, program, request{"extensions": request{"persistedQuery": "x"}}, request{"extensions": request{"persistedQuery": "x"}}, "BAD_REQUEST"},
		"blanks and a hash":                 {trusted, browser, request{"query": " ", "extensions": byHash(hashOf(knownQuery))}, nil, "BAD_REQUEST"},
		"nothing":                           {trusted, browser, request{"variables": request{}}, nil, "BAD_REQUEST"},
	} {
		t.Run(name, func(t *testing.T) {
			test.query["variables"] = map[string]any{"h": "default"}
			body, err := json.Marshal(test.query)
			if err != nil {
				t.Fatal(err)
			}
			got := test.a.send(string(body), test.who)
			code := ""
			if len(got.Errors) > 0 {
				code = got.Errors[0].Extensions.Code
			}
			if want := `{"hub":{"name":"default"}}`; code != test.code || (code == "") != (string(got.Data) == want) {
				t.Errorf("over HTTP: code %q, want %q; %s", code, test.code, got.Data)
			}
			if test.live == nil {
				return
			}
			s := test.a.dialWith(test.who)
			s.write(message{Type: "connection_init"})
			if m := s.read(); m.Type != "connection_ack" {
				t.Fatalf("got %+v", m)
			}
			raw, err := json.Marshal(test.live)
			if err != nil {
				t.Fatal(err)
			}
			s.write(message{Type: "subscribe", ID: "1", Payload: raw})
			m := s.read()
			var live struct {
				Data   json.RawMessage `json:"data"`
				Errors []apiError      `json:"errors"`
			}
			if err := json.Unmarshal(m.Payload, &live); m.Type != "next" || err != nil {
				t.Fatalf("got %s %s, %v", m.Type, m.Payload, err)
			}
			switch {
			case test.code == "" && (len(live.Errors) != 0 || string(live.Data) == "null"),
				test.code != "" && (len(live.Errors) != 1 || live.Errors[0].Extensions.Code != test.code || string(live.Data) != "null"):
				t.Errorf("over a websocket: %s, want %q", m.Payload, test.code)
			}
		})
	}
}
