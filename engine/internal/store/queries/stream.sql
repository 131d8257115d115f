-- Progress: a record beside the history that only grows.

-- B4: a turn's own progress, and that of activities while they run. The instances are locked: by B1, or by the turn that
-- B2 has applied. So the numbers have no gaps and follow the commits. A turn's progress is part of it; an activity's is
-- refused once its generation has ended. What comes back is the order of those that were taken.
-- name: AppendProgress :many
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task,
           unnest(@attempts::smallint[]) AS attempt, unnest(@names::text[]) AS name, unnest(@datas::bytea[]) AS data,
           unnest(@refs::bigint[]) AS ref, unnest(@ords::integer[]) AS ord
), taken AS (
    SELECT unit.no, unit.gen, unit.task, unit.attempt, unit.name, unit.data, unit.ref, unit.ord,
           row_number() OVER (PARTITION BY unit.no ORDER BY unit.ord)
           + coalesce((SELECT p.seq FROM progress p WHERE p.instance_no = unit.no ORDER BY p.seq DESC LIMIT 1), 0) AS seq
    FROM unit JOIN instances i ON i.no = unit.no
    WHERE unit.task < 0 OR i.status IN (0, 6, 7) AND i.gen = unit.gen
), large AS (
    DELETE FROM payloads p USING unit
    WHERE p.id = unit.ref AND NOT EXISTS (SELECT 1 FROM taken WHERE taken.ord = unit.ord)
), added AS (
    INSERT INTO progress (instance_no, seq, gen, task, attempt, name, data, ref)
    SELECT taken.no, taken.seq, taken.gen, taken.task, taken.attempt, nullif(taken.name, ''), taken.data, nullif(taken.ref, 0)
    FROM taken
)
SELECT taken.ord::bigint AS ord FROM taken;

-- name: ReadProgress :many
SELECT p.seq, p.at, p.gen, p.task, p.attempt, coalesce(p.name, '') AS name, p.data, coalesce(p.ref, 0)::bigint AS ref,
       coalesce((SELECT octet_length(l.data) FROM payloads l WHERE l.id = p.ref), 0)::integer AS size
FROM progress p
WHERE p.instance_no = @no AND p.seq > @after::bigint
ORDER BY p.seq
LIMIT @max_rows;

-- name: LastProgress :one
SELECT coalesce(max(p.seq), 0)::bigint AS seq FROM progress p WHERE p.instance_no = @no;
