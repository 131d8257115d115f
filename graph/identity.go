package graph

import (
	"context"
	"fmt"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

func tokenOf(t *engine.Token) *model.APIToken {
	return &model.APIToken{
		ID: t.ID, Name: t.Name, Grants: model.NewGrants(auth.GrantsOf(t.Grants)), CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt,
		ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt, RevokedAt: t.RevokedAt, RevokedBy: text(t.RevokedBy),
	}
}

const tokenList = "api tokens"

func (r *Resolver) tokens(ctx context.Context, first int, after *string) (*model.APITokenConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	var from int64
	if after != nil {
		if err := r.cursors.open(tokenList, *after, &from); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.Tokens(ctx, from, first+1)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(t *engine.Token) string { return r.cursors.seal(tokenList, t.Position()) }, tokenOf,
		func(cursor string, node *model.APIToken) *model.APITokenEdge {
			return &model.APITokenEdge{Cursor: cursor, Node: node}
		})
	return &model.APITokenConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}

// createToken makes a token, which gives no more than its maker has.
func (r *Resolver) createToken(ctx context.Context, in *model.CreateAPITokenInput) (*model.CreateAPITokenPayload, error) {
	who := auth.From(ctx)
	req := engine.TokenRequest{Name: in.Name, Grants: map[string][]string{}, By: who.Subject}
	if at := in.ExpiresAt.Value(); at != nil {
		req.ExpiresAt = *at
	}
	var (
		t      *engine.Token
		secret string
		err    error
	)
	for _, g := range in.Grants {
		if len(g.Roles) == 0 {
			err = invalidInput("grants", "name no role in %q", g.Hub)
		}
		for _, role := range g.Roles {
			if err == nil {
				err = r.mayGrant(ctx, who, "grants", g.Hub, role)
			}
			req.Grants[g.Hub] = append(req.Grants[g.Hub], string(role))
		}
	}
	if err == nil {
		t, secret, err = r.engine.CreateToken(ctx, req)
	}
	errs, err := userErrors(err)
	if err != nil {
		return nil, err
	}
	out := &model.CreateAPITokenPayload{Errors: errs, RequestID: requestID(ctx)}
	if t != nil {
		out.Token, out.Secret = tokenOf(t), &secret
	}
	return out, nil
}

func invalidInput(field, format string, args ...any) error {
	return &engine.Error{Code: engine.CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// mayGrant returns why a caller may not give a role: the hub is none, or the role allows what the caller may not do.
func (r *Resolver) mayGrant(ctx context.Context, who *auth.Principal, field, hub string, role auth.Role) error {
	if hub != auth.AllHubs {
		if _, err := r.engine.Hub(ctx, hub); err != nil {
			return renamed(err, map[string]string{"hub": field})
		}
	}
	for _, p := range role.Permissions() {
		if !who.May(p, hub) {
			return forbidden("the role %s in %q allows %s, which you may not do yourself there", role, hub, p)
		}
	}
	return nil
}

const bindingList = "role bindings"

func (r *Resolver) bindings(ctx context.Context, first int, after *string) (*model.RoleBindingConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	var from engine.BindingPosition
	if after != nil {
		if err := r.cursors.open(bindingList, *after, &from); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.Bindings(ctx, from, first+1)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(b *engine.Binding) string { return r.cursors.seal(bindingList, b.Position()) },
		func(b *engine.Binding) *model.RoleBinding {
			return &model.RoleBinding{Subject: b.Subject, Hub: b.Hub, Role: auth.Role(b.Role), CreatedBy: b.CreatedBy, CreatedAt: b.CreatedAt}
		},
		func(cursor string, node *model.RoleBinding) *model.RoleBindingEdge {
			return &model.RoleBindingEdge{Cursor: cursor, Node: node}
		})
	return &model.RoleBindingConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}

func (r *Resolver) bind(ctx context.Context, in model.RoleBindingInput) (*model.RoleBindingPayload, error) {
	who := auth.From(ctx)
	err := r.mayGrant(ctx, who, "hub", in.Hub, in.Role)
	if err == nil {
		_, err = r.engine.SetBinding(ctx, engine.Binding{Subject: in.Subject, Hub: in.Hub, Role: string(in.Role), CreatedBy: who.Subject})
	}
	errs, err := userErrors(err)
	return &model.RoleBindingPayload{Errors: errs, RequestID: requestID(ctx)}, err
}

func (r *Resolver) unbind(ctx context.Context, in model.RoleBindingInput) (*model.RoleBindingPayload, error) {
	errs, err := userErrors(r.engine.RemoveBinding(ctx, engine.BindingPosition{Subject: in.Subject, Hub: in.Hub, Role: string(in.Role)}))
	return &model.RoleBindingPayload{Errors: errs, RequestID: requestID(ctx)}, err
}

// auditLog reads a page of the entries that the caller may see.
func (r *Resolver) auditLog(ctx context.Context, in *model.AuditFilter, first int, after *string) (*model.AuditEntryConnection, error) {
	if err := check("first", first, 0, maxPage); err != nil {
		return nil, err
	}
	var f engine.AuditFilter
	if in != nil {
		f = engine.AuditFilter{
			Hub: deref(in.Hub.Value()), Actor: deref(in.Actor.Value()), Action: deref(in.Action.Value()), Target: deref(in.Target.Value()), Refused: in.Refused,
		}
		if at := in.Since.Value(); at != nil {
			f.Since = at.UTC()
		}
		if at := in.Until.Value(); at != nil {
			f.Until = at.UTC()
		}
	}
	list := fmt.Sprintf("audit log %v", f)
	if hubs, all := auth.From(ctx).Hubs(auth.Administer); !all {
		f.Hubs = append([]string{}, hubs...)
	}
	var from int64
	if after != nil {
		if err := r.cursors.open(list, *after, &from); err != nil {
			return nil, err
		}
	}
	found, err := r.engine.AuditLog(ctx, f, from, first+1)
	if err != nil {
		return nil, err
	}
	p := pageOf(found, first, after,
		func(e *engine.AuditEntry) string { return r.cursors.seal(list, e.No) },
		func(e *engine.AuditEntry) *model.AuditEntry {
			return &model.AuditEntry{
				No: e.No, At: e.At, Actor: e.Actor, ActorName: e.ActorName, Kind: e.Kind, Action: e.Action, Hub: text(e.Hub), Target: text(e.Target),
				Reason: text(e.Reason), Result: text(e.Result), Address: e.Address, RequestID: e.RequestID,
			}
		},
		func(cursor string, node *model.AuditEntry) *model.AuditEntryEdge {
			return &model.AuditEntryEdge{Cursor: cursor, Node: node}
		})
	return &model.AuditEntryConnection{Nodes: p.nodes, Edges: p.edges, PageInfo: p.info}, nil
}
