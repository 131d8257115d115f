-- Limits of calls: how many at once over all workers, and how many in a time (migration 0010).

-- B7: calls that a limit bounds, to be let through; their River rows are pending. A call that is dispatched anew waits anew.
-- name: InsertLimitCalls :exec
INSERT INTO limit_calls (instance_no, gen, task, hub, name, key, priority)
SELECT unnest(@nos::bigint[]), unnest(@gens::integer[]), unnest(@tasks::integer[]), unnest(@hubs::integer[]),
       unnest(@names::text[]), unnest(@keys::text[]), unnest(@priorities::smallint[])
ON CONFLICT (instance_no, gen, task) DO UPDATE SET granted_at = NULL, ready = true, queued_at = now();

-- B7: calls whose River rows this batch may have deleted, or put aside until their next attempt: they give back their
-- places. Of a call whose row is neither, somebody else is at work on it. Returns the buckets in which places are free.
-- name: FreeLimitCalls :many
WITH unit AS (
    SELECT u.no, u.gen, u.task, (
        SELECT max(j.state::text) FROM river_job j
        WHERE j.unique_key = int8send(u.no) || int4send(u.gen) || int4send(u.task)
          AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
          AND river_job_state_in_bitmask(j.unique_states, j.state)
    ) AS state
    FROM (SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task) AS u
), idle AS (
    UPDATE limit_calls c SET granted_at = NULL, ready = false
    FROM unit
    WHERE c.instance_no = unit.no AND c.gen = unit.gen AND c.task = unit.task AND unit.state = 'scheduled'
    RETURNING c.hub, c.name, c.key
), gone AS (
    DELETE FROM limit_calls c USING unit
    WHERE c.instance_no = unit.no AND c.gen = unit.gen AND c.task = unit.task AND unit.state IS NULL
    RETURNING c.hub, c.name, c.key
)
SELECT idle.hub, idle.name, idle.key FROM idle
UNION
SELECT gone.hub, gone.name, gone.key FROM gone;

-- Lets calls through, bucket by bucket in their order, so that no two who do that wait for each other. Returns in how
-- many seconds the next token of a bucket's rate is there, for those where calls wait for one.
-- name: LetThrough :many
SELECT t.hub::integer AS hub, t.name::text AS name, t.key::text AS key,
       greatest(extract(epoch FROM t.due_at - clock_timestamp()), 0)::float8 AS wait
FROM (
    SELECT b.hub, b.name, b.key, let_through(b.hub, b.name, b.key, @river_channel::text) AS due_at
    FROM (
        SELECT u.hub, u.name, u.key FROM (
            SELECT unnest(@hubs::integer[]) AS hub, unnest(@names::text[]) AS name, unnest(@keys::text[]) AS key
        ) AS u
        ORDER BY u.hub, u.name, u.key
    ) AS b
) AS t
WHERE t.due_at IS NOT NULL;

-- The net under those who let calls through, and may die before they do: calls that hold a place and have no River row any
-- more give it back.
-- name: SweepLimitCalls :many
DELETE FROM limit_calls c
WHERE (c.instance_no, c.gen, c.task) IN (
    SELECT s.instance_no, s.gen, s.task FROM limit_calls s
    WHERE s.granted_at < now() - interval '1 second' AND 0 = (
        SELECT count(*) FROM river_job j
        WHERE j.unique_key = int8send(s.instance_no) || int4send(s.gen) || int4send(s.task)
          AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
          AND river_job_state_in_bitmask(j.unique_states, j.state)
    )
    LIMIT 1000
)
RETURNING c.hub, c.name, c.key;

-- Buckets in which calls have waited for a while, and are not known to wait for a token.
-- name: FindWaitingBuckets :many
SELECT DISTINCT c.hub, c.name, c.key FROM limit_calls c
WHERE c.granted_at IS NULL AND c.ready AND c.queued_at < now() - interval '200 milliseconds'
  AND NOT EXISTS (
      SELECT 1 FROM limit_buckets b WHERE b.hub = c.hub AND b.name = c.name AND b.key = c.key AND b.due_at > now() - interval '200 milliseconds'
  )
LIMIT 1000;

-- name: ListWaitingKeys :many
SELECT DISTINCT c.key FROM limit_calls c
WHERE c.hub = @hub AND c.name = @name AND c.granted_at IS NULL AND c.ready
LIMIT 1000;

-- name: PutLimit :exec
INSERT INTO limits (hub, name, concurrency, rate, period, burst)
VALUES (@hub, @name, @concurrency, @rate, make_interval(secs => @period::float8), @burst)
ON CONFLICT (hub, name) DO UPDATE
SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period, burst = excluded.burst, updated_at = now();

