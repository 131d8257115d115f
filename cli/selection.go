package cli

import (
	"encoding/json"
	"flag"
)

var (
	anyStatus   = []string{"PENDING", "RUNNING", "SUSPENDED", "COMPLETED", "FAILED", "CANCELED", "TERMINATED"}
	finalStatus = anyStatus[3:]
)

// selection are the flags that select instances.
type selection struct {
	json                                                   string
	statuses                                               enums
	names, versions, ids                                   list
	prefix, parent, longer, shorter, failureType, failText string
	tags                                                   tags
	roots                                                  bool
	createdFrom, createdTo, endedFrom, endedTo             moment
	updatedFrom, updatedTo                                 moment
	input, output                                          string
}

func (s *selection) declare(flags *flag.FlagSet) {
	s.statuses.allowed = anyStatus
	flags.Var(&s.statuses, "status", "in this status; may be repeated")
	flags.Var(&s.names, "name", "of this orchestration; may be repeated")
	flags.Var(&s.versions, "version", "of this version; may be repeated")
	flags.Var(&s.ids, "id", "with this id; may be repeated")
	flags.StringVar(&s.prefix, "prefix", "", "whose id begins so")
	flags.StringVar(&s.parent, "parent", "", "children of this instance")
	flags.BoolVar(&s.roots, "roots", false, "only those that no other waits for")
	flags.Var(&s.tags, "tag", "with this tag, NAME=VALUE; may be repeated")
	flags.Var(&s.createdFrom, "created-from", "created at this time or later: a time, or how long ago, such as 7d")
	flags.Var(&s.createdTo, "created-to", "created before this time, likewise")
	flags.Var(&s.updatedFrom, "updated-from", "changed last at this time or later")
	flags.Var(&s.updatedTo, "updated-to", "changed last before this time")
	flags.Var(&s.endedFrom, "ended-from", "ended at this time or later")
	flags.Var(&s.endedTo, "ended-to", "ended before this time")
	flags.StringVar(&s.longer, "longer-than", "", "having run so long at least, such as 10m")
	flags.StringVar(&s.shorter, "shorter-than", "", "having run less than so long")
	flags.StringVar(&s.failureType, "failure-type", "", "failed with this class of error")
	flags.StringVar(&s.failText, "failure-text", "", "with this text in the message of the failure")
	flags.StringVar(&s.input, "where-input", "", "an SQL/JSON path predicate on the input, such as '$.total > 100'")
	flags.StringVar(&s.output, "where-output", "", "likewise on the output")
	flags.StringVar(&s.json, "filter", "", "an OrchestrationFilter in JSON; other flags go before its fields")
}

// filter is what the flags say. Errors: Usage.
func (s *selection) filter(c *call) (map[string]any, error) {
	f := map[string]any{}
	raw, err := c.value("--filter", s.json)
	if err != nil {
		return nil, err
	}
	if raw != nil {
		var all map[string]json.RawMessage
		if err := json.Unmarshal(raw, &all); err != nil || all == nil {
			return nil, Usage("--filter: want an object of JSON")
		}
		for k, v := range all {
			f[k] = v
		}
	}
	for field, values := range map[string][]string{"statuses": s.statuses.values, "names": s.names, "versions": s.versions, "instanceIds": s.ids} {
		if values != nil {
			f[field] = values
		}
	}
	for field, v := range map[string]string{
		"instanceIdPrefix": s.prefix, "parentInstanceId": s.parent, "longerThan": s.longer, "shorterThan": s.shorter, "failureType": s.failureType,
		"failureText": s.failText, "createdFrom": s.createdFrom.text, "createdTo": s.createdTo.text, "completedFrom": s.endedFrom.text,
		"completedTo": s.endedTo.text, "updatedFrom": s.updatedFrom.text, "updatedTo": s.updatedTo.text, "input": s.input, "output": s.output,
	} {
		if v != "" {
			f[field] = v
		}
	}
	if s.tags != nil {
		f["tags"] = s.tags
	}
	if s.roots {
		f["rootsOnly"] = true
	}
	return f, nil
}
