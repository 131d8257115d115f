package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/weir-dev/weir/engine/internal/store"
)

// Limits of what a filter lists.
const (
	maxFilterNames = 100
	maxFilterIDs   = 500
	maxFilterText  = 1000
)

// checkFilter tests a filter. Errors: INVALID_ARGUMENT, with the field.
func (e *Engine) checkFilter(ctx context.Context, f *Filter) error {
	for _, list := range []struct {
		field string
		n     int
		most  int
	}{{"names", len(f.Names), maxFilterNames}, {"versions", len(f.Versions), maxFilterNames}, {"instanceIds", len(f.IDs), maxFilterIDs}} {
		if list.n > list.most {
			return invalid(list.field, "has %d entries, at most %d are allowed", list.n, list.most)
		}
	}
	for n, name := range f.Names {
		if err := CheckName(fmt.Sprintf("names[%d]", n), name); err != nil {
			return err
		}
	}
	for n, version := range f.Versions {
		if err := CheckVersion(fmt.Sprintf("versions[%d]", n), version); err != nil {
			return err
		}
	}
	for n, id := range f.IDs {
		if err := CheckID(fmt.Sprintf("instanceIds[%d]", n), id); err != nil {
			return err
		}
	}
	switch {
	case !f.UpdatedFrom.IsZero() && !f.UpdatedTo.IsZero() && !f.UpdatedFrom.Before(f.UpdatedTo):
		return invalid("updatedTo", "is not after updatedFrom")
	case !f.StartedFrom.IsZero() && !f.StartedTo.IsZero() && !f.StartedFrom.Before(f.StartedTo):
		return invalid("startedTo", "is not after startedFrom")
	case f.LongerThan < 0 || f.ShorterThan < 0:
		return invalid("longerThan", "a duration must not be negative")
	case f.LongerThan > 0 && f.ShorterThan > 0 && f.LongerThan >= f.ShorterThan:
		return invalid("shorterThan", "is not longer than longerThan")
	}
	if err := first(checkText("failureType", f.FailureType, maxEvent, true), checkText("failureText", f.FailureText, maxFilterText, true)); err != nil {
		return err
	}
	return first(e.checkPath(ctx, "input", f.Input), e.checkPath(ctx, "output", f.Output))
}

// checkPath has Postgres read a path: it is its language.
func (e *Engine) checkPath(ctx context.Context, field, path string) error {
	if path == "" {
		return nil
	}
	if err := checkText(field, path, maxFilterText, false); err != nil {
		return err
	}
	err := store.CheckPath(ctx, e.lists, path)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code[:2] == "42" || pg.Code[:2] == "22") {
		return invalid(field, "is no SQL/JSON path: %s", pg.Message)
	}
	if err != nil {
		return fmt.Errorf("check path: %w", err)
	}
	return nil
}
