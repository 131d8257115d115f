-- What a session reads. One statement, hence one snapshot, for many sessions: is this worker alive, the
-- instance row, its inbox, its task rows (a range of River's unique index; only where there is history).
-- name: OpenSessions :many
WITH req AS (
    SELECT unnest(@nos::bigint[]) AS no
)
SELECT req.no::bigint AS no,
       (SELECT w.state FROM workers w WHERE w.no = @worker_no)::smallint AS worker_state,
       (i.no IS NOT NULL)::boolean AS found,
       coalesce(i.seq, 0)::bigint AS seq,
       coalesce(i.base_seq, 0)::bigint AS base_seq,
       coalesce(i.turn_job, 0)::bigint AS turn_job,
       coalesce(i.parent_no, 0)::bigint AS parent_no,
       i.created_at, i.scheduled_at, i.started_at,
       coalesce(i.hub, 0)::integer AS hub,
       coalesce(i.epoch, 0)::integer AS epoch,
       coalesce(i.gen, 0)::integer AS gen,
       coalesce(i.owner, 0)::integer AS owner,
       coalesce(i.parent_gen, 0)::integer AS parent_gen,
       coalesce(i.parent_task, 0)::integer AS parent_task,
       coalesce(i.status, 0)::smallint AS status,
       coalesce(i.priority, 0)::smallint AS priority,
       (i.held IS NOT NULL)::boolean AS held,
       coalesce(i.id, '')::text AS id,
       coalesce(i.name, '')::text AS name,
       coalesce(i.version, '')::text AS version,
       coalesce(p.id, '')::text AS parent_id,
       coalesce(p.name, '')::text AS parent_name,
       (CASE WHEN i.started_at IS NULL THEN i.input END)::bytea AS input,
       coalesce(i.input_ref, 0)::bigint AS input_ref,
       coalesce(i.trace, '')::text AS trace,
       i.custom_status,
       (CASE WHEN i.started_at IS NULL THEN i.tags END)::jsonb AS tags,
       inbox.ids, inbox.gens, inbox.tasks, inbox.kinds, inbox.payloads,
       job.job_ids, job.job_gens, job.job_tasks, job.job_mine
FROM req
LEFT JOIN instances i ON i.no = req.no
LEFT JOIN instances p ON p.no = i.parent_no
LEFT JOIN LATERAL (
    SELECT coalesce(array_agg(m.id), '{}')::bigint[] AS ids,
           coalesce(array_agg(m.gen), '{}')::integer[] AS gens,
           coalesce(array_agg(m.task), '{}')::integer[] AS tasks,
           coalesce(array_agg(m.kind), '{}')::smallint[] AS kinds,
           coalesce(array_agg(m.payload), '{}')::bytea[] AS payloads
    FROM (SELECT x.* FROM inbox x WHERE x.instance_no = i.no ORDER BY x.id) AS m
) AS inbox ON true
LEFT JOIN LATERAL (
    SELECT coalesce(array_agg(j.id), '{}')::bigint[] AS job_ids,
           coalesce(array_agg(('x' || encode(substr(j.unique_key, 9, 4), 'hex'))::bit(32)::integer), '{}')::integer[] AS job_gens,
           coalesce(array_agg(('x' || encode(substr(j.unique_key, 13, 4), 'hex'))::bit(32)::integer), '{}')::integer[] AS job_tasks,
           coalesce(array_agg(j.state::text = 'running' AND j.attempted_at = j.created_at AND j.attempted_by[cardinality(j.attempted_by)] = @client::text), '{}')::boolean[] AS job_mine
    FROM river_job j
    WHERE i.seq > 0 AND j.unique_key >= int8send(i.no) AND j.unique_key < int8send(i.no + 1)
      AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
      AND river_job_state_in_bitmask(j.unique_states, j.state)
) AS job ON true;

-- The history of one generation, up to the row the instance names. Rows are immutable, so a later snapshot
-- than the instance row's is as good.
-- name: ReadGeneration :many
SELECT h.seq, h.n, h.codec, h.events
FROM history h
WHERE h.instance_no = @no AND h.seq >= @base_seq AND h.seq <= @seq
ORDER BY h.seq;

-- The safety net under the wake-ups: what the inboxes of all sessions hold that they have not read.
-- name: CountUnread :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@afters::bigint[]) AS after
)
SELECT unit.no::bigint AS no FROM unit
WHERE EXISTS (SELECT 1 FROM inbox x WHERE x.instance_no = unit.no AND x.id > unit.after);

-- name: TakeInstanceBlocks :many
SELECT nextval('instance_no')::bigint AS no FROM generate_series(1, @blocks::integer);

-- name: TakeJobIDs :many
SELECT nextval('river_job_id_seq')::bigint AS id FROM generate_series(1, @n::integer);

-- name: TakePayloadIDs :many
SELECT nextval('payload_id')::bigint AS id FROM generate_series(1, @n::integer);

-- Large values, before the batch that refers to them.
-- name: InsertPayloads :exec
INSERT INTO payloads (id, instance_no, data)
SELECT unnest(@ids::bigint[]), unnest(@nos::bigint[]), unnest(@datas::bytea[])
ON CONFLICT DO NOTHING;

-- name: ReadPayloads :many
SELECT p.id, p.instance_no, p.data FROM payloads p WHERE p.id = ANY(@ids::bigint[]);

-- A turn job that entitles nobody: its instance has ended, is gone, or names another job.
-- name: DeleteJob :exec
DELETE FROM river_job WHERE id = @id;

-- Turn jobs of held instances, and any other that was snoozed, made available at once: a worker with other
-- code has come.
-- name: RetryHeldTurns :many
WITH ready AS (
    UPDATE river_job j SET state = 'available', scheduled_at = now()
    WHERE j.id IN (
        SELECT r.id FROM river_job r
        WHERE r.state::text = 'scheduled' AND r.state = 'scheduled' AND r.queue = @queue AND r.kind = ANY(@kinds::text[]) AND r.unique_key IS NULL
        LIMIT 10000
        FOR UPDATE SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) FROM ready;
