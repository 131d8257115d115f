-- What `weir doctor` looks at (engine/doctor.go). Each statement reads, looks at a bounded number of rows along an index, and
-- returns what is wrong as text, at most 1000 lines. "Of late" are the newest instances, "live" are the oldest of those
-- that have not ended, of each hub.

-- I1: live instances that nothing will ever move.
-- name: DoctorStranded :many
SELECT i.id FROM hubs b CROSS JOIN LATERAL (
    SELECT s.no, s.id, s.status, s.scheduled_at, s.waiting, s.turn_job, s.owner FROM instances s
    WHERE s.hub = b.no AND s.outcome IS NULL ORDER BY s.created_at, s.no LIMIT @chunk::integer
) AS i
WHERE i.turn_job IS NULL AND i.owner IS NULL AND (
    (i.status = 6 AND i.scheduled_at IS NULL)
    OR (i.status = 6 AND NOT EXISTS (SELECT 1 FROM timers t WHERE t.instance_no = i.no AND t.kind = 1)
        AND NOT EXISTS (SELECT 1 FROM inbox x WHERE x.instance_no = i.no AND x.kind = 1))
    OR (i.status = 0 AND i.waiting IS NULL)
)
LIMIT 1000;

-- I2: instances of late whose history has a gap, overlaps, or does not end where they stand. Long ones are left out.
-- name: DoctorGaps :many
SELECT i.id FROM (
    SELECT s.no, s.id, s.seq, s.base_seq FROM instances s WHERE s.outcome IS DISTINCT FROM 100 ORDER BY s.no DESC LIMIT @chunk::integer
) AS i CROSS JOIN LATERAL (
    SELECT max(h.seq) AS last, bool_or(h.seq - h.n <> h.before) AS gap FROM (
        SELECT r.seq, r.n, lag(r.seq) OVER (ORDER BY r.seq) AS before FROM history r WHERE r.instance_no = i.no
    ) AS h
) AS found
WHERE i.seq - i.base_seq < 5000 AND (coalesce(found.last, 0) <> i.seq OR found.gap)
LIMIT 1000;

-- I2, I3, I4, I6, I8: instances of late, and live ones, whose histories are read and followed.
-- name: DoctorSample :many
(SELECT i.no FROM instances i WHERE i.outcome IS DISTINCT FROM 100 AND i.seq - i.base_seq < 2000 ORDER BY i.no DESC LIMIT @chunk::integer)
UNION
(SELECT i.no FROM hubs b CROSS JOIN LATERAL (
    SELECT s.no, s.seq, s.base_seq FROM instances s WHERE s.hub = b.no AND s.outcome IS NULL ORDER BY s.created_at, s.no LIMIT @chunk::integer
) AS i WHERE i.seq - i.base_seq < 2000);

-- Histories with what their instances say of themselves, in one snapshot.
-- name: DoctorHistories :many
SELECT i.no, i.id, i.status, i.seq AS at, i.base_seq, i.output, coalesce(i.output_ref, 0)::bigint AS output_ref, h.seq, h.n, h.codec, h.events
FROM instances i JOIN history h ON h.instance_no = i.no
WHERE i.no = ANY(@nos::bigint[])
ORDER BY i.no, h.seq
LIMIT 50000;

-- I5: workers that have committed after they were declared dead, or left. A batch may pass the fence while that is put up.
-- name: DoctorFenced :many
SELECT (w.no || ' (' || w.name || ')')::text AS what
FROM workers w JOIN lanes l ON l.worker_no = w.no
WHERE w.state <> 0 AND l.seen_at > w.ended_at + interval '1 minute'
ORDER BY w.no LIMIT 1000;

-- I5: live instances whose owner has not lived for a minute.
-- name: DoctorLostOwners :many
SELECT i.id FROM hubs b CROSS JOIN LATERAL (
    SELECT s.id, s.owner FROM instances s WHERE s.hub = b.no AND s.outcome IS NULL ORDER BY s.created_at, s.no LIMIT @chunk::integer
) AS i LEFT JOIN workers w ON w.no = i.owner
WHERE i.owner IS NOT NULL AND (w.no IS NULL OR (w.state <> 0 AND w.ended_at < now() - interval '1 minute'))
LIMIT 1000;

-- I6: instances of late that began before they were to.
-- name: DoctorEarly :many
SELECT i.id FROM (SELECT s.id, s.started_at, s.scheduled_at FROM instances s ORDER BY s.no DESC LIMIT @chunk::integer) AS i
WHERE i.started_at < i.scheduled_at
LIMIT 1000;

