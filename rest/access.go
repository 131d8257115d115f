package rest

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/internal/requests"
)

// Refuse answers a request of somebody who is not let in, with problem details.
func Refuse(w http.ResponseWriter, _ *http.Request, status int, code, message string) {
	id := requests.NewID()
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("Cache-Control", "no-store")
	write(w, status, "application/problem+json", &problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: message,
		Retryable: code == auth.CodeUnavailable, RequestID: id,
	})
}

// permitted serves who has a permission in the hub of the address. A hub that a caller may not read is one that there is
// not. With an action it is written to the audit log: before it is tried, and its result after.
func (h *Handler) permitted(permission auth.Permission, action string, serve answer) answer {
	return func(w http.ResponseWriter, req *http.Request) error {
		ctx, hub := req.Context(), req.PathValue("hub")
		who := auth.From(ctx)
		if who == nil { // whatever was to know the caller was left out
			return &problem{Status: http.StatusUnauthorized, Code: auth.CodeUnauthenticated, Detail: "the caller is not known"}
		}
		var refused error
		switch {
		case !who.May(auth.Read, hub):
			refused = engine.NoHub(hub)
		case !who.May(permission, hub):
			refused = &problem{
				Status: http.StatusForbidden, Code: codeForbidden, Detail: fmt.Sprintf("this needs the permission %s in hub %q", permission, hub),
			}
		}
		if action == "" {
			if refused != nil {
				return refused
			}
			return serve(w, req)
		}
		id, _ := ctx.Value(requestKey{}).(string)
		done, err := h.engine.Note(ctx, engine.AuditEntry{
			Actor: who.Subject, ActorName: who.Name, Kind: string(who.Kind), Action: "REST:" + action, Hub: hub, Target: req.PathValue("id"),
			Address: auth.Address(ctx), RequestID: id,
		})
		if err != nil {
			return err
		}
		result := "UNKNOWN" // of one that panics
		defer func() { done(result) }()
		if err = refused; err == nil {
			err = serve(w, req)
		}
		var p *problem
		switch {
		case err == nil:
			result = "OK"
		case errors.As(err, &p):
			result = p.Code
		default:
			result = string(engine.CodeOf(err))
		}
		return err
	}
}
