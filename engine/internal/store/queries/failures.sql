-- What fails, in groups: those of an orchestration whose failures have one class, and one message but for numbers and ids in it.
-- Of each of the names the newest 10,000 failures are looked at. Index instances_ended.
-- name: FailureGroups :many
WITH failed AS (
    SELECT f.id, f.name, f.completed_at, coalesce(f.doc->>'type', '') AS type, left(coalesce(f.doc->>'message', ''), 500) AS message
    FROM unnest(@names::text[]) AS names (name) CROSS JOIN LATERAL (
        SELECT i.id, i.name, i.completed_at, json_of(i.failure) AS doc FROM instances i
        WHERE i.hub = @hub::integer AND i.name = names.name AND i.outcome = 3
          AND i.completed_at >= @since::timestamptz AND i.completed_at < @until::timestamptz
        ORDER BY i.completed_at DESC LIMIT 10000
    ) AS f
), shaped AS (
    SELECT failed.*, regexp_replace(failed.message, '\m(0x)?[0-9a-f]{8,}\M|[0-9]+', '#', 'gi') AS shape FROM failed
)
SELECT shaped.name::text AS name, shaped.type::text AS type, count(*)::bigint AS count,
       min(shaped.completed_at)::timestamptz AS first_at, max(shaped.completed_at)::timestamptz AS last_at,
       ((array_agg(shaped.id ORDER BY shaped.completed_at DESC))[1])::text AS newest,
       ((array_agg(shaped.message ORDER BY shaped.completed_at DESC))[1])::text AS message
FROM shaped
GROUP BY shaped.name, shaped.type, shaped.shape
ORDER BY count(*) DESC, max(shaped.completed_at) DESC
LIMIT @max_rows;
