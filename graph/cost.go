package graph

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/weir-dev/weir/auth"
)

// Budget is how much a caller may ask for: operations cost what their complexity is, of which each caller has Burst to
// begin with, and gets back PerSecond.
type Budget struct {
	// Burst is at least what the costliest operation may cost, 20,000.
	Burst int
	// PerSecond of 0 bounds nothing.
	PerSecond int
}

// DefaultBudget is some ten pages of a list at once, and one a second.
var DefaultBudget = Budget{Burst: maxComplexity, PerSecond: 2000}

// codeRate is for who has used up its budget.
const codeRate = "RATE_LIMITED"

// buckets hold what each caller has left. One that is full is forgotten.
type buckets struct {
	Budget

	now func() time.Time

	mu   sync.Mutex
	left map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// maxBuckets is how many callers are kept in mind. When there are more, those that are full again are forgotten.
const maxBuckets = 10_000

func newBuckets(b Budget) *buckets {
	return &buckets{Budget: b, now: time.Now, left: map[string]bucket{}}
}

// spend takes the cost of an operation from a caller's bucket and returns what is left. If there is not enough it takes
// nothing, and returns when there will be.
func (b *buckets) spend(who string, cost int) (left int, wait time.Duration) {
	if b.PerSecond == 0 {
		return b.Burst, 0
	}
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	has := b.filled(who, now)
	if has < float64(cost) {
		b.left[who] = bucket{has, now}
		return int(has), time.Duration((float64(cost) - has) / float64(b.PerSecond) * float64(time.Second))
	}
	has -= float64(cost)
	if len(b.left) >= maxBuckets {
		for name := range b.left {
			if b.filled(name, now) >= float64(b.Burst) {
				delete(b.left, name)
			}
		}
	}
	b.left[who] = bucket{has, now}
	return int(has), 0
}

// filled is what a caller has by now. The caller holds the lock.
func (b *buckets) filled(who string, now time.Time) float64 {
	had, ok := b.left[who]
	if !ok {
		return float64(b.Burst)
	}
	return min(float64(b.Burst), had.left+now.Sub(had.at).Seconds()*float64(b.PerSecond))
}

// spender names whose budget an operation is on: a caller's, or, where everybody is let in, an address's.
func spender(ctx context.Context) string {
	if who := auth.From(ctx); who != nil && who.Kind != auth.ByNothing {
		return who.Subject
	}
	return "address " + auth.Address(ctx)
}

// cost is what an operation costs, and what its caller has left after it.
type cost struct {
	Cost      int `json:"cost"`
	Remaining int `json:"remaining"`
	Limit     int `json:"limit"`
	PerSecond int `json:"perSecond"`
}

type costKey struct{}

// charge takes what an operation costs from its caller's budget. Errors: RATE_LIMITED.
func (h *Handler) charge(ctx context.Context) (context.Context, error) {
	c := cost{Limit: h.budget.Burst, PerSecond: h.budget.PerSecond}
	if stats := extension.GetComplexityStats(ctx); stats != nil {
		c.Cost = stats.Complexity
	}
	left, wait := h.budget.spend(spender(ctx), c.Cost)
	if wait > 0 {
		err := refusal(codeRate, "this costs %d, and you have %d of %d left, which grow by %d a second: try again in %s", c.Cost, left, c.Limit, c.PerSecond,
			(wait + time.Second - 1).Truncate(time.Second))
		err.Extensions["retryAfter"] = fmt.Sprintf("%.1f", wait.Seconds()+0.05)
		return ctx, err
	}
	c.Remaining = left
	return context.WithValue(ctx, costKey{}, c), nil
}

// costOf is what the operation costs.
func costOf(ctx context.Context) cost {
	c, _ := ctx.Value(costKey{}).(cost)
	return c
}

// refused answers an operation with one error, and not one after the other: the transport asks until there is no more.
func (h *Handler) refused(ctx context.Context, err error) graphql.ResponseHandler {
	return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{h.r.present(ctx, err)}})
}
