package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
)

// What the commands on tokens, roles and the audit log ask for.

type grant struct {
	Hub   string   `json:"hub"`
	Roles []string `json:"roles"`
}

type viewer struct {
	Subject     string   `json:"subject"`
	Name        string   `json:"name"`
	Kind        string   `json:"kind"`
	ExpiresAt   *string  `json:"expiresAt"`
	Roles       []grant  `json:"roles"`
	Permissions []string `json:"permissions"`
}

type token struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Grants     []grant `json:"grants"`
	CreatedBy  string  `json:"createdBy"`
	CreatedAt  string  `json:"createdAt"`
	ExpiresAt  *string `json:"expiresAt"`
	LastUsedAt *string `json:"lastUsedAt"`
	RevokedAt  *string `json:"revokedAt"`
}

type changedToken struct {
	outcome

	Token *token `json:"token"`
}

type createdToken struct {
	changedToken

	Secret *string `json:"secret"`
}

type binding struct {
	Subject   string `json:"subject"`
	Hub       string `json:"hub"`
	Role      string `json:"role"`
	CreatedBy string `json:"createdBy"`
	CreatedAt string `json:"createdAt"`
}

type changedBinding struct{ outcome }

type entry struct {
	No        string  `json:"no"`
	At        string  `json:"at"`
	Actor     string  `json:"actor"`
	ActorName string  `json:"actorName"`
	Kind      string  `json:"kind"`
	Action    string  `json:"action"`
	Hub       *string `json:"hub"`
	Target    *string `json:"target"`
	Reason    *string `json:"reason"`
	Result    *string `json:"result"`
	Address   string  `json:"address"`
	RequestID string  `json:"requestId"`
}

const (
	ticketFields = "fragment T on ApiToken { id name grants { hub roles } createdBy createdAt expiresAt lastUsedAt revokedAt }"
	entryFields  = "no at actor actorName kind action hub target reason result address requestId"
)

var (
	viewerOperation = define[viewer](`query Viewer($hub: String) {
	done: viewer { subject name kind expiresAt roles { hub roles } permissions(hub: $hub) }
}`)
	tokensOperation = define[nodes[token]](`query Tokens($first: Int!, $after: String) {
	done: apiTokens(first: $first, after: $after) { nodes { ...T } `+pageFields+` }
}`, ticketFields)
	createTokenOperation = define[createdToken](`mutation CreateToken($input: CreateApiTokenInput!) {
	done: createApiToken(input: $input) { token { ...T } secret `+errorFields+` }
}`, ticketFields)
	revokeTokenOperation = define[changedToken](`mutation RevokeToken($input: RevokeApiTokenInput!) {
	done: revokeApiToken(input: $input) { token { ...T } `+errorFields+` }
}`, ticketFields)
	rolesOperation = define[nodes[binding]](`query Roles($first: Int!, $after: String) {
	done: roleBindings(first: $first, after: $after) { nodes { subject hub role createdBy createdAt } ` + pageFields + ` }
}`)
	setRoleOperation = define[changedBinding](`mutation SetRole($input: RoleBindingInput!) {
	done: setRoleBinding(input: $input) { ` + errorFields + ` }
}`)
	removeRoleOperation = define[changedBinding](`mutation RemoveRole($input: RoleBindingInput!) {
	done: removeRoleBinding(input: $input) { ` + errorFields + ` }
}`)
	auditOperation = define[nodes[entry]](`query Audit($filter: AuditFilter, $first: Int!, $after: String) {
	done: auditLog(filter: $filter, first: $first, after: $after) { nodes { ` + entryFields + ` } ` + pageFields + ` }
}`)
)

func spelled(grants []grant) string {
	parts := make([]string, len(grants))
	for i, g := range grants {
		parts[i] = g.Hub + "=" + strings.Join(g.Roles, ",")
	}
	return strings.Join(parts, " ")
}

func whoamiCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		v, err := viewerOperation.need(ctx, c, c.vars(), "viewer")
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		c.sayOne([]string{"SUBJECT", "NAME", "KIND", "EXPIRES", "ROLES", "MAY IN " + strings.ToUpper(c.hub)},
			[]string{v.Subject, v.Name, v.Kind, at(v.ExpiresAt), spelled(v.Roles), strings.Join(v.Permissions, " ")})
		return nil
	}
}

var tokenHead = []string{"TOKEN", "NAME", "ROLES", "CREATED", "EXPIRES", "LAST USED", "REVOKED"}

func (t *token) cells() []string {
	return []string{t.ID, t.Name, spelled(t.Grants), at(&t.CreatedAt), at(t.ExpiresAt), at(t.LastUsedAt), at(t.RevokedAt)}
}

func tokensListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var p paging
	p.declare(flags)
	return func(ctx context.Context, c *call) error {
		return all(ctx, c, &p, tokensOperation, map[string]any{}, tokenHead, (*token).cells)
	}
}

// grantsFlag reads HUB=ROLE,ROLE, again and again.
type grantsFlag struct{ grants []map[string]any }

// String implements flag.Value.
func (g *grantsFlag) String() string { return "" }

