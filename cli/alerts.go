package cli

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
)

// What the commands on rules and webhooks ask for.

type alertRule struct {
	RuleID      string   `json:"ruleId"`
	Kind        string   `json:"kind"`
	Names       []string `json:"names"`
	Threshold   float64  `json:"threshold"`
	Window      *string  `json:"window"`
	Severity    string   `json:"severity"`
	Webhooks    []string `json:"webhooks"`
	State       string   `json:"state"`
	MutedUntil  *string  `json:"mutedUntil"`
	Value       *float64 `json:"value"`
	Detail      string   `json:"detail"`
	Error       *string  `json:"error"`
	EvaluatedAt *string  `json:"evaluatedAt"`
	FiringSince *string  `json:"firingSince"`
	InstanceID  string   `json:"instanceId"`
}

type changedRule struct {
	outcome

	Rule *alertRule `json:"rule"`
}

type webhook struct {
	WebhookID  string     `json:"webhookId"`
	URL        string     `json:"url"`
	Format     string     `json:"format"`
	Disabled   *string    `json:"disabled"`
	Deliveries []delivery `json:"deliveries"`
}

type delivery struct {
	DeliveryID    string  `json:"deliveryId"`
	RuleID        *string `json:"ruleId"`
	State         string  `json:"state"`
	Attempts      int     `json:"attempts"`
	Answer        *int    `json:"answer"`
	Error         *string `json:"error"`
	CreatedAt     string  `json:"createdAt"`
	NextAttemptAt *string `json:"nextAttemptAt"`
}

type changedWebhook struct {
	outcome

	Webhook *webhook `json:"webhook"`
}

type madeWebhook struct {
	changedWebhook

	Secret *string `json:"secret"`
}

type testedWebhook struct {
	outcome

	DeliveryID *string `json:"deliveryId"`
}

const (
	ruleParts = `fragment A on AlertRule { ruleId kind names threshold window severity webhooks state mutedUntil value detail error
	evaluatedAt firingSince instanceId }`
	hookParts = `fragment W on Webhook { webhookId url format disabled deliveries(first: 5) {
	deliveryId ruleId state attempts answer error createdAt nextAttemptAt } }`
)

var (
	alertsOperation = define[nodes[alertRule]](`query Alerts($hub: String!, $first: Int!, $after: String) {
	done: alertRules(hub: $hub, first: $first, after: $after) { nodes { ...A } `+pageFields+` }
}`, ruleParts)
	alertOperation = define[alertRule](`query Alert($hub: String!, $id: String!) {
	done: alertRule(hub: $hub, ruleId: $id) { ...A }
}`, ruleParts)
	createAlertOperation = alertChange("createAlertRule", "AlertRuleInput")
	updateAlertOperation = alertChange("updateAlertRule", "AlertRuleInput")
	muteAlertOperation   = alertChange("muteAlertRule", "MuteAlertRuleInput")
	deleteAlertOperation = alertChange("deleteAlertRule", "DeleteAlertRuleInput")

	webhooksOperation = define[nodes[webhook]](`query Webhooks($hub: String!, $first: Int!, $after: String) {
	done: webhooks(hub: $hub, first: $first, after: $after) { nodes { ...W } `+pageFields+` }
}`, hookParts)
	createWebhookOperation = define[madeWebhook](`mutation CreateWebhook($input: CreateWebhookInput!) {
	done: createWebhook(input: $input) { webhook { ...W } secret `+errorFields+` }
}`, hookParts)
	rotateWebhookOperation = define[madeWebhook](`mutation RotateWebhook($input: RotateWebhookSecretInput!) {
	done: rotateWebhookSecret(input: $input) { webhook { ...W } secret `+errorFields+` }
}`, hookParts)
	updateWebhookOperation = define[changedWebhook](`mutation UpdateWebhook($input: UpdateWebhookInput!) {
	done: updateWebhook(input: $input) { webhook { ...W } `+errorFields+` }
}`, hookParts)
	deleteWebhookOperation = define[changedWebhook](`mutation DeleteWebhook($input: DeleteWebhookInput!) {
	done: deleteWebhook(input: $input) { webhook { ...W } `+errorFields+` }
}`, hookParts)
	testWebhookOperation = define[testedWebhook](`mutation TestWebhook($input: TestWebhookInput!) {
	done: testWebhook(input: $input) { deliveryId ` + errorFields + ` }
}`)
)

