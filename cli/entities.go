package cli

import (
	"context"
	"flag"
	"fmt"
	"strconv"
)

type entity struct {
	EntityID   string   `json:"entityId"`
	Name       string   `json:"name"`
	Key        string   `json:"key"`
	State      *payload `json:"state"`
	Backlog    int      `json:"backlog"`
	CreatedAt  string   `json:"createdAt"`
	ModifiedAt string   `json:"modifiedAt"`
	LockedBy   *struct {
		InstanceID string `json:"instanceId"`
		Since      string `json:"since"`
	} `json:"lockedBy"`
	Held *struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
	} `json:"held"`
}

const entityFields = "fragment Ent on Entity { entityId name key state { ...V } backlog createdAt modifiedAt lockedBy { instanceId since } held { kind message } }"

var (
	entitiesOperation = define[nodes[entity]](`query Entities($hub: String!, $filter: EntityFilter, $first: Int!, $after: String) {
	done: entities(hub: $hub, filter: $filter, first: $first, after: $after) { nodes { ...Ent } `+pageFields+` }
}`, entityFields, valueFields)
	entityOperation = define[entity](`query Entity($hub: String!, $name: String!, $key: String!) {
	done: entity(hub: $hub, name: $name, key: $key) { ...Ent }
}`, entityFields, valueFields)
	signalOperation = define[struct {
		outcome

		Entity *entity `json:"entity"`
	}](`mutation Signal($input: SignalEntityInput!) {
	done: signalEntity(input: $input) { entity { ...Ent } `+errorFields+` }
}`, entityFields, valueFields)
)

var entityHead = []string{"ENTITY", "BACKLOG", "MODIFIED", "LOCKED BY", "STATE"}

func (e *entity) cells() []string {
	lock := ""
	if e.LockedBy != nil {
		lock = e.LockedBy.InstanceID
	}
	return []string{e.EntityID, strconv.Itoa(e.Backlog), at(&e.ModifiedAt), lock, e.State.short()}
}

func entitiesListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var (
		p        paging
		from, to moment
		name     = flags.String("name", "", "of this name")
		prefix   = flags.String("prefix", "", "whose key begins so; needs --name")
		locked   = flags.Bool("locked", false, "only those that are locked")
	)
	p.declare(flags)
	flags.Var(&from, "modified-from", "modified at this time or later: a time, or how long ago")
	flags.Var(&to, "modified-to", "modified before this time, likewise")
	return func(ctx context.Context, c *call) error {
		f := map[string]any{}
		for field, v := range map[string]string{"name": *name, "keyPrefix": *prefix, "modifiedFrom": from.text, "modifiedTo": to.text} {
			if v != "" {
				f[field] = v
			}
		}
		if *locked {
			f["locked"] = true
		}
		return all(ctx, c, &p, entitiesOperation, c.vars("filter", f), entityHead, (*entity).cells)
	}
}

func entitiesGetCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		e, err := entityOperation.need(ctx, c, c.vars("name", c.args[0], "key", c.args[1]), fmt.Sprintf("entity @%s@%s in hub %q", c.args[0], c.args[1], c.hub))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		lock, held := "", ""
		if e.LockedBy != nil {
			lock = e.LockedBy.InstanceID + " since " + at(&e.LockedBy.Since)
		}
		if e.Held != nil {
			held = e.Held.Kind + ": " + e.Held.Message
		}
		fields(c, "entity", e.EntityID, "state", e.State.short(), "backlog", strconv.Itoa(e.Backlog), "locked by", lock, "held", held,
			"created", at(&e.CreatedAt), "modified", at(&e.ModifiedAt))
		return nil
	}
}

func signalCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	when := moment{future: true}
	flags.Var(&when, "at", "not to be carried out before this time, or so long from now")
	key := flags.String("key", "", "of several signals with the same key only the first counts")
	return func(ctx context.Context, c *call) error {
		input, err := c.third("INPUT", 3)
		if err != nil {
			return err
		}
		p, err := signalOperation.ask(ctx, c, c.input("name", c.args[0], "key", c.args[1], "operation", c.args[2], "input", input, "at", when.text, "idempotencyKey", *key))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		if p.Entity != nil {
			c.sayOne(entityHead, p.Entity.cells())
		}
		return nil
	}
}
