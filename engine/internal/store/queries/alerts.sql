-- Alerts: rules, what they measure, webhooks, and deliveries.

-- name: InsertAlertRule :one
INSERT INTO alert_rules (hub, id, spec, muted_until)
SELECT @hub::integer, @id::text, @spec::jsonb, sqlc.narg(muted_until)::timestamptz
WHERE (SELECT count(*) FROM alert_rules r WHERE r.hub = @hub) < @most::integer
ON CONFLICT (hub, id) DO NOTHING
RETURNING *;

-- name: UpdateAlertRule :one
UPDATE alert_rules
SET spec = @spec, muted_until = sqlc.narg(muted_until), updated_at = now(), evaluated_at = NULL, turning_at = NULL,
    state = CASE state WHEN 1 THEN 0 ELSE state END
WHERE hub = @hub AND id = @id
RETURNING *;

-- name: MuteAlertRule :one
UPDATE alert_rules SET muted_until = sqlc.narg(muted_until)::timestamptz WHERE hub = @hub AND id = @id RETURNING *;

-- name: DeleteAlertRule :execrows
DELETE FROM alert_rules WHERE hub = @hub AND id = @id;

-- name: GetAlertRule :one
SELECT * FROM alert_rules WHERE hub = @hub AND id = @id;

-- name: LockAlertRule :one
SELECT * FROM alert_rules WHERE hub = @hub AND id = @id FOR UPDATE;

-- name: ListAlertRules :many
SELECT * FROM alert_rules r WHERE r.hub = @hub AND r.id > @after::text ORDER BY r.id LIMIT @chunk::integer;

-- name: RecordAlert :exec
UPDATE alert_rules
SET evaluated_at = @evaluated_at, turning_at = sqlc.narg(turning_at), firing_since = sqlc.narg(firing_since), incident = @incident, state = @state,
    value = sqlc.narg(value), detail = @detail, error = @error
WHERE no = @no;

-- Rules that no orchestration of that hub watches, and those that have changed since it looked.
-- name: UnwatchedAlertRules :many
SELECT h.name AS hub, r.id, (i.no IS NOT NULL)::boolean AS watched
FROM alert_rules r JOIN hubs h ON h.no = r.hub
LEFT JOIN instances i ON i.hub = @system_hub::integer AND i.id = 'alert/' || h.name || '/' || r.id AND i.outcome IS NULL
WHERE i.no IS NULL OR r.evaluated_at IS NULL AND r.updated_at < now() - interval '1 second'
ORDER BY r.no LIMIT 1000;

-- A live instance is looked for in the order of the index instances_outcome: EXISTS, which forgets orders, may read all instances.
-- name: AnyAlerts :one
SELECT (EXISTS (SELECT 1 FROM alert_rules) OR EXISTS (SELECT 1 FROM webhook_deliveries d WHERE NOT d.started)
    OR (SELECT i.no FROM instances i WHERE i.hub = (SELECT h.no FROM hubs h WHERE h.name = @system_hub::text) AND i.outcome IS NULL
        ORDER BY i.outcome, i.created_at, i.no LIMIT 1) IS NOT NULL)::boolean AS any_alerts;

-- name: InsertWebhook :one
INSERT INTO webhooks (hub, id, url, format, secret)
SELECT @hub::integer, @id::text, @url::text, @format::smallint, @secret::bytea
WHERE (SELECT count(*) FROM webhooks w WHERE w.hub = @hub) < @most::integer
ON CONFLICT (hub, id) DO NOTHING
RETURNING *;

-- name: UpdateWebhook :one
UPDATE webhooks
SET url = @url, format = @format, updated_at = now(), disabled = CASE WHEN @enabled::boolean THEN '' ELSE @reason::text END,
    disabled_at = CASE WHEN NOT @enabled::boolean THEN coalesce(disabled_at, now()) END
WHERE hub = @hub AND id = @id
RETURNING *;

-- name: RotateWebhook :one
UPDATE webhooks SET old_secret = secret, old_until = now() + make_interval(secs => @overlap::float8), secret = @secret, updated_at = now()
WHERE hub = @hub AND id = @id
RETURNING *;

-- name: DeleteWebhook :execrows
DELETE FROM webhooks WHERE hub = @hub AND id = @id;

-- name: GetWebhook :one
SELECT * FROM webhooks WHERE hub = @hub AND id = @id;

-- name: ListWebhooks :many
SELECT * FROM webhooks w WHERE w.hub = @hub AND w.id > @after::text ORDER BY w.id LIMIT @chunk::integer;

-- name: FindWebhooks :many
SELECT * FROM webhooks w WHERE w.hub = @hub AND w.id = ANY(@ids::text[]);

-- name: DisableWebhook :exec
UPDATE webhooks SET disabled = @reason, disabled_at = now(), updated_at = now() WHERE no = @no AND disabled_at IS NULL;

-- name: InsertDelivery :exec
INSERT INTO webhook_deliveries (id, webhook, rule, body) VALUES (@id, @webhook, @rule, @body) ON CONFLICT (id) DO NOTHING;