-- Deletes a limit that no call is bound by. Returns how many calls hold a place in it, or wait for one, and whether there
-- was one.
-- name: DeleteLimit :one
WITH used AS (
    SELECT count(*) AS n FROM limit_calls c WHERE c.hub = @hub AND c.name = @name
), known AS (
    SELECT count(*) AS n FROM limits l WHERE l.hub = @hub AND l.name = @name
), gone AS (
    DELETE FROM limits l USING used WHERE l.hub = @hub AND l.name = @name AND used.n = 0
), buckets AS (
    DELETE FROM limit_buckets b USING used WHERE b.hub = @hub AND b.name = @name AND used.n = 0
)
SELECT used.n AS calls, (known.n > 0)::boolean AS found FROM used, known;

-- Limits by name, those that calls name and nobody has put among them.
-- name: ListLimits :many
SELECT t.name::text AS name, (l.name IS NOT NULL)::boolean AS found, coalesce(l.concurrency, 0)::integer AS concurrency,
       coalesce(l.rate, 0)::integer AS rate, coalesce(extract(epoch FROM l.period), 0)::float8 AS period, coalesce(l.burst, 0)::integer AS burst,
       l.created_at, l.updated_at,
       (SELECT count(*) FROM limit_calls c WHERE c.hub = @hub AND c.name = t.name AND c.granted_at IS NOT NULL)::bigint AS holding,
       (SELECT count(*) FROM limit_calls c WHERE c.hub = @hub AND c.name = t.name AND c.granted_at IS NULL AND c.ready)::bigint AS waiting
FROM (
    SELECT x.name FROM limits x WHERE x.hub = @hub AND x.name > @after AND (x.name = @one OR @one = '')
    UNION
    SELECT w.name FROM limit_calls w WHERE w.hub = @hub AND w.granted_at IS NULL AND w.ready AND w.name > @after AND (w.name = @one OR @one = '')
    ORDER BY 1
    LIMIT @max_rows
) AS t
LEFT JOIN limits l ON l.hub = @hub AND l.name = t.name
ORDER BY t.name;

-- Who holds places in a limit: the oldest first.
-- name: ListHolders :many
SELECT i.id AS instance_id, c.task, c.key, c.granted_at, c.gen FROM limit_calls c JOIN instances i ON i.no = c.instance_no
WHERE c.hub = @hub AND c.name = @name AND c.granted_at IS NOT NULL
ORDER BY c.granted_at, c.no
LIMIT @max_rows;

-- What the calls of an instance wait for that limits bound: how each limit stands, and how many hold places with that key.
-- name: ListLimitWaits :many
SELECT c.task, c.name, c.key, c.queued_at, (l.name IS NOT NULL)::boolean AS found,
       coalesce(l.concurrency, 0)::integer AS concurrency, coalesce(l.rate, 0)::integer AS rate,
       coalesce(extract(epoch FROM l.period), 0)::float8 AS period, b.due_at,
       (SELECT count(*) FROM limit_calls h WHERE h.hub = c.hub AND h.name = c.name AND h.key = c.key AND h.granted_at IS NOT NULL)::bigint AS holding,
       (SELECT count(*) FROM limit_calls w WHERE w.hub = c.hub AND w.name = c.name AND w.key = c.key AND w.granted_at IS NULL AND w.ready
          AND (w.priority, w.no) < (c.priority, c.no))::bigint AS ahead
FROM limit_calls c
LEFT JOIN limits l ON l.hub = c.hub AND l.name = c.name
LEFT JOIN limit_buckets b ON b.hub = c.hub AND b.name = c.name AND b.key = c.key
WHERE c.instance_no = @no AND c.gen = @gen AND c.granted_at IS NULL AND c.ready
ORDER BY c.task
LIMIT 1000;

-- Buckets that nobody uses, and whose rate is full again.
-- name: ForgetBuckets :exec
DELETE FROM limit_buckets b
WHERE 0 = (SELECT count(*) FROM limit_calls c WHERE c.hub = b.hub AND c.name = b.name AND c.key = b.key AND c.granted_at IS NOT NULL)
  AND 0 = (SELECT count(*) FROM limit_calls c WHERE c.hub = b.hub AND c.name = b.name AND c.key = b.key AND c.granted_at IS NULL AND c.ready)
  AND 0 = (
      SELECT count(*) FROM limits l WHERE l.hub = b.hub AND l.name = b.name AND l.rate > 0
        AND b.filled_at + l.period * (l.burst::float8 / l.rate) > now()
  );

-- Calls whose next attempt was not due, and that are gone.
-- name: ForgetLimitCalls :exec
DELETE FROM limit_calls c
WHERE NOT c.ready AND 0 = (
    SELECT count(*) FROM river_job j
    WHERE j.unique_key = int8send(c.instance_no) || int4send(c.gen) || int4send(c.task)
      AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
      AND river_job_state_in_bitmask(j.unique_states, j.state)
);
