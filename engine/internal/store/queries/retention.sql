-- How long instances are kept that have ended. An empty name and the status -1 stand for any, a negative time for ever.

-- name: SetRetention :execrows
INSERT INTO retention (hub, name, status, keep)
SELECT @hub::integer, nullif(@name::text, ''), nullif(@status::smallint, -1),
       CASE WHEN @keep::float8 >= 0 THEN make_interval(secs => @keep::float8) END
WHERE (SELECT count(*) FROM retention r WHERE r.hub = @hub::integer) < @most::integer
   OR EXISTS (SELECT 1 FROM retention r WHERE r.hub = @hub::integer AND r.name IS NOT DISTINCT FROM nullif(@name::text, '')
                 AND r.status IS NOT DISTINCT FROM nullif(@status::smallint, -1))
ON CONFLICT (hub, name, status) DO UPDATE SET keep = excluded.keep, updated_at = now();

-- name: DeleteRetention :execrows
DELETE FROM retention
WHERE hub = @hub AND name IS NOT DISTINCT FROM nullif(@name::text, '') AND status IS NOT DISTINCT FROM nullif(@status::smallint, -1);

-- name: ListRetention :many
SELECT coalesce(r.name, '')::text AS name, coalesce(r.status, -1)::smallint AS status,
       coalesce(extract(epoch FROM r.keep), -1)::float8 AS keep, r.updated_at
FROM retention r WHERE r.hub = @hub ORDER BY r.name NULLS FIRST, r.status NULLS FIRST;

-- name: HubsWithRetention :many
SELECT DISTINCT r.hub FROM retention r WHERE r.keep IS NOT NULL ORDER BY r.hub;

-- The names of a hub's orchestrations after a name, each found by a look into the index instances_name.
-- name: ListNames :many
WITH RECURSIVE names AS (
    (SELECT i.name FROM instances i WHERE i.hub = @hub::integer AND i.name > @after::text ORDER BY i.name LIMIT 1)
    UNION ALL
    SELECT (SELECT i.name FROM instances i WHERE i.hub = @hub::integer AND i.name > n.name ORDER BY i.name LIMIT 1)
    FROM names n WHERE n.name IS NOT NULL
)
SELECT n.name::text AS name FROM names n WHERE n.name IS NOT NULL LIMIT @chunk::integer;

-- Instances that have ended longer ago than is kept of their name and outcome. Index instances_ended.
-- name: FindExpired :many
WITH rule AS (
    SELECT unnest(@names::text[]) AS name, unnest(@outcomes::smallint[]) AS outcome, unnest(@keeps::float8[]) AS keep
)
SELECT expired.no, expired.id, expired.seq, expired.updated_at FROM rule CROSS JOIN LATERAL (
    SELECT i.no, i.id, i.seq, i.updated_at FROM instances i
    WHERE i.hub = @hub::integer AND i.name = rule.name AND i.outcome = rule.outcome
      AND i.completed_at < now() - make_interval(secs => rule.keep)
    ORDER BY i.completed_at LIMIT @chunk::integer
) AS expired
LIMIT @chunk::integer;
