package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-dev/weir/durable"
)

var (
	docsOrder = durable.Orchestration[struct{ Total int }, bool]("docs-order")
	docsPaid  = durable.Event[bool]("paid")
)

// TestApiExamples runs every example of docs/api.md against a server, in the order in which they stand.
func TestApiExamples(t *testing.T) {
	t.Parallel()
	db := empty(t)
	secret := strings.Repeat("s", 32)
	r := boot(t, "WEIR_DATABASE_URL", db.DSN(), "WEIR_ALLOW_ANYBODY", "false", "WEIR_ADMIN_TOKEN", secret)
	r.ready()
	pays := docsOrder.Handler(func(ctx *durable.Context, _ struct{ Total int }) (bool, error) { return docsPaid.Wait(ctx) })
	checkout := durable.Orchestration[struct{}, bool]("checkout").Handler(func(ctx *durable.Context, _ struct{}) (bool, error) {
		_, err := durable.Event[any]("decided").Wait(ctx)
		return true, err
	})
	worker, err := durable.NewWorker(db.Pool(t), &durable.Config{}, pays, checkout)
	if err != nil {
		t.Fatal(err)
	}
	life, stop := context.WithCancel(r.ctx)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(life) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})

	raw, err := os.ReadFile("docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, e := range apiExamples(string(raw)) {
		count[e.language]++
		var out string
		switch e.language {
		case "curl":
			out = r.curl(strings.ReplaceAll(e.text, "localhost:8082", strings.TrimPrefix(r.url, "http://")), secret)
		case "go":
			out = r.runFile("main.go", e.text, secret, "go", "run")
		case "js":
			out = r.runFile("follow.mjs", e.text, secret, "node", "--experimental-websocket", "--no-warnings")
		}
		for _, bad := range []string{`"errors":[{`, `"type":"about:blank"`} {
			if strings.Contains(out, bad) {
				t.Errorf("%s\nanswers\n%s", e.text, out)
			}
		}
		switch {
		case e.language == "js" && !strings.Contains(out, "ExecutionStarted") || e.language == "js" && !strings.Contains(out, "ExecutionCompleted"),
			e.language == "go" && !strings.Contains(out, "order-1002 is started"),
			strings.Contains(e.text, "startOrchestration") && e.language == "curl" && !strings.Contains(out, `"instanceId":"order-1001"`):
			t.Errorf("%s\nprints\n%s", e.text, out)
		}
	}
	if count["curl"] < 7 || count["go"] != 1 || count["js"] != 1 {
		t.Errorf("found %v", count)
	}
}

type apiExample struct{ language, text string }

// apiExamples finds what can be run in a document: indented commands, and blocks of a language. A command goes on over lines
// that are indented further.
func apiExamples(doc string) (out []apiExample) {
	fence := regexp.MustCompile("(?ms)^```(go|js)\n(.*?)^```$|^    (curl [^\n]*(?:\n      [^\n]*)*)")
	for _, m := range fence.FindAllStringSubmatch(doc, -1) {
		if m[3] != "" {
			out = append(out, apiExample{"curl", m[3]})
		} else {
			out = append(out, apiExample{m[1], m[2]})
		}
	}
	return out
}

// curl carries out a command as curl would: a shell reads it, and what is left are few flags. Machines that run the tests
// need not have curl.
func (r *running) curl(command, token string) string {
	r.t.Helper()
	shell := exec.CommandContext(r.ctx, "bash", "-c", `curl() { printf '%s\0' "$@"; }; `+command)
	shell.Env = append(os.Environ(), "WEIR_TOKEN="+token)
	words, err := shell.Output()
	if err != nil {
		r.t.Fatalf("%s: %v", command, err)
	}
	args := strings.Split(strings.TrimSuffix(string(words), "\x00"), "\x00")
	method, url, body, header := http.MethodGet, "", "", http.Header{"Authorization": {"Bearer " + token}}
	for n := 0; n < len(args); n++ {
		switch args[n] {
		case "-s", "-si":
		case "-H":
			n++
			name, value, _ := strings.Cut(args[n], ": ")
			header.Set(name, value)
		case "-d":
			n++
			method, body = http.MethodPost, args[n]
			if !json.Valid([]byte(body)) {
				r.t.Errorf("not JSON: %s", body)
			}
		default:
			if url != "" || strings.HasPrefix(args[n], "-") {
				r.t.Fatalf("%s: %q is not known here", command, args[n])
			}
			url = "http://" + args[n]
		}
	}
	req, err := http.NewRequestWithContext(r.ctx, method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		r.t.Errorf("%s\nanswers %d %s", command, resp.StatusCode, out)
	}
	return string(out)
}

// runFile runs a program that a document shows.
func (r *running) runFile(name, text, token string, command ...string) string {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(r.ctx, command[0], append(command[1:], path)...)
	cmd.Env = append(os.Environ(), "WEIR_SERVER="+r.url, "WEIR_TOKEN="+token)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		r.t.Errorf("%s: %v\n%s", name, err, out.String())
	}
	return out.String()
}