-- Index webhook_deliveries_webhook.
-- name: ListDeliveries :many
SELECT * FROM webhook_deliveries d WHERE d.webhook = @webhook ORDER BY d.no DESC LIMIT @chunk::integer;

-- Index webhook_deliveries_waiting.
-- name: WaitingDeliveries :many
SELECT d.id FROM webhook_deliveries d WHERE NOT d.started ORDER BY d.no LIMIT 1000;

-- name: SetDeliveriesStarted :exec
UPDATE webhook_deliveries d SET started = true WHERE d.id = ANY(@ids::text[]) AND NOT d.started;

-- name: GetDelivery :one
SELECT sqlc.embed(d), sqlc.embed(w) FROM webhook_deliveries d JOIN webhooks w ON w.no = d.webhook WHERE d.id = @id;

-- name: RecordDelivery :exec
UPDATE webhook_deliveries
SET attempts = greatest(attempts, @attempts::integer), state = @state::smallint, answer = @answer, error = @error,
    next_at = CASE WHEN @state::smallint = 0 THEN now() + make_interval(secs => @wait::float8) END,
    finished_at = CASE WHEN @state::smallint <> 0 THEN now() END
WHERE id = @id AND state = 0;

-- Index webhook_deliveries_finished.
-- name: ForgetDeliveries :execrows
DELETE FROM webhook_deliveries WHERE no IN (
    SELECT d.no FROM webhook_deliveries d WHERE d.finished_at < now() - make_interval(secs => @keep::float8) ORDER BY d.finished_at LIMIT 1000);

-- How many have ended since so with these outcomes, summed over names. Of each name and outcome at most so many are counted;
-- where there are more, the name's other outcomes are counted as far back as that goes, so that shares stay what they are. Index
-- instances_ended.
-- name: CountEnded :many
WITH newest AS MATERIALIZED (
    SELECT names.name, o.outcome, c.n, CASE WHEN c.n = @most::integer THEN c.oldest END AS since
    FROM unnest(@names::text[]) AS names (name) CROSS JOIN unnest(@outcomes::smallint[]) AS o (outcome) CROSS JOIN LATERAL (
        SELECT count(*) AS n, min(ended.completed_at) AS oldest FROM (
            SELECT i.completed_at FROM instances i
            WHERE i.hub = @hub::integer AND i.name = names.name AND i.outcome = o.outcome AND i.completed_at >= @since::timestamptz
            ORDER BY i.completed_at DESC LIMIT @most::integer
        ) AS ended
    ) AS c
), cut AS (
    SELECT n.name, max(n.since) AS since FROM newest n GROUP BY n.name
)
SELECT n.outcome::smallint AS outcome, coalesce(sum(CASE WHEN cut.since IS NULL OR cut.since = n.since THEN n.n ELSE (
    SELECT count(*) FROM instances i
    WHERE i.hub = @hub::integer AND i.name = n.name AND i.outcome = n.outcome AND i.completed_at >= cut.since
) END), 0)::bigint AS count
FROM newest n JOIN cut ON cut.name = n.name
GROUP BY n.outcome;

-- Live instances of a name that nothing has happened to for so long, although they are neither suspended, nor to start later,
-- nor wait for a timer. The oldest 10,000 are looked at; they are ordered by outcome, which none has, because only so Postgres takes
-- them from the index instances_name without sorting all of them.
-- name: CountStuck :many
SELECT i.id, i.updated_at, count(*) OVER () AS total FROM (
    SELECT s.id, s.updated_at, s.suspended, s.scheduled_at, s.waiting FROM instances s
    WHERE s.hub = @hub::integer AND s.name = @name::text AND s.outcome IS NULL AND s.created_at < @since::timestamptz
    ORDER BY s.outcome, s.created_at, s.no LIMIT 10000
) AS i
WHERE i.updated_at < @since::timestamptz AND i.suspended IS NULL AND (i.scheduled_at IS NULL OR i.scheduled_at < @since::timestamptz)
  AND position('"timer":'::bytea IN coalesce(i.waiting, ''::bytea)) = 0
ORDER BY i.updated_at LIMIT 3;

-- The oldest 10,000 jobs of each queue that nobody has taken up, by kind. River's index for fetching.
-- name: CountWaiting :many
SELECT j.kind, count(*)::bigint AS count, min(j.scheduled_at)::timestamptz AS oldest
FROM unnest(@queues::text[]) AS q (queue) CROSS JOIN generate_series(1, 4) AS p (priority) CROSS JOIN LATERAL (
    SELECT r.kind, r.scheduled_at FROM river_job r
    WHERE r.state = 'available' AND r.queue = q.queue AND r.priority = p.priority AND r.scheduled_at < now()
    ORDER BY r.scheduled_at LIMIT 10000
) AS j
GROUP BY j.kind;

-- Index deaths_held.
-- name: CountLetters :one
SELECT count(*)::bigint AS count FROM (SELECT 1 FROM deaths d WHERE d.hub = @hub AND d.held_at IS NOT NULL LIMIT 10000) AS held;
