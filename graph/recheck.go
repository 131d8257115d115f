package graph

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/weir-dev/weir/auth"
)

// ousting is why the server ends a connection.
type ousting struct {
	code int
	why  string
}

// keepChecking ends a connection that stays open when whoever opened it is known no more, or has other rights than it
// began with: it may come back, and begins anew. While it cannot be found out, the connection stays.
func (h *Handler) keepChecking(ctx context.Context, state *socketState, end context.CancelFunc) {
	who := auth.From(ctx)
	if who == nil || who.Kind == auth.ByNothing {
		return
	}
	oust := func(code int, why string) {
		state.ousted.Store(&ousting{code, why})
		end()
	}
	tick := time.NewTicker(h.recheck)
	defer tick.Stop()
	for {
		var expired <-chan time.Time
		if !who.Expires.IsZero() {
			expired = time.After(time.Until(who.Expires))
		}
		select {
		case <-ctx.Done():
			return
		case <-expired:
		case <-tick.C:
		}
		limit, cancel := context.WithTimeout(ctx, h.deadline)
		now, err := auth.Again(limit)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, auth.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
			if !who.Expires.IsZero() && time.Now().After(who.Expires) {
				oust(closeUnknown, "the credentials have expired")
				return
			}
		case err != nil:
			oust(closeUnknown, "the credentials are not valid any more")
			return
		case now.Subject != who.Subject:
			oust(closeUnknown, "somebody else has signed in")
			return
		case !reflect.DeepEqual(now.Grants, who.Grants) || now.OperatorValues != who.OperatorValues:
			oust(closeForbidden, "the rights have changed: connect again")
			return
		default:
			who = now // which may last longer
		}
	}
}