-- I6: live instances that sleep, and have no timer to wake them.
-- name: DoctorLostTimers :many
SELECT i.id FROM hubs b CROSS JOIN LATERAL (
    SELECT s.no, s.id, s.gen, s.waiting, s.turn_job, s.owner, s.status FROM instances s
    WHERE s.hub = b.no AND s.outcome IS NULL ORDER BY s.created_at, s.no LIMIT @chunk::integer
) AS i
WHERE i.turn_job IS NULL AND i.owner IS NULL AND i.status IN (0, 7) AND position('"timer":'::bytea IN i.waiting) > 0
  AND convert_from(i.waiting, 'UTF8')::json->>'timer' IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM timers t WHERE t.instance_no = i.no AND t.gen = i.gen AND t.kind = 0)
  AND NOT EXISTS (SELECT 1 FROM inbox x WHERE x.instance_no = i.no AND x.gen = i.gen AND x.kind = 4)
LIMIT 1000;

-- I6: timers that are overdue. Index timers_due.
-- name: DoctorLateTimers :many
SELECT coalesce(i.id, t.instance_no::text)::text AS what FROM (
    SELECT s.instance_no, s.fire_at FROM timers s WHERE s.fire_at < now() - interval '1 minute' ORDER BY s.fire_at LIMIT 1000
) AS t LEFT JOIN instances i ON i.no = t.instance_no
ORDER BY t.fire_at;

-- I7: messages that an instance could act on, and of which nobody will tell it.
-- name: DoctorUnheard :many
SELECT DISTINCT i.id FROM (
    SELECT s.instance_no, s.kind FROM inbox s ORDER BY s.instance_no, s.id LIMIT @chunk::integer
) AS x JOIN instances i ON i.no = x.instance_no
WHERE i.turn_job IS NULL AND i.owner IS NULL AND i.status IN (0, 6, 7) AND NOT is_held(i.status, i.scheduled_at, x.kind)
LIMIT 1000;

-- I7: events that wait in the outbox, and that no job will deliver.
-- name: DoctorUndelivered :many
SELECT DISTINCT o.target FROM (SELECT s.hub, s.target, s.created_at FROM outbox s ORDER BY s.id LIMIT @chunk::integer) AS o
WHERE o.created_at < now() - interval '1 minute' AND NOT EXISTS (
    SELECT 1 FROM river_job j WHERE j.state IN ('available', 'running', 'retryable', 'scheduled') AND j.queue = 'weir_system'
      AND j.kind = 'weir.deliver' AND j.args->>'target' = o.target AND (j.args->>'hub')::integer = o.hub
)
LIMIT 1000;

-- I8: live instances that wait for a child which has ended, without having been told.
-- name: DoctorUntold :many
SELECT i.id FROM hubs b CROSS JOIN LATERAL (
    SELECT s.no, s.id, s.hub, s.gen, s.waiting, s.turn_job, s.owner FROM instances s
    WHERE s.hub = b.no AND s.outcome IS NULL ORDER BY s.created_at, s.no LIMIT @chunk::integer
) AS i CROSS JOIN LATERAL json_array_elements(
    CASE WHEN position('"kind":"orchestration"'::bytea IN i.waiting) > 0 THEN convert_from(i.waiting, 'UTF8')::json->'tasks' ELSE '[]'::json END
) AS t(task)
JOIN instances c ON c.parent_no = i.no AND c.parent_gen = i.gen AND c.parent_task = (t.task->>'id')::integer
WHERE i.turn_job IS NULL AND i.owner IS NULL AND t.task->>'kind' = 'orchestration' AND c.outcome IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM inbox x WHERE x.instance_no = i.no AND x.gen = i.gen AND x.task = (t.task->>'id')::integer AND x.kind = 3)
  AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.hub = i.hub AND o.target = i.id)
LIMIT 1000;

-- I9: entities with a history of more than one row, or with none where they stand.
-- name: DoctorEntities :many
SELECT i.id FROM hubs b CROSS JOIN LATERAL (
    SELECT s.no, s.id, s.seq FROM instances s WHERE s.hub = b.no AND s.outcome = 100 ORDER BY s.created_at, s.no LIMIT @chunk::integer
) AS i
WHERE i.seq > 0 AND (SELECT count(*) FILTER (WHERE h.seq = i.seq) * 1000 + count(*) FROM history h WHERE h.instance_no = i.no) <> 1001
LIMIT 1000;

