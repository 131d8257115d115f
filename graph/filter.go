package graph

import (
	"slices"
	"time"

	"github.com/weir-dev/weir/engine"
	"github.com/weir-dev/weir/graph/model"
)

// details reads what a filter says beside status, name, ids and ranges of creation and end. What is wrong with it the
// engine tells.
func details(in *model.OrchestrationFilter, f *engine.Filter) error {
	for _, list := range []struct {
		value []string
		into  *[]string
	}{{in.Names.Value(), &f.Names}, {in.Versions.Value(), &f.Versions}, {in.InstanceIds.Value(), &f.IDs}} {
		if list.value != nil {
			*list.into = slices.Sorted(slices.Values(list.value))
		}
	}
	for _, moment := range []struct {
		value *time.Time
		into  *time.Time
	}{
		{in.UpdatedFrom.Value(), &f.UpdatedFrom},
		{in.UpdatedTo.Value(), &f.UpdatedTo},
		{in.StartedFrom.Value(), &f.StartedFrom},
		{in.StartedTo.Value(), &f.StartedTo},
	} {
		if moment.value != nil {
			*moment.into = moment.value.UTC().Truncate(time.Microsecond)
		}
	}
	for _, length := range []struct {
		field string
		value *string
		into  *time.Duration
	}{{"longerThan", in.LongerThan.Value(), &f.LongerThan}, {"shorterThan", in.ShorterThan.Value(), &f.ShorterThan}} {
		if length.value == nil {
			continue
		}
		d, err := engine.ParseLength("filter."+length.field, *length.value)
		if err != nil {
			return err
		}
		if d <= 0 {
			return refuse(codeInvalid, "filter.%s: is %s, must be positive", length.field, d)
		}
		*length.into = d
	}
	f.FailureType, f.FailureText = deref(in.FailureType.Value()), deref(in.FailureText.Value())
	f.Input, f.Output = deref(in.Input.Value()), deref(in.Output.Value())
	return nil
}