func alertChange(field, input string) operation[changedRule] {
	return define[changedRule]("mutation Change($input: "+input+"!) {\n\tdone: "+field+"(input: $input) { rule { ...A } "+errorFields+" }\n}", ruleParts)
}

var alertHead = []string{"RULE", "KIND", "STATE", "VALUE", "THRESHOLD", "SEVERITY", "SINCE", "MUTED UNTIL", "DETAIL"}

func (r *alertRule) cells() []string {
	value := ""
	if r.Value != nil {
		value = strconv.FormatFloat(*r.Value, 'g', 4, 64)
	}
	detail := r.Detail
	if r.Error != nil {
		detail = "not measured: " + *r.Error
	}
	return []string{r.RuleID, r.Kind, r.State, value, strconv.FormatFloat(r.Threshold, 'g', 4, 64), r.Severity, at(r.FiringSince), at(r.MutedUntil), detail}
}

func alertsListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var p paging
	p.declare(flags)
	return func(ctx context.Context, c *call) error {
		return all(ctx, c, &p, alertsOperation, c.vars(), alertHead, (*alertRule).cells)
	}
}

func alertsGetCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		r, err := alertOperation.need(ctx, c, c.vars("id", c.args[0]), fmt.Sprintf("rule %q in hub %q", c.args[0], c.hub))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		c.sayOne(alertHead, r.cells())
		c.sayf("It watches %s, tells %s, was last looked at %s, and is run by %s in weir-system.",
			orAll(r.Names, "all orchestrations"), orAll(r.Webhooks, "nobody"), at(r.EvaluatedAt), r.InstanceID)
		return nil
	}
}

func orAll(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

func (c *call) sayRule(r *alertRule) error {
	if done, err := c.emit(); done {
		return err
	}
	if r == nil {
		c.sayf("Rule %q is deleted.", c.args[0])
		return nil
	}
	c.sayOne(alertHead, r.cells())
	return nil
}

// alertCommand creates a rule, or sets all of one anew.
func alertCommand(o operation[changedRule]) func(*flag.FlagSet) func(context.Context, *call) error {
	return func(flags *flag.FlagSet) func(context.Context, *call) error {
		kind := enum{allowed: []string{"FAILURE_RATE", "STUCK", "NO_WORKER", "BACKLOG_AGE", "DEAD_LETTERS"}}
		severity := enum{allowed: []string{"INFO", "WARNING", "CRITICAL"}, value: "WARNING"}
		var names, webhooks list
		flags.Var(&kind, "kind", "what is measured: failure-rate, stuck, no-worker, backlog-age or dead-letters")
		flags.Var(&severity, "severity", "info, warning or critical; warning without it")
		flags.Var(&names, "name", "only this orchestration; may be repeated")
		flags.Var(&webhooks, "webhook", "tell this webhook; may be repeated")
		threshold := flags.Float64("threshold", 0, "from which value on it fires")
		minimum := flags.Int("minimum", 0, "of a failure rate: how many must have ended")
		window := flags.String("window", "", "how far back it looks, such as 15m")
		interval := flags.String("interval", "", "how often it looks, such as 1m")
		long := flags.String("for", "", "how long the threshold must be reached before it fires")
		calm := flags.String("calm", "", "how long it must not be reached before it is resolved")
		return func(ctx context.Context, c *call) error {
			if kind.value == "" {
				return Usage("say --kind")
			}
			vars := c.input("ruleId", c.args[0], "kind", kind.value, "severity", severity.value, "window", *window, "interval", *interval, "for", *long, "calm", *calm)
			in := vars["input"].(map[string]any)
			in["threshold"] = *threshold
			if *minimum != 0 {
				in["minimum"] = *minimum
			}
			if len(names) > 0 {
				in["names"] = []string(names)
			}
			if len(webhooks) > 0 {
				in["webhooks"] = []string(webhooks)
			}
			p, err := o.ask(ctx, c, vars)
			if err != nil {
				return err
			}
			return c.sayRule(p.Rule)
		}
	}
}

func alertsMuteCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	until := moment{future: true}
	flags.Var(&until, "until", "until this time, or for so long, such as 2h; without it the rule is heard again")
	return func(ctx context.Context, c *call) error {
		p, err := muteAlertOperation.ask(ctx, c, c.input("ruleId", c.args[0], "until", until.text))
		if err != nil {
			return err
		}
		return c.sayRule(p.Rule)
	}
}

func alertsDeleteCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		if _, err := deleteAlertOperation.ask(ctx, c, c.input("ruleId", c.args[0])); err != nil {
			return err
		}
		return c.sayRule(nil)
	}
}

var hookHead = []string{"WEBHOOK", "URL", "FORMAT", "DISABLED", "LAST DELIVERY"}

func (w *webhook) cells() []string {
	last := ""
	if len(w.Deliveries) > 0 {
		last = w.Deliveries[0].said()
	}
	return []string{w.WebhookID, w.URL, w.Format, text(w.Disabled), last}
}

// said is a delivery in a few words.
func (d *delivery) said() string {
	out := fmt.Sprintf("%s at %s", d.State, at(&d.CreatedAt))
	if d.RuleID != nil {
		out += " of " + *d.RuleID
	}
	if d.Attempts > 1 {
		out += fmt.Sprintf(", %d attempts", d.Attempts)
	}
	if d.Answer != nil {
		out += fmt.Sprintf(", answered %d", *d.Answer)
	}
	if d.Error != nil {
		out += ": " + *d.Error
	}
	if d.NextAttemptAt != nil {
		out += ", again at " + at(d.NextAttemptAt)
	}
	return out
}

func webhooksListCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	var p paging
	p.declare(flags)
	return func(ctx context.Context, c *call) error {
		return all(ctx, c, &p, webhooksOperation, c.vars(), hookHead, (*webhook).cells)
	}
}

// secretCommand makes a webhook, or a further secret of one, and prints it.
func secretCommand(o operation[madeWebhook], withURL bool) func(*flag.FlagSet) func(context.Context, *call) error {
	return func(flags *flag.FlagSet) func(context.Context, *call) error {
		format := hookFormat(flags, withURL)
		return func(ctx context.Context, c *call) error {
			vars := c.input("webhookId", c.args[0])
			if withURL {
				vars = c.input("webhookId", c.args[0], "url", c.args[1], "format", format.value)
			}
			p, err := o.ask(ctx, c, vars)
			if err != nil {
				return err
			}
			if done, err := c.emit(); done {
				return err
			}
			c.sayf("%s", text(p.Secret))
			sayf(c.notes, "This is shown once: the receiver checks signatures with it. Another that was there counts for a day longer.")
			return nil
		}
	}
}

func hookFormat(flags *flag.FlagSet, declare bool) *enum {
	format := &enum{allowed: []string{"GENERIC", "SLACK"}, value: "GENERIC"}
	if declare {
		flags.Var(format, "format", "generic or slack; generic without it")
	}
	return format
}

func webhooksUpdateCommand(flags *flag.FlagSet) func(context.Context, *call) error {
	format := hookFormat(flags, true)
	disable := flags.String("disable", "", "why nothing is to be sent to it; without it, it is")
	return func(ctx context.Context, c *call) error {
		p, err := updateWebhookOperation.ask(ctx, c, c.input("webhookId", c.args[0], "url", c.args[1], "format", format.value, "disabled", *disable))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		c.sayOne(hookHead, p.Webhook.cells())
		return nil
	}
}

func webhooksTestCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		p, err := testWebhookOperation.ask(ctx, c, c.input("webhookId", c.args[0]))
		if err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		c.sayf("A test is on its way: delivery %s. `weir webhooks list` says how it went.", text(p.DeliveryID))
		return nil
	}
}

func webhooksDeleteCommand(*flag.FlagSet) func(context.Context, *call) error {
	return func(ctx context.Context, c *call) error {
		if _, err := deleteWebhookOperation.ask(ctx, c, c.input("webhookId", c.args[0])); err != nil {
			return err
		}
		if done, err := c.emit(); done {
			return err
		}
		c.sayf("Webhook %q is deleted.", c.args[0])
		return nil
	}
}