-- I9: locks of what is no entity, or of one that does not know of it.
-- name: DoctorLocks :many
SELECT coalesce(i.id, l.entity_no::text)::text AS what FROM (SELECT s.entity_no FROM entity_locks s ORDER BY s.entity_no LIMIT @chunk::integer) AS l
LEFT JOIN instances i ON i.no = l.entity_no
WHERE i.no IS NULL OR i.outcome IS DISTINCT FROM 100 OR i.status <> 7
LIMIT 1000;

-- I9: locks whose holder has ended for a minute: the entity takes in nothing until they are released.
-- name: DoctorOrphanLocks :many
SELECT e.id FROM (SELECT s.entity_no, s.holder_no, s.holder_gen, s.granted_at FROM entity_locks s ORDER BY s.entity_no LIMIT @chunk::integer) AS l
JOIN instances e ON e.no = l.entity_no
LEFT JOIN instances i ON i.no = l.holder_no
WHERE l.granted_at < now() - interval '1 minute'
  AND (i.no IS NULL OR i.gen <> l.holder_gen OR (i.outcome IS NOT NULL AND i.completed_at < now() - interval '1 minute'))
LIMIT 1000;

-- I10: rows of River that are of an instance which has ended, is gone, is in another generation, or names another turn job.
-- Rows of the last minute are let alone: those of turns are cleared away when somebody takes them up.
-- name: DoctorStrayJobs :many
SELECT (j.id || ' (' || j.kind || ', ' || j.state || ')')::text AS what FROM (
    SELECT s.id, s.kind, s.state, s.unique_key, s.args, s.created_at FROM river_job s
    WHERE s.state IN ('available', 'pending', 'retryable', 'running', 'scheduled') AND s.queue ~ '^h[0-9]+_' LIMIT @chunk::integer
) AS j
LEFT JOIN instances i ON i.no = CASE WHEN octet_length(j.unique_key) = 16 THEN ('x' || encode(substr(j.unique_key, 1, 8), 'hex'))::bit(64)::bigint
    WHEN j.kind LIKE 'turn:%' THEN (j.args->>'no')::bigint END
WHERE CASE WHEN octet_length(j.unique_key) = 16 THEN i.no IS NULL OR i.outcome <> 100
        OR i.gen <> ('x' || encode(substr(j.unique_key, 9, 4), 'hex'))::bit(32)::integer
    WHEN j.kind LIKE 'turn:%' THEN j.created_at < now() - interval '1 minute' AND (i.no IS NULL OR i.turn_job IS DISTINCT FROM j.id)
    ELSE false END
LIMIT 1000;

-- I10: instances of late that have ended and still have an owner or a turn job, or messages or timers.
-- name: DoctorUnended :many
SELECT i.id FROM (
    SELECT s.no, s.id, s.outcome, s.owner, s.turn_job FROM instances s ORDER BY s.no DESC LIMIT @chunk::integer
) AS i
WHERE i.outcome <> 100 AND (i.owner IS NOT NULL OR i.turn_job IS NOT NULL
    OR EXISTS (SELECT 1 FROM inbox x WHERE x.instance_no = i.no) OR EXISTS (SELECT 1 FROM timers t WHERE t.instance_no = i.no))
LIMIT 1000;

-- I10: an owner without a turn job.
-- name: DoctorOwnersWithoutJob :many
SELECT i.id FROM hubs b CROSS JOIN LATERAL (
    SELECT s.id, s.owner, s.turn_job FROM instances s WHERE s.hub = b.no AND s.outcome IS NULL ORDER BY s.created_at, s.no LIMIT @chunk::integer
) AS i
WHERE i.owner IS NOT NULL AND i.turn_job IS NULL
LIMIT 1000;

-- I11: batch operations whose counters do not add up.
-- name: DoctorOperationCounters :many
SELECT o.id FROM (SELECT * FROM batch_operations s ORDER BY s.no DESC LIMIT @chunk::integer) AS o
WHERE o.examined <> o.done + o.refused OR (SELECT count(*) FROM batch_refusals r WHERE r.operation = o.no) <> least(o.refused, 100)
LIMIT 1000;

-- I11: instances of late whose progress has gaps.
-- name: DoctorProgressGaps :many
SELECT i.id FROM (SELECT s.no, s.id FROM instances s ORDER BY s.no DESC LIMIT @chunk::integer) AS i
CROSS JOIN LATERAL (SELECT max(p.seq) AS last, count(*) AS n FROM progress p WHERE p.instance_no = i.no) AS found
WHERE found.last <> found.n
LIMIT 1000;

