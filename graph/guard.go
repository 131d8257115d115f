package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/weir-dev/weir/internal/requests"
)

// guard answers what is no request of GraphQL over HTTP, so that all errors have one form and none tells more
// than it should.
func guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		refused := func(status int, code, format string, args ...any) {
			writeError(w, req, status, refuse(code, format, args...))
		}
		if isSocket(req) {
			if !slices.Contains(subprotocols(req), subprotocol) {
				refused(http.StatusBadRequest, codeBadRequest, "the websocket's protocol must be %s", subprotocol)
				return
			}
			if !sameOrigin(req) {
				refused(http.StatusForbidden, codeForbidden, "websockets from other sites are not accepted")
				return
			}
			next.ServeHTTP(w, req)
			return
		}
		if req.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			refused(http.StatusMethodNotAllowed, codeBadRequest, "use POST with a JSON body, or a websocket of the protocol %s", subprotocol)
			return
		}
		// A form or plain text could come from any web page without a preflight.
		if kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			refused(http.StatusUnsupportedMediaType, codeBadRequest, "the content type must be application/json")
			return
		}
		if crossOrigin.Check(req) != nil {
			refused(http.StatusForbidden, codeForbidden, "requests from other sites are not accepted")
			return
		}
		body, status, err := readBody(w, req)
		if err != nil {
			writeError(w, req, status, err)
			return
		}
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		next.ServeHTTP(w, req)
	})
}

// readBody reads a request's body, and checks that it is one.
func readBody(w http.ResponseWriter, req *http.Request) (body []byte, status int, err error) {
	switch body, err = requests.Body(w, req); {
	case errors.Is(err, requests.ErrTooLarge):
		return nil, http.StatusRequestEntityTooLarge, refuse(codeTooLarge, "the request is larger than %d bytes", requests.MaxBody)
	case errors.Is(err, requests.ErrNotUTF8):
		return nil, http.StatusBadRequest, refuse(codeBadRequest, "the request is not valid UTF-8")
	case err != nil:
		return nil, http.StatusBadRequest, refuse(codeBadRequest, "the request did not come to its end")
	}
	if err := checkRequest(body); err != nil {
		return nil, http.StatusBadRequest, err
	}
	return body, 0, nil
}

// checkRequest checks that a request has the form {"query": ..., "variables": ..., "operationName": ..., "extensions": ...}, with a
// query or the hash of one.
func checkRequest(body []byte) error {
	var form struct {
		Query         *string                    `json:"query"`
		OperationName *string                    `json:"operationName"`
		Variables     map[string]json.RawMessage `json:"variables"`
		Extensions    map[string]json.RawMessage `json:"extensions"`
	}
	err := json.Unmarshal(body, &form)
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return refuse(codeBadRequest, "%s in the request must not be of the type %s", kind.Field, kind.Value)
	case errors.As(err, &kind):
		return refuse(codeBadRequest, "the request must be one JSON object")
	case err != nil:
		return refuse(codeBadRequest, "the request is not JSON")
	case (form.Query == nil || *form.Query == "") && form.Extensions[persistedKey] != nil: // whose text is looked up
	case form.Query == nil || strings.TrimSpace(*form.Query) == "":
		return refuse(codeBadRequest, `the request has no "query"`)
	}
	return nil
}

// writeError answers with one error, in the form of GraphQL's answers.
func writeError(w http.ResponseWriter, req *http.Request, status int, err error) {
	var g *gqlerror.Error
	if !errors.As(err, &g) {
		g = gqlerror.Wrap(err)
	}
	if g.Extensions == nil {
		g.Extensions = map[string]any{}
	}
	id, _ := req.Context().Value(requestKey{}).(string)
	g.Extensions["requestId"] = id
	w.Header().Set("Content-Type", "application/graphql-response+json")
	w.WriteHeader(status)
	body, err := json.Marshal(map[string]any{"errors": gqlerror.List{g}})
	if err != nil { // texts only
		panic(err)
	}
	_, _ = w.Write(body)
}

func isSocket(req *http.Request) bool {
	return req.Method == http.MethodGet && strings.EqualFold(req.Header.Get("Upgrade"), "websocket")
}

// sameOrigin tells whether a websocket is opened by a page of this server, or by a program that is no browser.
func sameOrigin(req *http.Request) bool {
	origin := req.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, req.Host)
}

func subprotocols(req *http.Request) []string {
	var out []string
	for _, line := range req.Header.Values("Sec-Websocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			out = append(out, strings.TrimSpace(name))
		}
	}
	return out
}

type requestKey struct{}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}
