-- Entities: what a batch does beside an instance's turn, and what people read.

-- B7: who holds an entity, in the commit that locks it. An entity has one holder.
-- name: LockEntities :exec
INSERT INTO entity_locks (entity_no, holder_no, holder_gen)
SELECT unnest(@nos::bigint[]), unnest(@holders::bigint[]), unnest(@gens::integer[])
ON CONFLICT (entity_no) DO UPDATE SET holder_no = excluded.holder_no, holder_gen = excluded.holder_gen, granted_at = now();

-- B7: entities that are unlocked.
-- name: UnlockEntities :exec
DELETE FROM entity_locks WHERE entity_no = ANY(@nos::bigint[]);

-- B7: answers to clients.
-- name: InsertReplies :exec
INSERT INTO entity_replies (entity_no, key, payload)
SELECT unnest(@nos::bigint[]), unnest(@keys::text[]), unnest(@payloads::bytea[])
ON CONFLICT DO NOTHING;

-- name: TakeReply :one
DELETE FROM entity_replies WHERE key = @key RETURNING payload;

-- name: GetEntity :one
SELECT i.no, i.id, i.status, i.seq, i.created_at, i.updated_at, i.held, coalesce(h.codec, 1)::smallint AS codec, h.events,
       (SELECT count(*) FROM (SELECT 1 FROM inbox x WHERE x.instance_no = i.no AND x.kind IN (2, 8) LIMIT 10001) AS few)::bigint AS backlog
FROM instances i LEFT JOIN history h ON h.instance_no = i.no AND h.seq = i.seq
WHERE i.hub = @hub AND i.id = @id;

-- Entities by id. Ids of entities are the ones that begin with @; no orchestration's does.
-- name: ListEntities :many
SELECT i.no, i.id, i.status, i.seq, i.created_at, i.updated_at, i.held, coalesce(h.codec, 1)::smallint AS codec, h.events,
       (SELECT count(*) FROM (SELECT 1 FROM inbox x WHERE x.instance_no = i.no AND x.kind IN (2, 8) LIMIT 10001) AS few)::bigint AS backlog
FROM instances i LEFT JOIN history h ON h.instance_no = i.no AND h.seq = i.seq
WHERE i.hub = @hub AND i.id > @after::text AND i.id >= @from_id::text AND i.id < @to_id::text
  AND (sqlc.narg(modified_from)::timestamptz IS NULL OR i.updated_at >= sqlc.narg(modified_from))
  AND (sqlc.narg(modified_to)::timestamptz IS NULL OR i.updated_at < sqlc.narg(modified_to))
  AND (NOT @locked::boolean OR i.status = 7)
ORDER BY i.id
LIMIT @max_rows;

-- Locks whose holder has ended, is gone, or has begun another generation; and those of entities that are gone.
-- name: FindOrphanLocks :many
SELECT l.entity_no, l.holder_no, l.holder_gen
FROM entity_locks l LEFT JOIN instances i ON i.no = l.holder_no
WHERE (i.no IS NULL OR i.status NOT IN (0, 6, 7) OR i.gen <> l.holder_gen)
LIMIT 500;

-- Entities without a state that have been left alone for a while, after a number: candidates to be removed.
-- name: FindEmptyEntities :many
SELECT i.no, i.updated_at FROM instances i
WHERE i.hub = @hub AND i.outcome = 100 AND i.no > @after AND i.owner IS NULL AND i.turn_job IS NULL AND i.status = 0
  AND i.updated_at < now() - make_interval(secs => @idle::float8)
  AND (i.seq = 0 OR EXISTS (
      SELECT 1 FROM history h WHERE h.instance_no = i.no AND h.seq = i.seq AND position('"state":'::bytea IN h.events) = 0
  ))
ORDER BY i.no
LIMIT @max_rows;

-- Removes entities that nobody has turned to since they were found: no message, no timer, no row of the outbox.
-- name: RemoveEntities :many
WITH victim AS (
    SELECT i.no FROM instances i
    WHERE i.no = ANY(@nos::bigint[]) AND i.outcome = 100 AND i.owner IS NULL AND i.turn_job IS NULL AND i.status = 0
      AND i.updated_at < now() - make_interval(secs => @idle::float8)
      AND NOT EXISTS (SELECT 1 FROM inbox x WHERE x.instance_no = i.no)
      AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.hub = i.hub AND o.target = i.id)
), record AS (
    DELETE FROM history h USING victim WHERE h.instance_no = victim.no
), alarms AS (
    DELETE FROM timers t USING victim WHERE t.instance_no = victim.no
), keys AS (
    DELETE FROM event_keys k USING victim WHERE k.instance_no = victim.no
), large AS (
    DELETE FROM payloads p USING victim WHERE p.instance_no = victim.no
)
DELETE FROM instances i USING victim WHERE i.no = victim.no
RETURNING i.no;

-- Answers that nobody came to read, and locks of entities that are gone.
-- name: ForgetReplies :exec
DELETE FROM entity_replies WHERE created_at < now() - interval '1 hour';

-- name: ForgetEntityLocks :exec
DELETE FROM entity_locks l WHERE NOT EXISTS (SELECT 1 FROM instances i WHERE i.no = l.entity_no);

-- Which of these entities somebody holds.
-- name: FindHolders :many
SELECT e.id AS entity, h.id AS holder
FROM instances e JOIN entity_locks l ON l.entity_no = e.no JOIN instances h ON h.no = l.holder_no
WHERE e.hub = @hub AND e.id = ANY(@ids::text[]);