-- I11: instances of late whose tags are indexed in another way than they are.
-- name: DoctorTags :many
SELECT i.id FROM (SELECT s.no, s.id, s.tags, s.outcome FROM instances s ORDER BY s.no DESC LIMIT @chunk::integer) AS i
WHERE (i.tags IS NOT NULL OR EXISTS (SELECT 1 FROM instance_tags t WHERE t.instance_no = i.no))
  AND coalesce(i.tags, '{}') IS DISTINCT FROM (
      SELECT coalesce(jsonb_object_agg(t.key, t.value), '{}') FROM instance_tags t
      WHERE t.instance_no = i.no AND t.outcome IS NOT DISTINCT FROM i.outcome
  )
LIMIT 1000;

-- I11: places in limits whose call is gone.
-- name: DoctorPlaces :many
SELECT (c.name || ' (' || coalesce(i.id, c.instance_no::text) || ')')::text AS what FROM (
    SELECT s.instance_no, s.gen, s.task, s.name, s.granted_at FROM limit_calls s ORDER BY s.instance_no, s.gen, s.task LIMIT @chunk::integer
) AS c LEFT JOIN instances i ON i.no = c.instance_no
WHERE c.granted_at < now() - interval '1 minute' AND NOT EXISTS (
    SELECT 1 FROM river_job j WHERE j.unique_key = int8send(c.instance_no) || int4send(c.gen) || int4send(c.task)
      AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL AND river_job_state_in_bitmask(j.unique_states, j.state)
)
LIMIT 1000;

-- I12: calls whose result was never written.
-- name: DoctorOpenEntries :many
SELECT (l.no || ': ' || l.action || coalesce(' of ' || l.target, '') || ' by ' || l.actor)::text AS what
FROM (SELECT a.no, a.at, a.action, a.target, a.actor FROM audit_log a ORDER BY a.no DESC LIMIT @chunk::integer) AS l
LEFT JOIN audit_results r ON r.entry = l.no
WHERE r.entry IS NULL AND l.at < now() - interval '1 minute'
ORDER BY l.no LIMIT 1000;

-- I13: what is left of instances that are gone. The oldest rows are looked at, because what is purged is old; of history,
-- which has many rows of each, instance after instance.
-- name: DoctorRemains :many
WITH RECURSIVE step AS (
    (SELECT h.instance_no, 1 AS n FROM history h ORDER BY h.instance_no LIMIT 1)
    UNION ALL
    SELECT (SELECT min(h.instance_no) FROM history h WHERE h.instance_no > step.instance_no), step.n + 1
    FROM step WHERE step.instance_no IS NOT NULL AND step.n < @chunk::integer
), remains AS (
    SELECT 'history' AS what, step.instance_no FROM step WHERE step.instance_no IS NOT NULL
    UNION ALL (SELECT 'inbox', x.instance_no FROM inbox x ORDER BY x.instance_no LIMIT @chunk::integer)
    UNION ALL (SELECT 'timers', x.instance_no FROM timers x ORDER BY x.instance_no LIMIT @chunk::integer)
    UNION ALL (SELECT 'event_keys', x.instance_no FROM event_keys x ORDER BY x.instance_no LIMIT @chunk::integer)
    UNION ALL (SELECT 'progress', x.instance_no FROM progress x ORDER BY x.instance_no LIMIT @chunk::integer)
    UNION ALL (SELECT 'instance_tags', x.instance_no FROM instance_tags x ORDER BY x.instance_no LIMIT @chunk::integer)
    UNION ALL (SELECT 'deaths', x.instance_no FROM deaths x WHERE x.last_at < now() - interval '10 minutes' ORDER BY x.instance_no LIMIT @chunk::integer)
    UNION ALL (SELECT 'limit_calls', x.instance_no FROM limit_calls x ORDER BY x.instance_no LIMIT @chunk::integer)
    UNION ALL (SELECT 'heartbeats', x.instance_no FROM heartbeats x WHERE x.at < now() - interval '10 minutes' ORDER BY x.instance_no LIMIT @chunk::integer)
    UNION ALL (SELECT 'payloads', x.instance_no FROM payloads x WHERE x.instance_no <> 0 AND x.created_at < now() - interval '2 hours' ORDER BY x.instance_no LIMIT @chunk::integer)
)
SELECT DISTINCT (r.what || ' of number ' || r.instance_no)::text AS what
FROM remains AS r LEFT JOIN instances i ON i.no = r.instance_no
WHERE i.no IS NULL
LIMIT 1000;

-- I14: what belongs to one hub and is in another's hands.
-- name: DoctorCrossings :many
SELECT (i.id || ': ' || CASE WHEN p.hub <> i.hub THEN 'its parent' WHEN w.hub <> i.hub THEN 'its owner'
    WHEN j.queue <> 'h' || i.hub || '_orch' THEN 'its turn job' WHEN c.hub <> i.hub THEN 'a limit' ELSE 'a tag' END)::text AS what
