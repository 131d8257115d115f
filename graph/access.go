package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/weir-dev/weir/auth"
	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/generated"
	"github.com/weir-dev/weir/graph/model"
)

// Refuse answers a request of somebody who is not let in, in the form of GraphQL's answers.
func Refuse(w http.ResponseWriter, req *http.Request, status int, code, message string) {
	writeError(w, req, status, refuse(code, "%s", message))
}

// requires is the directive of that name: it lets a field of the root be resolved for who may have it. What is to change
// something is written to the audit log before, and its result after.
func (r *Resolver) requires(ctx context.Context, _ any, next graphql.Resolver, permission *auth.Permission, scope model.AccessScope) (any, error) {
	field := graphql.GetFieldContext(ctx)
	who, hub := auth.From(ctx), hubOf(field.Args)
	if who == nil { // whatever was to know the caller was left out
		return nil, refuse(auth.CodeUnauthenticated, "the caller is not known")
	}
	refused := allowed(who, permission, scope, hub)
	if refused == nil {
		refused = mayFilter(who, hub, field.Args)
	}
	switch {
	case scope == model.AccessScopeHub && !who.May(auth.ReadValues, hub):
		model.Redact(ctx)
	case scope != model.AccessScopeHub:
		if !everywhere(who) {
			model.Redact(ctx)
		}
	}
	if field.Object != "Mutation" {
		if refused == nil {
			return next(ctx)
		}
		if errors.Is(refused, engine.ErrNotFound) && field.Object == "Query" && !field.Field.Definition.Type.NonNull {
			return nil, nil
		}
		return nil, asRequestError(refused)
	}
	return r.audited(ctx, who, hub, field, func() (any, error) {
		if refused != nil {
			return refusedPayload(ctx, field.Field.Definition, refused)
		}
		return next(ctx)
	})
}

// everywhere tells whether a caller sees values wherever it sees anything.
func everywhere(who *auth.Principal) bool {
	for hub := range who.Grants {
		if who.May(auth.Read, hub) && !who.May(auth.ReadValues, hub) {
			return false
		}
	}
	return true
}

// allowed returns why a caller may not have a field. A hub that it may not read is one that there is not.
func allowed(who *auth.Principal, permission *auth.Permission, scope model.AccessScope, hub string) error {
	switch {
	case permission == nil:
		return nil
	case scope == model.AccessScopeHub && !who.May(auth.Read, hub):
		return engine.NoHub(hub)
	case scope == model.AccessScopeHub && who.May(*permission, hub),
		scope == model.AccessScopeSystem && who.May(*permission, auth.AllHubs),
		scope == model.AccessScopeAny && (*permission == auth.Read || who.MayAnywhere(*permission)): // who may read nothing sees nothing
		return nil
	case scope == model.AccessScopeHub:
		return forbidden("this needs the permission %s in hub %q", *permission, hub)
	}
	return forbidden("this needs the permission %s in all hubs", *permission)
}

func forbidden(format string, args ...any) error {
	return &engine.Error{Code: auth.CodeForbidden, Message: fmt.Sprintf(format, args...)}
}

// mayFilter refuses filters that look into values of who may not see them: an answer would tell what is in them.
func mayFilter(who *auth.Principal, hub string, args map[string]any) error {
	if who.May(auth.ReadValues, hub) {
		return nil
	}
	filter, _ := args["filter"].(*model.OrchestrationFilter)
	if in := reflect.ValueOf(args["input"]); in.Kind() == reflect.Struct {
		if f := in.FieldByName("Filter"); f.IsValid() {
			switch f := f.Interface().(type) {
			case *model.OrchestrationFilter:
				filter = f
			case graphql.Omittable[*model.OrchestrationFilter]:
				filter = f.Value()
			}
		}
	}
	if filter == nil {
		return nil
	}
	for _, f := range []struct {
		name  string
		value *string
	}{{"input", filter.Input.Value()}, {"output", filter.Output.Value()}, {"failureText", filter.FailureText.Value()}} {
		if f.value != nil {
			return forbidden("filter.%s looks into values: it needs the permission %s in hub %q", f.name, auth.ReadValues, hub)
		}
	}
	return nil
}

// asRequestError is a refusal as the error of a query.
func asRequestError(err error) error {
	var coded *engine.Error
	if errors.As(err, &coded) && coded.Code == auth.CodeForbidden {
		return refuse(codeForbidden, "%s", coded.Message)
	}
	return err
}

