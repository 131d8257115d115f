-- The children of a generation, live or ended.
-- name: FindChildrenOf :many
SELECT c.no, coalesce(c.parent_task, 0)::integer AS parent_task, c.status, c.id
FROM instances c
WHERE c.parent_no = @parent_no::bigint AND c.parent_gen = @parent_gen::integer
ORDER BY c.no;

-- name: DropOldGeneration :exec
WITH large AS (
    DELETE FROM payloads p WHERE p.instance_no = @no AND p.seq > 0 AND p.seq < @base_seq
)
DELETE FROM history h WHERE h.instance_no = @no AND h.seq < @base_seq;

-- name: CopyHistory :exec
WITH large AS (
    UPDATE payloads p SET seq = p.seq + @shift::bigint WHERE p.instance_no = @no AND p.seq >= @base_seq AND p.seq <= @upto
)
INSERT INTO history (instance_no, seq, n, codec, events)
SELECT h.instance_no, h.seq + @shift::bigint, h.n, h.codec, h.events FROM history h
WHERE h.instance_no = @no AND h.seq >= @base_seq AND h.seq <= @upto;

-- Compare-and-set on (seq, gen): what was computed from another end is void.
-- name: RewindInstance :one
UPDATE instances i
SET gen = i.gen + 1, epoch = i.epoch + 1, base_seq = i.seq + 1, seq = @new_seq, status = 0, outcome = NULL, owner = NULL,
    turn_job = @job, updated_at = now(), completed_at = NULL, output = NULL, output_ref = NULL, failure = NULL,
    waiting = NULL, held = NULL, suspended = NULL
WHERE i.no = @no AND i.seq = @seq AND i.gen = @gen AND i.outcome IN (1, 3, 4, 5)
RETURNING i.gen;

-- The epoch has the session of one that lives read anew whose child it is: else what it tells its parent would be for the
-- generation that has ended.
-- name: AdoptChildren :exec
UPDATE instances c SET parent_gen = @gen::integer, epoch = CASE WHEN c.outcome IS NULL THEN c.epoch + 1 ELSE c.epoch END
WHERE c.parent_no = @parent_no::bigint AND c.parent_gen = @old_gen::integer AND c.parent_task = ANY(@tasks::integer[]);

-- Jobs that rewind children which had failed.
-- name: InsertControlJobs :exec
INSERT INTO river_job (state, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
SELECT 'available', 32767, now(), now(), 1, 'weir.control', 'weir_system', unnest(@args::jsonb[]), '{}', '{}';

-- A child whose result is taken back and that has nothing to take back itself begins anew, as in RestartInstances, but stays its parent's child.
-- name: RestartChild :many
WITH before AS (
    SELECT i.no, i.base_seq FROM instances i WHERE i.no = @no AND i.outcome IN (1, 3, 4, 5)
), record AS (
    DELETE FROM history h USING before WHERE h.instance_no = before.no AND h.seq < before.base_seq
)
UPDATE instances i
SET gen = i.gen + 1, epoch = i.epoch + 1, base_seq = i.seq + 1, status = 6, outcome = NULL, updated_at = now(), turn_job = @job,
    started_at = NULL, completed_at = NULL, scheduled_at = NULL, output = NULL, output_ref = NULL, failure = NULL,
    custom_status = NULL, waiting = NULL, held = NULL
FROM before WHERE i.no = before.no
RETURNING i.name, i.version, i.priority;
