-- Schedules: what people do with them, and their firings.

-- Before B1: the rows of schedules that fire, locked by ascending number, as instances are.
-- name: LockSchedules :exec
SELECT s.no FROM schedules s WHERE s.no = ANY(@nos::bigint[]) ORDER BY s.no FOR NO KEY UPDATE;

-- Before B1, after the locks: firings. Compare-and-set on seq: whoever else leads, or changes the schedule, makes the
-- batch lose. A time before the year 1000 stands for none.
-- name: FireSchedules :exec
WITH unit AS (
    SELECT unnest(@nos::bigint[]) AS no,
           unnest(@bases::bigint[]) AS base,
           unnest(@nexts::timestamptz[]) AS next_at,
           unnest(@dues::timestamptz[]) AS due_at,
           unnest(@lasts::timestamptz[]) AS last_at,
           unnest(@last_nos::bigint[]) AS last_no,
           unnest(@runs::bigint[]) AS runs,
           unnest(@skips::bigint[]) AS skipped,
           unnest(@states::smallint[]) AS state,
           unnest(@buffereds::jsonb[]) AS buffered
), applied AS (
    UPDATE schedules s
    SET seq = s.seq + 1, updated_at = now(), state = unit.state, buffered = unit.buffered,
        next_at = CASE WHEN unit.next_at > '1000-01-01Z' THEN unit.next_at END,
        due_at = CASE WHEN unit.due_at > '1000-01-01Z' THEN unit.due_at END,
        last_at = CASE WHEN unit.last_no <> 0 THEN unit.last_at ELSE s.last_at END,
        last_no = CASE WHEN unit.last_no <> 0 THEN unit.last_no ELSE s.last_no END,
        runs = s.runs + unit.runs, skipped = s.skipped + unit.skipped
    FROM unit
    WHERE s.no = unit.no AND s.seq = unit.base
    RETURNING 1
)
SELECT expect('WE004', cardinality(@nos::bigint[]), (SELECT count(*) FROM applied));

-- What a lost compare-and-set is judged by.
-- name: ReadScheduleSeqs :many
SELECT s.no, s.seq FROM schedules s WHERE s.no = ANY(@nos::bigint[]);

-- Active schedules whose next firing is due within so many seconds (fewer than none: overdue), after a key, and the
-- instance that a firing must not overlap with: that of a fixed id, else the last one. Index schedules_due.
-- name: DueSchedules :many
SELECT s.no, s.seq, s.hub, s.id, s.orchestration, s.version, s.instance_id, s.spec, s.state, s.next_at, s.due_at, s.buffered,
       s.created_at, now()::timestamptz AS now, CASE WHEN octet_length(s.input) <= 65536 THEN s.input END::bytea AS input,
       coalesce(octet_length(s.input), -1)::integer AS input_size,
       coalesce(i.no, 0)::bigint AS other_no, coalesce(i.id, '')::text AS other_id,
       (i.no IS NOT NULL AND i.outcome IS NULL)::boolean AS other_lives
FROM schedules s
LEFT JOIN instances i ON i.no = CASE WHEN s.instance_id = '' THEN s.last_no
                                     ELSE (SELECT f.no FROM instances f WHERE f.hub = s.hub AND f.id = s.instance_id) END
WHERE s.state = 0 AND s.due_at IS NOT NULL AND s.due_at <= now() + make_interval(secs => @ahead::float8)
  AND (s.due_at, s.no) > (@after_due::timestamptz, @after_no::bigint)
ORDER BY s.due_at, s.no LIMIT @chunk::integer;

-- Active schedules with firings that need wait no longer. Index schedules_buffered.
-- name: BufferedSchedules :many
SELECT s.no, s.seq, s.hub, s.id, s.orchestration, s.version, s.instance_id, s.spec, s.state, s.next_at, s.due_at, s.buffered,
       s.created_at, now()::timestamptz AS now, CASE WHEN octet_length(s.input) <= 65536 THEN s.input END::bytea AS input,
       coalesce(octet_length(s.input), -1)::integer AS input_size,
       coalesce(i.no, 0)::bigint AS other_no, coalesce(i.id, '')::text AS other_id,
       (i.no IS NOT NULL AND i.outcome IS NULL)::boolean AS other_lives
FROM schedules s
LEFT JOIN instances i ON i.no = CASE WHEN s.instance_id = '' THEN s.last_no
                                     ELSE (SELECT f.no FROM instances f WHERE f.hub = s.hub AND f.id = s.instance_id) END
WHERE s.state = 0 AND s.buffered IS NOT NULL AND (i.no IS NULL OR i.outcome IS NOT NULL) AND s.no > @after_no::bigint
ORDER BY s.no LIMIT @chunk::integer;

-- An input, by itself: it may be large.
-- name: ReadScheduleInput :one
SELECT s.input FROM schedules s WHERE s.no = @no AND s.seq = @seq;

-- By id, without inputs. Index schedules_hub_id_key.
-- name: ListSchedules :many
SELECT s.no, s.seq, s.revision, s.next_at, s.due_at, s.last_at, s.last_no, s.runs, s.skipped, s.created_at, s.updated_at, s.hub, s.state,
       s.id, s.orchestration, s.version, s.instance_id, s.note, s.spec, s.buffered,
       now()::timestamptz AS now,
       coalesce(i.no, 0)::bigint AS other_no, coalesce(i.id, '')::text AS other_id,
       (i.no IS NOT NULL AND i.outcome IS NULL)::boolean AS other_lives,
       coalesce(l.id, '')::text AS last_id
FROM schedules s
LEFT JOIN instances i ON i.no = CASE WHEN s.instance_id = '' THEN s.last_no
                                     ELSE (SELECT f.no FROM instances f WHERE f.hub = s.hub AND f.id = s.instance_id) END
LEFT JOIN instances l ON l.no = s.last_no
WHERE s.hub = @hub AND s.id > @after_id::text AND s.id >= @prefix::text AND s.id < @beyond::text
  AND (@state::smallint < 0 OR s.state = @state::smallint)
  AND s.created_at >= @created_from::timestamptz AND s.created_at < @created_to::timestamptz
ORDER BY s.id LIMIT @chunk::integer;

-- name: InsertSchedule :execrows
INSERT INTO schedules (hub, id, orchestration, version, instance_id, spec, input, state, next_at, due_at, created_at, updated_at)
VALUES (@hub, @id, @orchestration, @version, @instance_id, @spec, @input, @state, @next_at, @due_at, @created_at, now())
ON CONFLICT (hub, id) DO NOTHING;

-- name: UpdateSchedule :execrows
UPDATE schedules
SET seq = seq + 1, revision = revision + 1, updated_at = now(), orchestration = @orchestration, version = @version,
    instance_id = @instance_id, spec = @spec, input = @input, state = @state, note = @note, next_at = @next_at, due_at = @due_at
WHERE no = @no AND seq = @seq;

-- name: SetScheduleState :execrows
UPDATE schedules
SET seq = seq + 1, revision = revision + 1, updated_at = now(), state = @state, note = @note, next_at = @next_at, due_at = @due_at
WHERE no = @no AND seq = @seq;

-- name: DeleteSchedule :execrows
DELETE FROM schedules WHERE hub = @hub AND id = @id;

-- Those that were completed so long ago. Index schedules_completed.
-- name: ForgetSchedules :exec
DELETE FROM schedules WHERE state = 2 AND updated_at < now() - make_interval(secs => @age::float8);
