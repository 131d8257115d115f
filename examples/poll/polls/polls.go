// Package polls collects votes. A poll is an entity: votes come from anywhere, at any time and together, and are
// counted one after the other. A canvass asks a list of voters for theirs, only so many at a time.
package polls

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-dev/weir/durable"
)

// What this package defines. The key of the entity poll is the poll's name.
const (
	Vote  durable.Operation[Poll, Ballot, int]          = "poll/vote" // answers with the number of votes
	Close durable.Operation[Poll, durable.None, Result] = "poll/close"

	Canvass durable.Orchestration[Round, Outcome] = "canvass"
	Visit   durable.Orchestration[Door, bool]     = "visit" // tells whether there was a vote

	Ask durable.Activity[Door, string] = "ask_voter"
)

// Errors whose identity survives the way to the voter.
const (
	ErrInvalid durable.Failure = "invalid_ballot"
	ErrClosed  durable.Failure = "poll_closed"
	// ErrNobody is a voter who is not there, however often one asks.
	ErrNobody durable.Failure = "nobody_there"
)

// Bounds.
const (
	MaxVoters = 10_000 // of a canvass
	AtOnce    = 3      // visits, unless the round says otherwise
)

// Poll is the entity's state.
type Poll struct {
	Votes  map[string]string `json:"votes,omitempty"` // choices by voter
	Closed bool              `json:"closed,omitempty"`
}

// Ballot is one voter's choice.
type Ballot struct {
	Voter  string `json:"voter"`
	Choice string `json:"choice"`
}

// Result is how a poll stands: the choice with the most votes first.
type Result struct {
	Votes   int     `json:"votes"`
	Choices []Count `json:"choices,omitempty"`
}

// Count is how many want the same.
type Count struct {
	Choice string `json:"choice"`
	Votes  int    `json:"votes"`
}

// Round is what a canvass is to do.
type Round struct {
	Poll   string   `json:"poll"`
	Voters []string `json:"voters"`
	// AtOnce is how many voters are asked at the same time; 0 means 3.
	AtOnce int `json:"atOnce,omitempty"`
}

// Door is a voter to be asked.
type Door struct {
	Poll  string `json:"poll"`
	Voter string `json:"voter"`
}

// Outcome is what has become of a canvass.
type Outcome struct {
	Result
	Silent []string `json:"silent,omitempty"` // voters of the round who gave no vote
}

// vote counts a vote. A voter has one: a later one takes the place of the one before.
func vote(_ *durable.EntityContext, p *Poll, b Ballot) (int, error) {
	switch {
	case p.Closed:
		return 0, fmt.Errorf("%s comes too late: %w", b.Voter, ErrClosed)
	case b.Voter == "" || b.Choice == "":
		return 0, fmt.Errorf("%w: a vote has a voter and a choice", ErrInvalid)
	}
	if p.Votes == nil {
		p.Votes = map[string]string{}
	}
	p.Votes[b.Voter] = b.Choice
	return len(p.Votes), nil
}

func closePoll(_ *durable.EntityContext, p *Poll, _ durable.None) (Result, error) {
	p.Closed = true
	return p.Result(), nil
}

// Result counts the votes.
func (p Poll) Result() Result {
	votes := map[string]int{}
	for _, choice := range p.Votes {
		votes[choice]++
	}
	r := Result{Votes: len(p.Votes)}
	for _, choice := range slices.Sorted(maps.Keys(votes)) {
		r.Choices = append(r.Choices, Count{choice, votes[choice]})
	}
	slices.SortStableFunc(r.Choices, func(a, b Count) int { return b.Votes - a.Votes })
	return r
}

// canvass has every voter visited, and closes the poll. Only so many visits are under way at a time, however long the
// list is: when one ends the next one begins.
func canvass(ctx *durable.Context, r Round) (Outcome, error) {
	if n := len(r.Voters); n == 0 || n > MaxVoters {
		return Outcome{}, fmt.Errorf("%d voters, want 1 to %d: %w", n, MaxVoters, durable.ErrInvalid)
	}
	if r.AtOnce <= 0 {
		r.AtOnce = AtOnce
	}
	doors := make([]Door, len(r.Voters))
	for i, voter := range r.Voters {
		doors[i] = Door{r.Poll, voter}
	}
	voted, err := Visit.Map(ctx, doors, durable.Limit(r.AtOnce))
	if err != nil {
		return Outcome{}, err
	}
	var o Outcome
	for i, ok := range voted {
		if !ok {
			o.Silent = append(o.Silent, r.Voters[i])
		}
	}
	o.Result, err = Close.Call(ctx, r.Poll, durable.None{})
	return o, err
}

// visit asks one voter. It waits until the vote is counted: a signal might come after the poll's end.
func visit(ctx *durable.Context, d Door) (bool, error) {
	choice, err := Ask.Call(ctx, d)
	if err != nil {
		ctx.Logger().Info("no vote", "voter", d.Voter, "error", err)
		return false, nil // the others count nevertheless
	}
	_, err = Vote.Call(ctx, d.Poll, Ballot{d.Voter, strings.ToLower(choice)})
	return err == nil, err
}

// Handlers binds the definitions. ask asks a voter; an error that wraps ErrNobody is final, others are tried again.
func Handlers(ask func(context.Context, Door) (string, error)) []durable.Handler {
	return []durable.Handler{
		Vote.Handler(vote),
		Close.Handler(closePoll),
		Canvass.Handler(canvass),
		Visit.Handler(visit),
		Ask.Handler(ask, durable.Retry{Attempts: 3}),
	}
}
