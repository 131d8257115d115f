package auth

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestGate: who is let in, who is not, and what they are told.
func TestGate(t *testing.T) {
	admin, err := AdminToken("0123456789abcdefghijklmnopqrstuv")
	if err != nil {
		t.Fatal(err)
	}
	tokens := Tokens("weir_", func(_ context.Context, secret string) (*Found, error) {
		switch secret {
		case "weir_good":
			return &Found{ID: "1", Name: "ci", Grants: map[string][]string{"default": {"READER", "OF_A_LATER_VERSION"}}}, nil
		case "weir_down":
			return nil, errors.New("the database is away")
		}
		return nil, nil
	}, Options{})
	refused := 0
	g := &Gate{Verifiers: []Verifier{admin, tokens}, Refused: func(*http.Request, string, error) { refused++ }}
	var who *Principal
	h := g.Protect(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { who = From(req.Context()) }),
		func(w http.ResponseWriter, _ *http.Request, status int, code, message string) {
			http.Error(w, code+": "+message, status)
		})
	n := 0
	for header, want := range map[string]struct {
		status  int
		subject string
	}{
		"":                 {401, ""},
		"Bearer weir_good": {200, "token:1"},
		"bearer weir_good": {200, "token:1"},
		"Bearer 0123456789abcdefghijklmnopqrstuv":     {200, "token:admin"},
		"Bearer 0123456789abcdefghijklmnopqrstuw":     {401, ""},
		"Bearer weir_bad":                             {401, ""},
		"Bearer weir_down":                            {503, ""},
		"Bearer":                                      {401, ""},
		"Bearer ":                                     {401, ""},
		"Basic d2Vpcl9nb29k":                          {401, ""},
		"Bearer " + strings.Repeat("x", maxBearer+1):  {401, ""},
		"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.": {401, ""},
	} {
		who = nil
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		if header != "" {
			req.Header.Set("Authorization", header)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		subject := ""
		if who != nil {
			subject = who.Subject
		}
		if w.Code != want.status || subject != want.subject {
			t.Errorf("%.60q: %d and %q, want %+v", header, w.Code, subject, want)
		}
		if want.status != 200 {
			n++
			if strings.Contains(w.Body.String(), "database") && want.status == 401 || strings.Contains(w.Body.String(), "weir_") {
				t.Errorf("%.60q: it says %s", header, w.Body)
			}
		}
		if (w.Header().Get("WWW-Authenticate") != "") != (want.status == 401) {
			t.Errorf("%.60q: the challenge is %q", header, w.Header().Get("WWW-Authenticate"))
		}
	}
	if refused != n {
		t.Errorf("%d were refused, told of %d", n, refused)
	}
}

// TestAddress: only trusted proxies say where a request came from, and only as far as they are trusted.
func TestAddress(t *testing.T) {
	proxies, err := ParseProxies("10.0.0.0/8, ::1, 192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Proxies: proxies}
	for _, c := range []struct{ peer, forwarded, want string }{
		{"203.0.113.5:1", "", "203.0.113.5"},
		{"203.0.113.5:1", "198.51.100.1", "203.0.113.5"}, // it is no proxy
		{"10.1.2.3:1", "198.51.100.1", "198.51.100.1"},
		{"10.1.2.3:1", "1.1.1.1, 198.51.100.1", "198.51.100.1"}, // the first was written by whoever asks
		{"10.1.2.3:1", "198.51.100.1, 192.0.2.7", "198.51.100.1"},
		{"10.1.2.3:1", "nonsense", "10.1.2.3"},
		{"[::1]:1", "2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.1.2.3]:1", "198.51.100.1", "198.51.100.1"},
		{"@", "", "@"},
	} {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.RemoteAddr = c.peer
		if c.forwarded != "" {
			req.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := g.address(req); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	for _, bad := range []string{"proxy", "10.0.0.0/33", "10.0.0.0/8,x"} {
		if _, err := ParseProxies(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestAdminToken: what is too short to be a secret is refused.
func TestAdminToken(t *testing.T) {
	for _, bad := range []string{"", "short", strings.Repeat("x", 23), strings.Repeat("x", 30) + " ", strings.Repeat("ü", 30)} {
		if _, err := AdminToken(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
