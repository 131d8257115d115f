-- A hub's figures over time. Of each outcome, and of what ended of each name and outcome, the newest so many are looked at.

-- What was started in a window, by bucket. Index instances_outcome.
-- name: StartedBuckets :many
WITH started AS (
    SELECT s.created_at, s.n FROM unnest(@outcomes::smallint[]) AS o (outcome) CROSS JOIN LATERAL (
        SELECT i.created_at, row_number() OVER () AS n FROM (
            SELECT x.created_at FROM instances x
            WHERE x.hub = @hub::integer AND x.outcome = o.outcome AND x.created_at >= @since::timestamptz AND x.created_at < @until::timestamptz
            ORDER BY x.created_at DESC LIMIT @most::integer
        ) AS i
    ) AS s
    UNION ALL
    SELECT i.created_at, row_number() OVER () AS n FROM (
        SELECT x.created_at FROM instances x
        WHERE x.hub = @hub::integer AND x.outcome IS NULL AND x.created_at >= @since::timestamptz AND x.created_at < @until::timestamptz
        ORDER BY x.created_at DESC LIMIT @most::integer
    ) AS i
)
SELECT floor(extract(epoch FROM started.created_at - @since::timestamptz) / @seconds::float8)::integer AS bucket, count(*)::bigint AS count,
       bool_or(started.n >= @most::integer)::boolean AS partial
FROM started GROUP BY 1 ORDER BY 1;

-- What ended in a window, by bucket and outcome. Index instances_ended.
-- name: EndedBuckets :many
WITH ended AS (
    SELECT e.completed_at, o.outcome, e.n FROM unnest(@names::text[]) AS names (name) CROSS JOIN unnest(@outcomes::smallint[]) AS o (outcome) CROSS JOIN LATERAL (
        SELECT i.completed_at, row_number() OVER () AS n FROM (
            SELECT x.completed_at FROM instances x
            WHERE x.hub = @hub::integer AND x.name = names.name AND x.outcome = o.outcome
              AND x.completed_at >= @since::timestamptz AND x.completed_at < @until::timestamptz
            ORDER BY x.completed_at DESC LIMIT @most::integer
        ) AS i
    ) AS e
)
SELECT floor(extract(epoch FROM ended.completed_at - @since::timestamptz) / @seconds::float8)::integer AS bucket, ended.outcome::smallint AS outcome,
       count(*)::bigint AS count, bool_or(ended.n >= @most::integer)::boolean AS partial
FROM ended GROUP BY 1, 2 ORDER BY 1, 2;

-- How long what ended took, of the newest of each name and outcome. Index instances_ended.
-- name: Durations :one
WITH ended AS (
    SELECT extract(epoch FROM e.completed_at - e.created_at)::float8 AS seconds
    FROM unnest(@names::text[]) AS names (name) CROSS JOIN unnest(@outcomes::smallint[]) AS o (outcome) CROSS JOIN LATERAL (
        SELECT x.completed_at, x.created_at FROM instances x
        WHERE x.hub = @hub::integer AND x.name = names.name AND x.outcome = o.outcome
          AND x.completed_at >= @since::timestamptz AND x.completed_at < @until::timestamptz
        ORDER BY x.completed_at DESC LIMIT @most::integer
    ) AS e
)
SELECT count(*)::bigint AS count,
       coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY ended.seconds), 0)::float8 AS p50,
       coalesce(percentile_disc(0.95) WITHIN GROUP (ORDER BY ended.seconds), 0)::float8 AS p95,
       coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY ended.seconds), 0)::float8 AS p99
FROM ended;
