package ui_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-dev/weir/ui"
)

// These hold with the dashboard in the binary and without: then the placeholder is the page.
func TestHandler(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, prefix, method, path, accept string
		status                             int
	}{
		{"Root", "/", http.MethodGet, "/", "text/html", http.StatusOK},
		{"PageOfTheApplication", "/", http.MethodGet, "/h/default/o/order-1", "text/html,*/*;q=0.8", http.StatusOK},
		{"BelowAPrefix", "/weir/", http.MethodGet, "/weir/h/default", "text/html", http.StatusOK},
		{"Head", "/", http.MethodHead, "/", "", http.StatusOK},
		{"MissingAssetIsNoPage", "/", http.MethodGet, "/assets/gone-123.js", "*/*", http.StatusNotFound},
		{"NoPageForJSON", "/", http.MethodGet, "/h/default", "application/json", http.StatusNotAcceptable},
		{"NoPost", "/", http.MethodPost, "/", "text/html", http.StatusMethodNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, err := ui.Handler(c.prefix)
			if err != nil {
				t.Fatal(err)
			}
			req := httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil)
			req.Header.Set("Accept", c.accept)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			if rec.Code != c.status {
				t.Fatalf("status %d, want %d", rec.Code, c.status)
			}
			if c.status != http.StatusOK || c.method != http.MethodGet {
				return
			}
			if base := `<base href="` + c.prefix + `">`; !strings.Contains(rec.Body.String(), base) {
				t.Errorf("the page has no %s", base)
			}
			if policy := rec.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("content security policy %q", policy)
			}
			if kind := rec.Header().Get("Content-Type"); kind != "text/html; charset=utf-8" {
				t.Errorf("content type %q", kind)
			}
		})
	}
}

// TestOperations: the server has the documents of the dashboard if it has the dashboard.
func TestOperations(t *testing.T) {
	t.Parallel()
	known, err := ui.Operations()
	if err != nil || (len(known) > 0) != ui.Built() {
		t.Errorf("%d operations, %v; the dashboard is there: %t", len(known), err, ui.Built())
	}
}
