package statements

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Ask is a client of the API: it asks for a statement, and looks at the Location as often as it is told to until the
// statement is there. seen is told of each answer on the way; it may be nil.
func Ask(ctx context.Context, c *http.Client, base string, q Query, seen func(Answer)) (Statement, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return Statement{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/statements", bytes.NewReader(body))
	if err != nil {
		return Statement{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	for {
		resp, a, err := send(c, req) //nolint:bodyclose // send has closed it
		if err != nil {
			return Statement{}, err
		}
		switch {
		case resp.StatusCode == http.StatusOK && a.Statement != nil:
			return *a.Statement, nil
		case resp.StatusCode != http.StatusAccepted:
			return Statement{}, errors.New(resp.Status + ": " + a.Error)
		}
		if seen != nil {
			seen(a)
		}
		next, err := resp.Location()
		if err != nil {
			return Statement{}, fmt.Errorf("answer 202: %w", err)
		}
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			return Statement{}, fmt.Errorf("read Retry-After: %w", err)
		}
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-ctx.Done():
			return Statement{}, ctx.Err()
		}
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, next.String(), http.NoBody); err != nil {
			return Statement{}, err
		}
	}
}

func send(c *http.Client, req *http.Request) (*http.Response, Answer, error) {
	var a Answer
	resp, err := c.Do(req)
	if err != nil {
		return nil, a, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return nil, a, fmt.Errorf("read answer %s: %w", resp.Status, err)
	}
	return resp, a, nil
}