// hubOf is the hub that the arguments of a field name: its own argument, its input's field, or, for the field hub, its
// name.
func hubOf(args map[string]any) string {
	for _, name := range []string{"hub", "name"} {
		if hub, ok := args[name].(string); ok {
			return hub
		}
	}
	hub, _ := inputText(args["input"], "Hub")
	return hub
}

// inputText is a field of an input, if it has it and it is a text.
func inputText(input any, name string) (string, bool) {
	v := reflect.ValueOf(input)
	if v.Kind() != reflect.Struct {
		return "", false
	}
	f := v.FieldByName(name)
	if !f.IsValid() {
		return "", false
	}
	switch s := f.Interface().(type) {
	case string:
		return s, true
	case *string:
		return deref(s), s != nil
	case graphql.Omittable[*string]:
		return deref(s.Value()), s.Value() != nil
	}
	return "", false
}

// inputTexts is a field of an input, if it has it and it is a list of texts.
func inputTexts(input any, name string) []string {
	v := reflect.ValueOf(input)
	if v.Kind() != reflect.Struct {
		return nil
	}
	switch f := v.FieldByName(name); {
	case !f.IsValid():
		return nil
	default:
		switch list := f.Interface().(type) {
		case []string:
			return list
		case graphql.Omittable[[]string]:
			return list.Value()
		}
	}
	return nil
}

// targets are the fields of inputs that name an object, in the order in which they are looked for.
var targets = []string{"InstanceID", "ScheduleID", "OperationID", "ID", "Subject", "Name"}

// audited carries out a mutation between its entry in the audit log and the entry's result.
func (r *Resolver) audited(ctx context.Context, who *auth.Principal, hub string, field *graphql.FieldContext, carryOut func() (any, error)) (any, error) {
	entry := engine.AuditEntry{
		Actor: who.Subject, ActorName: who.Name, Kind: string(who.Kind), Action: field.Field.Name, Hub: hub,
		Address: auth.Address(ctx), RequestID: requestID(ctx),
	}
	input := field.Args["input"]
	entry.Reason, _ = inputText(input, "Reason")
	for _, name := range targets {
		if target, ok := inputText(input, name); ok {
			entry.Target = target
			if key, ok := inputText(input, "Key"); ok && name == "Name" {
				entry.Target += "/" + key // an entity
			}
			break
		}
	}
	if ids := inputTexts(input, "InstanceIds"); entry.Target == "" && len(ids) > 0 {
		entry.Target = strings.Join(ids, " ")
	}
	entry.Reason, entry.Target = cut(entry.Reason, maxAudited), cut(entry.Target, maxAudited)
	done, err := r.engine.Note(ctx, entry)
	if err != nil {
		return nil, err
	}
	result := "UNKNOWN" // of one that panics
	defer func() { done(result) }()
	payload, err := carryOut()
	result = resultOf(payload, err)
	return payload, err
}

// maxAudited is the most of a reason or an id that is written, in bytes: what is longer is refused by the engine, and
// that was tried is written all the same.
const maxAudited = 4000

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// resultOf is OK, or the code of a mutation's error.
func resultOf(payload any, err error) string {
	if err != nil {
		var g *gqlerror.Error
		if errors.As(err, &g) {
			if code, ok := g.Extensions["code"].(string); ok {
				return code
			}
		}
		return string(engine.CodeOf(err))
	}
	if v := reflect.Indirect(reflect.ValueOf(payload)); v.Kind() == reflect.Struct {
		if f := v.FieldByName("Errors"); f.IsValid() {
			if errs, ok := f.Interface().([]*model.UserError); ok && len(errs) > 0 {
				return string(errs[0].Code)
			}
		}
	}
	return "OK"
}

// payloads are the types that mutations answer with, by the names of the mutations.
var payloads = func() map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for m := range reflect.TypeFor[generated.MutationResolver]().Methods() {
		out[strings.ToLower(m.Name)] = m.Type.Out(0)
	}
	return out
}()

// refusedPayload is the answer of a mutation that was not tried.
func refusedPayload(ctx context.Context, field *ast.FieldDefinition, refused error) (any, error) {
	errs, err := userErrors(refused)
	if err != nil {
		return nil, err
	}
	out := reflect.New(payloads[strings.ToLower(field.Name)].Elem())
	out.Elem().FieldByName("Errors").Set(reflect.ValueOf(errs))
	out.Elem().FieldByName("RequestID").SetString(requestID(ctx))
	return out.Interface(), nil
}

// actor names the caller in histories and records, or is empty where everybody is let in.
func actor(ctx context.Context) string {
	if who := auth.From(ctx); who != nil && who.Kind != auth.ByNothing {
		return cut(who.Name, 150)
	}
	return ""
}
