// Package statements draws up the yearly statement of a customer. That takes longer than an HTTP request may, so the
// API in front of it answers at once, and tells where the statement will be found.
package statements

import (
	"context"
	"fmt"

	"github.com/weir-dev/weir/durable"
)

// What this package defines.
const (
	Draw durable.Orchestration[Query, Statement] = "statement"
	Sum  durable.Activity[Month, int64]          = "sum_month" // in cents
)

// ErrInvalid is a query that nothing can be found for.
const ErrInvalid durable.Failure = "invalid_query"

// The years there are accounts of.
const (
	FirstYear = 2000
	LastYear  = 2099
)

// monthsAtOnce is how many months of one statement are added up at the same time.
const monthsAtOnce = 4

// Query is what a statement is about.
type Query struct {
	Customer string `json:"customer"`
	Year     int    `json:"year"`
}

// Month is a part of a statement.
type Month struct {
	Query
	Month int `json:"month"` // 1 to 12
}

// Statement is what a customer has spent, in cents.
type Statement struct {
	Query
	Months []int64 `json:"months"`
	Total  int64   `json:"total"`
}

// Progress is a statement's custom status.
type Progress struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

// Check finds what makes a query impossible.
func (q Query) Check() error {
	switch {
	case q.Customer == "":
		return fmt.Errorf("%w: customer must not be empty", ErrInvalid)
	case q.Year < FirstYear || q.Year > LastYear:
		return fmt.Errorf("%w: year is %d, want %d to %d", ErrInvalid, q.Year, FirstYear, LastYear)
	}
	return nil
}

func draw(ctx *durable.Context, q Query) (Statement, error) {
	if err := q.Check(); err != nil { // not everybody comes by way of the API
		return Statement{}, err
	}
	const year = 12
	s := Statement{Query: q, Months: make([]int64, year)}
	for done := 0; done < year; done += monthsAtOnce {
		ctx.SetStatus(Progress{done, year})
		months := make([]Month, monthsAtOnce)
		for i := range months {
			months[i] = Month{q, done + i + 1}
		}
		sums, err := Sum.Map(ctx, months)
		if err != nil {
			return Statement{}, err
		}
		copy(s.Months[done:], sums)
		for _, sum := range sums {
			s.Total += sum
		}
	}
	ctx.SetStatus(Progress{year, year})
	return s, nil
}

// Handlers binds the definitions. sum adds up a month.
func Handlers(sum func(context.Context, Month) (int64, error)) []durable.Handler {
	return []durable.Handler{
		Draw.Handler(draw),
		Sum.Handler(sum, durable.Retry{Attempts: 5}),
	}
}
