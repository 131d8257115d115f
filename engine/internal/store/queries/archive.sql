-- Instances that have ended on their way to a file and into another hub (engine/archive).

-- All that belongs to them is read in one snapshot.
-- name: ExportInstances :many
SELECT sqlc.embed(i), coalesce(p.id, '')::text AS parent_id
FROM instances i LEFT JOIN instances p ON p.no = i.parent_no
WHERE i.no = ANY(@nos::bigint[]) AND i.outcome IS NOT NULL
ORDER BY i.created_at, i.no;

-- name: ExportHistory :many
SELECT h.instance_no, h.seq, h.n, h.codec, h.events FROM history h
WHERE h.instance_no = ANY(@nos::bigint[]) ORDER BY h.instance_no, h.seq;

-- name: ExportPayloads :many
SELECT p.id, p.instance_no, p.seq, p.data FROM payloads p
WHERE p.instance_no = ANY(@nos::bigint[]) ORDER BY p.instance_no, p.id;

-- name: ExportProgress :many
SELECT r.instance_no, r.seq, r.at, r.gen, r.task, r.attempt, coalesce(r.name, '')::text AS name, r.data, coalesce(r.ref, 0)::bigint AS ref
FROM progress r WHERE r.instance_no = ANY(@nos::bigint[]) ORDER BY r.instance_no, r.seq;

-- No row comes back when the id is taken. A parent is found by its id, if it is there.
-- name: ImportInstance :one
INSERT INTO instances (
    no, seq, base_seq, parent_no, created_at, updated_at, started_at, completed_at, scheduled_at, input_ref, output_ref, hub, gen,
    parent_gen, parent_task, status, outcome, id, name, version, priority, input, output, failure, custom_status, tags
)
SELECT @no, @seq, @base_seq, p.no, @created_at, @updated_at, @started_at, @completed_at, @scheduled_at, @input_ref, @output_ref, @hub::integer, @gen,
       CASE WHEN p.no IS NOT NULL THEN @parent_gen::integer END, CASE WHEN p.no IS NOT NULL THEN @parent_task::integer END,
       @status::smallint, @status::smallint, @id, @name, @version, @priority, @input, @output, @failure, @custom_status, @tags
FROM (SELECT 1) AS one LEFT JOIN instances p ON p.hub = @hub::integer AND p.id = @parent_id::text
ON CONFLICT (hub, id) DO NOTHING
RETURNING no;

-- name: ImportHistory :exec
INSERT INTO history (instance_no, seq, n, codec, events)
SELECT @no::bigint, unnest(@seqs::bigint[]), unnest(@ns::integer[]), 1, unnest(@events::bytea[]);

-- name: ImportPayloads :exec
INSERT INTO payloads (id, instance_no, seq, data)
SELECT unnest(@ids::bigint[]), @no::bigint, unnest(@seqs::bigint[]), unnest(@datas::bytea[]);

-- name: ImportProgress :exec
INSERT INTO progress (instance_no, seq, at, gen, task, attempt, name, data, ref)
SELECT @no::bigint, unnest(@seqs::bigint[]), unnest(@ats::timestamptz[]), unnest(@gens::integer[]), unnest(@tasks::integer[]),
       unnest(@attempts::smallint[]), nullif(unnest(@names::text[]), ''), unnest(@datas::bytea[]), nullif(unnest(@refs::bigint[]), 0);

-- Which of these are as they were when they were read. Locked, so that they stay so.
-- name: LockUnchanged :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@seqs::bigint[]) AS seq, unnest(@updated_ats::timestamptz[]) AS updated_at
)
SELECT i.no, i.id FROM unit JOIN instances i ON i.no = unit.no
WHERE i.outcome IS NOT NULL AND i.seq = unit.seq AND i.updated_at = unit.updated_at
ORDER BY i.no
FOR UPDATE OF i;