// Set implements flag.Value.
func (g *grantsFlag) Set(v string) error {
	hub, roles, ok := strings.Cut(v, "=")
	if !ok || hub == "" || roles == "" {
		return errors.New("want HUB=ROLE, such as default=contributor or *=reader")
	}
	all := enums{allowed: allRoles}
	for role := range strings.SplitSeq(roles, ",") {
		if err := all.Set(role); err != nil {
			return err
		}
	}
	g.grants = append(g.grants, map[string]any{"hub": hub, "roles": all.values})
	return nil
}

var allRoles = []string{"READER", "OPERATOR", "CONTRIBUTOR", "WORKER", "ADMIN"}

func tokensCreateCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var grants grantsFlag
	flags.Var(&grants, "grant", "HUB=ROLE,ROLE: reader, operator, contributor, worker, admin; * is every hub; may be repeated")
	expires := moment{future: true}
	flags.Var(&expires, "expires", "when it ends: a time, or how long from now, such as 90d; without it never")
	return func(ctx context.Context, c *call) error {
		if len(grants.grants) == 0 {
			return Usage("say at least one --grant HUB=ROLE")
		}
		input := map[string]any{"name": c.args[0], "grants": grants.grants}
		if expires.text != "" {
			input["expiresAt"] = expires.text
		}
		p, err := createTokenOperation.ask(ctx, c, map[string]any{"input": input})
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		c.sayf("%s", text(p.Secret))
		sayf(c.notes, "This is shown once: keep it where secrets are kept. Its id is %s.", p.Token.ID)
		return nil
	}
}

func tokensRevokeCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		p, err := revokeTokenOperation.ask(ctx, c, map[string]any{"input": map[string]any{"id": c.args[0]}})
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		c.sayOne(tokenHead, p.Token.cells())
		return nil
	}
}

func rolesListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var p paging
	p.declare(flags)
	return func(ctx context.Context, c *call) error {
		return all(ctx, c, &p, rolesOperation, map[string]any{}, []string{"SUBJECT", "HUB", "ROLE", "BY", "SINCE"}, func(b *binding) []string {
			return []string{b.Subject, b.Hub, b.Role, b.CreatedBy, at(&b.CreatedAt)}
		})
	}
}

// roleCommand gives a role, or takes it away.
func roleCommand(o operation[changedBinding], done string) func(*flag.FlagSet) func(context.Context, *call) error {
	return func(flags *flag.FlagSet) func(context.Context, *call) error {
		everywhere := flags.Bool("all-hubs", false, "in all hubs, those to come included")
		return func(ctx context.Context, c *call) error {
			hub := c.hub
			if *everywhere {
				hub = "*"
			}
			var named enum
			named.allowed = allRoles
			if err := named.Set(c.args[1]); err != nil {
				return Usage(fmt.Sprintf("role %q: %v", c.args[1], err))
			}
			role := named.value
			_, err := o.ask(ctx, c, map[string]any{"input": map[string]any{"subject": c.args[0], "hub": hub, "role": role}})
			if err != nil {
				return err
			}
			if emitted, err := c.emit(); emitted {
				return err
			}
			c.sayf("%s %s the role %s in %s.", c.args[0], done, role, hub)
			return nil
		}
	}
}

func auditCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var p paging
	p.declare(flags)
	ofHub := flags.Bool("of-hub", false, "only those of the hub of --hub; without it all that you may see")
	actor := flags.String("actor", "", "only those of this subject")
	action := flags.String("action", "", "only those of this mutation")
	target := flags.String("target", "", "only those about the object with this id")
	var since, until moment
	flags.Var(&since, "since", "from this time on: a time, or how long ago, such as 7d")
	flags.Var(&until, "until", "before this time, likewise")
	refused := flags.Bool("refused", false, "only those that did not succeed")
	lines := flags.Bool("jsonl", false, "print all there are, one JSON object a line")
	return func(ctx context.Context, c *call) error {
		filter := map[string]any{"refused": *refused}
		if *ofHub {
			filter["hub"] = c.hub
		}
		for name, v := range map[string]string{"actor": *actor, "action": *action, "target": *target, "since": since.text, "until": until.text} {
			if v != "" {
				filter[name] = v
			}
		}
		vars := map[string]any{"filter": filter}
		if *lines {
			return auditLines(ctx, c, vars)
		}
		head := []string{"WHEN", "WHO", "WHAT", "HUB", "TARGET", "RESULT", "REASON", "FROM"}
		return all(ctx, c, &p, auditOperation, vars, head, func(e *entry) []string {
			result := "unknown"
			if e.Result != nil {
				result = *e.Result
			}
			return []string{at(&e.At), e.ActorName, e.Action, text(e.Hub), text(e.Target), result, text(e.Reason), e.Address}
		})
	}
}

// auditLines prints all entries, a page at a time.
func auditLines(ctx context.Context, c *call, vars map[string]any) error {
	for {
		vars["first"] = perPage
		got, err := auditOperation.need(ctx, c, vars, "audit log")
		if err != nil {
			return err
		}
		var raw struct {
			Nodes []json.RawMessage `json:"nodes"`
		}
		if err := json.Unmarshal(c.raw, &raw); err != nil {
			return err
		}
		for _, line := range raw.Nodes {
			var b bytes.Buffer
			if err := json.Compact(&b, line); err != nil {
				return err
			}
			c.sayf("%s", b.String())
		}
		if !got.PageInfo.HasNextPage || got.PageInfo.EndCursor == nil {
			return nil
		}
		vars["after"] = *got.PageInfo.EndCursor
	}
}
