-- What waits and what is at work, by hub and kind: the River rows in the queues of hubs, of which none is there that has
-- ended, but for those of other applications. A call that waits for its limit is pending in River. Read by /metrics, at most every
-- few seconds.
-- name: Backlog :many
WITH job AS (
    SELECT split_part(substr(j.queue, 2), '_', 1) AS hub,
           CASE WHEN split_part(j.queue, '_', 2) <> 'orch' THEN 1 WHEN left(j.kind, 12) = 'turn:entity:' THEN 2 ELSE 0 END AS kind,
           j.state::text AS state, j.scheduled_at
    FROM river_job j
    WHERE j.state IN ('available', 'pending', 'running', 'retryable', 'scheduled') AND j.queue ~ '^h[0-9]+_(orch|act|a_.*)$'
)
SELECT h.name AS hub, k.kind::integer AS kind,
       count(job.state) FILTER (WHERE job.state IN ('available', 'pending') OR job.scheduled_at <= now() AND job.state IN ('retryable', 'scheduled')) AS pending,
       count(job.state) FILTER (WHERE job.state = 'running') AS active,
       coalesce(extract(epoch FROM now() - min(job.scheduled_at) FILTER (WHERE job.state <> 'running' AND job.scheduled_at <= now())), 0)::float8 AS oldest
FROM hubs h
CROSS JOIN (VALUES (0), (1), (2)) AS k (kind)
LEFT JOIN job ON job.hub = h.no::text AND job.kind = k.kind
GROUP BY h.no, h.name, k.kind
ORDER BY h.no, k.kind
LIMIT 3 * @max_hubs::integer;

-- Workers that are online, by hub.
-- name: CountWorkers :many
SELECT h.name AS hub, (SELECT count(*) FROM workers w WHERE w.hub = h.no AND w.state = 0) AS workers
FROM hubs h ORDER BY h.no LIMIT @max_hubs::integer;
