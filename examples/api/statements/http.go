package statements

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/weir-dev/weir/durable"
)

const (
	// prefix begins the ids of instances that this API has started: it shows no others.
	prefix = "statement-"
	// retryAfter is how many seconds a client is asked to wait between two looks.
	retryAfter = 1
	// maxBody bounds a query, in bytes.
	maxBody = 4 << 10
)

// Answer is the body of every answer.
type Answer struct {
	Status    string     `json:"status,omitempty"` // the instance's, such as RUNNING; not in the answer to a POST
	Progress  *Progress  `json:"progress,omitempty"`
	Statement *Statement `json:"statement,omitempty"`
	Error     string     `json:"error,omitempty"`
}

// API serves statements over HTTP:
//
//	POST /statements        takes a Query; 202 with the Location of the statement, 400 if the query is impossible
//	GET  /statements/{key}  202 while it is drawn up, 200 when that has ended, well or not, 404 if there is none
//
// What is asked with an Idempotency-Key is asked once, however often it is sent; the first query of a key counts. The
// API keeps nothing itself: any process that has the database answers for any statement.
func API(c *durable.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /statements", func(w http.ResponseWriter, r *http.Request) {
		var q Query
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&q); err != nil {
			answer(w, http.StatusBadRequest, Answer{Error: "read the query: " + err.Error()})
			return
		}
		key := keyOf(r.Header.Get("Idempotency-Key"))
		if err := start(r.Context(), c, key, q); err != nil {
			refuse(w, err)
			return
		}
		pending(w, key, Answer{})
	})
	mux.HandleFunc("GET /statements/{key}", func(w http.ResponseWriter, r *http.Request) {
		key := r.PathValue("key")
		a, ended, err := look(r.Context(), Draw.Instance(c, prefix+key))
		switch {
		case err != nil:
			refuse(w, err)
		case ended:
			answer(w, http.StatusOK, a)
		default:
			pending(w, key, a)
		}
	})
	return mux
}

// keyOf is the end of an instance's id and of its address: the same for the same text, another one for none.
func keyOf(idempotency string) string {
	if idempotency == "" {
		return rand.Text()
	}
	sum := sha256.Sum256([]byte(idempotency))
	return hex.EncodeToString(sum[:])
}

func start(ctx context.Context, c *durable.Client, key string, q Query) error {
	if err := q.Check(); err != nil {
		return err
	}
	_, err := Draw.Start(ctx, c, q, durable.ID(prefix+key), durable.Reuse{Existing: true})
	return err
}

// look tells how a statement stands. One that failed is an answer too.
func look(ctx context.Context, i *durable.Instance[Statement]) (a Answer, ended bool, err error) {
	state, err := i.State(ctx)
	if err != nil {
		return a, false, err
	}
	a.Status = state.Status
	if len(state.CustomStatus) > 0 {
		if err := json.Unmarshal(state.CustomStatus, &a.Progress); err != nil {
			return a, false, err
		}
	}
	switch state.Status {
	case "PENDING", "RUNNING", "SUSPENDED":
		return a, false, nil
	}
	s, err := i.Wait(ctx) // it has ended, so there is nothing to wait for
	var failed *durable.TaskError
	switch {
	case errors.As(err, &failed):
		a.Error = failed.Message
	case err != nil:
		return a, false, err
	default:
		a.Statement = &s
	}
	return a, true, nil
}

// pending says where to look, and when.
func pending(w http.ResponseWriter, key string, a Answer) {
	w.Header().Set("Location", "/statements/"+url.PathEscape(key))
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	answer(w, http.StatusAccepted, a)
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrInvalid), errors.Is(err, durable.ErrInvalid):
		status = http.StatusBadRequest
	case errors.Is(err, durable.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, durable.ErrUnavailable):
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		status = http.StatusServiceUnavailable
	}
	answer(w, status, Answer{Error: err.Error()})
}

func answer(w http.ResponseWriter, status int, a Answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) //nolint:errchkjson // whoever has gone does not need it
}
