package cli

// commands are those that ask a server, in the order of help.
func commands() []*command {
	return []*command{
		{name: "list", about: "list instances, newest first", bind: listCommand},
		{name: "get", args: "INSTANCE", min: 1, max: 1, about: "show an instance: status, reason, values, pending tasks", bind: getCommand},
		{name: "history", args: "INSTANCE", min: 1, max: 1, about: "print the history of an instance", bind: historyCommand},
		{
			name: "watch", args: "[INSTANCE]", max: 1, about: "follow instances live, or one until it ends", bind: watchCommand,
			more: "Of an instance the exit code is 0 if it ends as COMPLETED, else 1. JSON is one frame a line.",
		},
		{name: "start", args: "NAME", min: 1, max: 1, about: "start an instance", bind: startCommand},
		{
			name: "raise", args: "INSTANCE EVENT [PAYLOAD]", min: 2, max: 3, about: "raise an event to an instance", bind: raiseCommand,
			more: "PAYLOAD is JSON; @FILE reads a file, - the standard input.",
		},
		{
			name: "signal", args: "NAME KEY OPERATION [INPUT]", min: 3, max: 4, about: "have an entity carry out an operation", bind: signalCommand,
			more: "INPUT is JSON; @FILE reads a file, - the standard input.",
		},
		{name: "suspend", args: "INSTANCE", min: 1, max: 1, about: "stop an instance until it is resumed", bind: control(suspendOperation, reason)},
		{name: "resume", args: "INSTANCE", min: 1, max: 1, about: "let a suspended instance go on", bind: control(resumeOperation, reason)},
		{name: "cancel", args: "INSTANCE", min: 1, max: 1, about: "ask an instance to end by itself", bind: control(cancelOperation, reason)},
		{name: "terminate", args: "INSTANCE", min: 1, max: 1, about: "end an instance at once", bind: control(terminateOperation, terminateFlags)},
		{name: "rewind", args: "INSTANCE", min: 1, max: 1, about: "let an instance that has ended go on from an earlier point", bind: control(rewindOperation, rewindFlags)},
		{name: "restart", args: "INSTANCE", min: 1, max: 1, about: "start an instance that has ended again", bind: control(restartOperation, restartFlags)},
		{name: "purge", args: "INSTANCE...", min: 1, max: 500, about: "delete instances that have ended, for good", bind: purgeCommand},

		{name: "schedules list", about: "list schedules", bind: schedulesListCommand},
		{name: "schedules get", args: "SCHEDULE", min: 1, max: 1, about: "show a schedule", bind: schedulesGetCommand},
		{name: "schedules create", args: "SCHEDULE", min: 1, max: 1, about: "create a schedule; one that is there is refused", bind: schedulesCreateCommand},
		{
			name: "schedules update", args: "SCHEDULE", min: 1, max: 1, about: "change what the flags say of a schedule", bind: schedulesUpdateCommand,
			more: "If somebody else changes it at the same time, it is refused. An empty value takes a bound back.",
		},
		{name: "schedules pause", args: "SCHEDULE", min: 1, max: 1, about: "stop a schedule until it is resumed", bind: scheduleControl(pauseScheduleOperation, true)},
		{name: "schedules resume", args: "SCHEDULE", min: 1, max: 1, about: "make a paused schedule fire again", bind: scheduleControl(resumeScheduleOperation, false)},
		{name: "schedules trigger", args: "SCHEDULE", min: 1, max: 1, about: "start an instance of a schedule now", bind: schedulesTriggerCommand},
		{name: "schedules backfill", args: "SCHEDULE", min: 1, max: 1, about: "start instances for firings that are past", bind: schedulesBackfillCommand},
		{name: "schedules delete", args: "SCHEDULE", min: 1, max: 1, about: "delete a schedule", bind: scheduleControl(deleteScheduleOperation, false)},

		{name: "entities list", about: "list entities", bind: entitiesListCommand},
		{name: "entities get", args: "NAME KEY", min: 2, max: 2, about: "show an entity", bind: entitiesGetCommand},

		{name: "hubs", about: "list task hubs", bind: hubsCommand},
		{name: "workers", about: "list workers of the hub", bind: workersCommand},

		{name: "limits list", about: "list limits of calls", bind: limitsListCommand},
		{name: "limits get", args: "LIMIT", min: 1, max: 1, about: "show a limit", bind: limitsGetCommand},
		{name: "limits put", args: "LIMIT", min: 1, max: 1, about: "create a limit, or change its bounds", bind: limitsPutCommand},
		{name: "limits delete", args: "LIMIT", min: 1, max: 1, about: "delete a limit", bind: limitsDeleteCommand},

		{name: "letters list", about: "list dead letters: what worker after worker has died of", bind: lettersListCommand},
		{name: "letters redrive", args: "[INSTANCE]", max: 1, about: "give dead letters out again", bind: lettersRedriveCommand},

		{name: "batch preview", args: "KIND", min: 1, max: 1, about: "count the instances that an operation would act on", bind: batchPreviewCommand, more: kindsHelp},
		{name: "batch start", args: "KIND", min: 1, max: 1, about: "do something with many instances, in the background", bind: batchStartCommand, more: kindsHelp},
		{name: "batch list", about: "list operations on many instances", bind: batchListCommand},
		{name: "batch get", args: "OPERATION", min: 1, max: 1, about: "show an operation: how far it is, and what refused", bind: batchGetCommand},
		{name: "batch pause", args: "OPERATION", min: 1, max: 1, about: "stop an operation until it is resumed", bind: batchControl(pauseBatchOperation)},
		{name: "batch resume", args: "OPERATION", min: 1, max: 1, about: "let a paused operation go on", bind: batchControl(resumeBatchOperation)},
		{name: "batch cancel", args: "OPERATION", min: 1, max: 1, about: "end an operation; what is done stays done", bind: batchControl(cancelBatchOperation)},

		{name: "retention list", about: "list the rules for how long instances are kept", bind: retentionListCommand},
		{name: "retention set", about: "set a rule", bind: ruleCommand(setRetentionOperation, true)},
		{name: "retention delete", about: "take a rule back", bind: ruleCommand(deleteRetentionOperation, false)},

		{name: "alerts list", about: "list the rules that watch the hub, and how they stand", bind: alertsListCommand},
		{name: "alerts get", args: "RULE", min: 1, max: 1, about: "show a rule", bind: alertsGetCommand},
		{name: "alerts create", args: "RULE", min: 1, max: 1, about: "make a rule", bind: alertCommand(createAlertOperation)},
		{name: "alerts update", args: "RULE", min: 1, max: 1, about: "set all of a rule anew; what no flag says is as without it", bind: alertCommand(updateAlertOperation)},
		{name: "alerts mute", args: "RULE", min: 1, max: 1, about: "tell nobody of a rule for a while", bind: alertsMuteCommand},
		{name: "alerts delete", args: "RULE", min: 1, max: 1, about: "delete a rule", bind: alertsDeleteCommand},
		{name: "webhooks list", about: "list who is told of alerts, and how the last delivery went", bind: webhooksListCommand},
		{
			name: "webhooks create", args: "WEBHOOK URL", min: 2, max: 2, about: "make a webhook, and print the secret that signs what it is sent", bind: secretCommand(createWebhookOperation, true),
			more: "The secret goes to the standard output, all else to the standard error.",
		},
		{name: "webhooks update", args: "WEBHOOK URL", min: 2, max: 2, about: "set address and format of a webhook, or disable it", bind: webhooksUpdateCommand},
		{name: "webhooks rotate", args: "WEBHOOK", min: 1, max: 1, about: "make a further secret; the one before counts for a day longer", bind: secretCommand(rotateWebhookOperation, false)},
		{name: "webhooks test", args: "WEBHOOK", min: 1, max: 1, about: "send a test", bind: webhooksTestCommand},
		{name: "webhooks delete", args: "WEBHOOK", min: 1, max: 1, about: "delete a webhook", bind: webhooksDeleteCommand},

		{
			name: "login", about: "sign in at the server's OpenID provider, in a browser on any machine", bind: loginCommand, signsIn: true,
			more: "What to open and which code to enter goes to the standard error. The tokens are kept in a file that only you can read.",
		},
		{name: "logout", about: "forget the sign-in, and have the provider take it back", bind: logoutCommand, signsIn: true},
		{name: "whoami", about: "show who the server takes you for, and what you may do in the hub", bind: whoamiCommand},
		{name: "tokens list", about: "list API tokens, the latest first", bind: tokensListCommand},
		{
			name: "tokens create", args: "NAME", min: 1, max: 1, about: "make an API token, and print it", bind: tokensCreateCommand,
			more: "The token goes to the standard output, all else to the standard error. It can give only what you may do yourself.",
		},
		{name: "tokens revoke", args: "TOKEN", min: 1, max: 1, about: "end an API token, by its id", bind: tokensRevokeCommand},
		{name: "roles list", about: "list the roles of those whom an OpenID provider knows", bind: rolesListCommand},
		{name: "roles set", args: "SUBJECT ROLE", min: 2, max: 2, about: "give a role in the hub", bind: roleCommand(setRoleOperation, "has"), more: subjectsHelp},
		{name: "roles remove", args: "SUBJECT ROLE", min: 2, max: 2, about: "take a role away", bind: roleCommand(removeRoleOperation, "no longer has"), more: subjectsHelp},
		{name: "audit", about: "list what was changed through the API, and by whom", bind: auditCommand},
	}
}

const subjectsHelp = `SUBJECT is "group:NAME", or "ISSUER#SUBJECT". ROLE is reader, operator, contributor, worker or admin.`

const kindsHelp = "KIND is purge, terminate, cancel, suspend, resume or rewind."

// Names lists all commands, those of the program itself first.
func Names() []string {
	var names []string
	for _, p := range locals() {
		names = append(names, p.name)
	}
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}