FROM (SELECT s.no, s.id, s.hub, s.parent_no, s.owner, s.turn_job FROM instances s ORDER BY s.no DESC LIMIT @chunk::integer) AS i
LEFT JOIN instances p ON p.no = i.parent_no
LEFT JOIN workers w ON w.no = i.owner
LEFT JOIN river_job j ON j.id = i.turn_job AND j.kind LIKE 'turn:%'
LEFT JOIN LATERAL (SELECT s.hub FROM limit_calls s WHERE s.instance_no = i.no AND s.hub <> i.hub LIMIT 1) AS c ON true
LEFT JOIN LATERAL (SELECT s.hub FROM instance_tags s WHERE s.instance_no = i.no AND s.hub <> i.hub LIMIT 1) AS t ON true
WHERE p.hub <> i.hub OR w.hub <> i.hub OR j.queue <> 'h' || i.hub || '_orch' OR c.hub IS NOT NULL OR t.hub IS NOT NULL
LIMIT 1000;

-- The version of River's tables, and which of the indexes that the engine's statements need are not there.
-- name: DoctorRiver :one
SELECT (SELECT coalesce(max(m.version), 0) FROM river_migration m)::integer AS version,
       ARRAY(
           SELECT n.name FROM unnest(ARRAY['river_job_pkey', 'river_job_prioritized_fetching_index', 'river_job_state_and_finalized_at_index', 'river_job_unique_idx']) AS n(name)
           WHERE to_regclass(quote_ident(@river::text) || '.' || n.name) IS NULL
       )::text[] AS missing;

-- name: DoctorWorkers :many
SELECT w.no, w.name, w.state, coalesce(h.name, '')::text AS hub, extract(epoch FROM now() - w.heartbeat_at)::float8 AS silent
FROM workers w LEFT JOIN hubs h ON h.no = w.hub
WHERE w.state = 0 OR w.ended_at > now() - interval '1 hour'
ORDER BY w.no LIMIT 1000;

-- Hubs that have live instances and no worker.
-- name: DoctorUnserved :many
SELECT b.name FROM hubs b
WHERE EXISTS (SELECT 1 FROM instances i WHERE i.hub = b.no AND i.outcome IS NULL)
  AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.hub = b.no AND w.state = 0)
ORDER BY b.name LIMIT 1000;

-- Live instances whose turn is held, those that are dead letters not among them.
-- name: DoctorHeld :many
SELECT i.id FROM hubs b CROSS JOIN LATERAL (
    SELECT s.id, s.held, s.created_at FROM instances s WHERE s.hub = b.no AND s.outcome IS NULL ORDER BY s.created_at, s.no LIMIT @chunk::integer
) AS i
WHERE i.held IS NOT NULL AND position('"dead_letter"'::bytea IN i.held) = 0
LIMIT 1000;

-- Turns that have been due for a minute, and that nobody has taken up. Index river_job_prioritized_fetching_index.
-- name: DoctorStuck :many
SELECT coalesce(i.id, j.kind)::text AS what FROM (
    SELECT s.id, s.kind, s.args FROM river_job s
    WHERE s.state = 'available' AND s.queue ~ '^h[0-9]+_orch$' AND s.kind LIKE 'turn:%' AND s.scheduled_at < now() - interval '1 minute' LIMIT 1000
) AS j LEFT JOIN instances i ON i.turn_job = j.id AND i.no = (j.args->>'no')::bigint;

-- name: DoctorLetters :many
SELECT (coalesce(i.id, d.instance_no::text) || CASE WHEN d.task >= 0 THEN ' (activity ' || d.task || ')' ELSE '' END)::text AS what
FROM (SELECT * FROM deaths s WHERE s.held_at IS NOT NULL ORDER BY s.hub, s.held_at LIMIT 1000) AS d
LEFT JOIN instances i ON i.no = d.instance_no;

-- Rows of River that have run for a minute in the name of a worker that does not live.
-- name: DoctorOrphans :many
SELECT (j.id || ' (' || j.kind || ')')::text AS what FROM river_job j
WHERE j.state = 'running' AND (j.kind LIKE 'turn:%' OR octet_length(j.unique_key) = 16 OR j.kind LIKE 'weir.%')
  AND j.queue ~ '^(h[0-9]+_|weir_)' AND j.attempted_at < now() - interval '1 minute'
  AND j.attempted_by[cardinality(j.attempted_by)] LIKE 'weir-%'
  AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.state = 0 AND w.river_client = j.attempted_by[cardinality(j.attempted_by)])
LIMIT 1000;
