-- What the API reads, and the look-ups of the control plane.

-- name: EnsureHub :execrows
INSERT INTO hubs (name) VALUES (@name) ON CONFLICT (name) DO NOTHING;

-- name: SetHubActivityRows :execrows
UPDATE hubs SET activity_rows = @activity_rows WHERE name = @name;

-- name: GetHub :one
SELECT * FROM hubs WHERE name = @name;

-- name: GetHubByNo :one
SELECT * FROM hubs WHERE no = @no;

-- name: ListHubs :many
SELECT * FROM hubs ORDER BY name;

-- Index instances_id.
-- name: FindInstances :many
WITH unit AS (
    SELECT unnest(@hubs::integer[]) AS hub, unnest(@ids::text[]) AS id
)
SELECT i.no, i.hub, i.id, i.status, coalesce(i.parent_no, 0)::bigint AS parent_no,
       coalesce(i.parent_gen, 0)::integer AS parent_gen, coalesce(i.parent_task, 0)::integer AS parent_task,
       i.gen, i.name, coalesce(i.version, '')::text AS version, coalesce(i.trace, '')::text AS trace
FROM unit JOIN instances i ON i.hub = unit.hub AND i.id = unit.id;

-- name: FindInstancesByNo :many
SELECT i.no, i.hub, i.id, i.status, coalesce(i.parent_no, 0)::bigint AS parent_no,
       coalesce(i.parent_gen, 0)::integer AS parent_gen, coalesce(i.parent_task, 0)::integer AS parent_task,
       i.gen, i.name, coalesce(i.version, '')::text AS version, coalesce(i.trace, '')::text AS trace
FROM instances i WHERE i.no = ANY(@nos::bigint[]);

-- The values of instances, for lists that ask for them.
-- name: ReadInputs :many
SELECT i.no, i.input AS value, i.input_ref AS ref FROM instances i WHERE i.no = ANY(@nos::bigint[]);

-- name: ReadOutputs :many
SELECT i.no, i.output AS value, i.output_ref AS ref FROM instances i WHERE i.no = ANY(@nos::bigint[]);

-- What a lost compare-and-set is judged by.
-- name: ReadFences :many
SELECT i.no, i.seq, i.epoch, coalesce(i.owner, 0)::integer AS owner, coalesce(i.turn_job, 0)::bigint AS turn_job, i.status
FROM instances i WHERE i.no = ANY(@nos::bigint[]);

-- Which of these rows nobody has locked.
-- name: FindUnlocked :many
SELECT i.no FROM instances i WHERE i.no = ANY(@nos::bigint[]) FOR NO KEY UPDATE SKIP LOCKED;

-- name: GetInstance :one
SELECT sqlc.embed(i), h.name AS hub_name,
       coalesce(p.id, '')::text AS parent_id, coalesce(p.name, '')::text AS parent_name,
       coalesce(j.state::text, '')::text AS turn_state
FROM instances i JOIN hubs h ON h.no = i.hub
LEFT JOIN instances p ON p.no = i.parent_no
LEFT JOIN river_job j ON j.id = i.turn_job
WHERE i.hub = @hub AND i.id = @id;

-- name: GetOutcome :one
SELECT i.status, i.base_seq, i.output, coalesce(i.output_ref, 0)::bigint AS output_ref, i.failure
FROM instances i WHERE i.no = @no;

-- The live children of these tasks of a generation.
-- name: FindLiveChildren :many
SELECT i.no FROM instances i
WHERE i.parent_no = @parent_no::bigint AND i.parent_gen = @parent_gen::integer AND i.parent_task = ANY(@tasks::integer[])
  AND i.outcome IS NULL
ORDER BY i.no;

-- Which of these have ended or are gone, for those who wait.
-- name: FindEnded :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no
)
SELECT unit.no::bigint AS no FROM unit LEFT JOIN instances i ON i.no = unit.no
WHERE i.no IS NULL OR i.outcome IS NOT NULL;

-- name: ReadHistory :many
SELECT h.seq, h.n, h.codec, h.events FROM history h
WHERE h.instance_no = @no AND h.seq > @after AND h.seq >= @base_seq
ORDER BY h.seq
LIMIT @max_rows;

-- name: CountMessages :many
SELECT x.kind, count(*) AS n FROM inbox x WHERE x.instance_no = @no GROUP BY x.kind;

-- Rows of the tasks an instance waits for.
-- name: ListTaskJobs :many
SELECT j.id, j.state::text AS state, j.kind, j.queue, j.attempt, j.attempted_at, j.scheduled_at, j.errors,
       coalesce(j.attempted_by[cardinality(j.attempted_by)], '')::text AS client,
       ('x' || encode(substr(j.unique_key, 9, 4), 'hex'))::bit(32)::integer AS gen,
       ('x' || encode(substr(j.unique_key, 13, 4), 'hex'))::bit(32)::integer AS task
FROM instances i JOIN river_job j ON j.unique_key >= int8send(i.no) AND j.unique_key < int8send(i.no + 1)
WHERE i.no = @no AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
  AND river_job_state_in_bitmask(j.unique_states, j.state);

-- The failed attempts that a task's row remembers.
-- name: ReadTaskErrors :one
SELECT j.errors FROM river_job j WHERE j.id = @id;

-- Retry timers of an instance: when each parked task is tried again.
-- name: ListRetries :many
SELECT t.gen, t.task, t.fire_at FROM timers t WHERE t.instance_no = @no AND t.kind = 2;

-- Counts by status, bounded: one more than the limit means "more".
-- name: CountLive :one
SELECT count(*) FROM (SELECT 1 FROM instances i WHERE i.hub = @hub AND i.outcome IS NULL LIMIT @max_rows) AS live;

-- name: MigrationVersion :one
SELECT coalesce(max(version), 0)::integer AS version FROM migrations;

-- name: GetSetting :one
SELECT value FROM settings WHERE key = @key;

-- How large the tables are that can grow fast, in bytes.
-- name: TableSizes :one
SELECT ARRAY[
    pg_relation_size('instances'), pg_relation_size('history'), pg_relation_size('inbox'), pg_relation_size('timers'),
    pg_relation_size('outbox'), pg_relation_size('event_keys'), pg_relation_size('payloads'), pg_relation_size('river_job')
]::bigint[] AS sizes;

-- The children of instances, for those who purge whole trees. Index instances_parent.
-- name: FindChildren :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no
)
SELECT i.no, i.id, i.status, unit.no::bigint AS parent_no
FROM unit JOIN instances i ON i.parent_no = unit.no;

-- What an instance has been sent and not yet taken in.
-- name: ListInbox :many
SELECT x.id, x.gen, x.kind, x.task, x.payload FROM inbox x WHERE x.instance_no = @no ORDER BY x.id LIMIT @max_rows;
