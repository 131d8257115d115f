-- Dead letters (migration 0013): what worker after worker has died of. They come into being where the reaper replaces the
-- rows of the dead (workers.sql).

-- name: ListDeaths :many
SELECT d.task, d.deaths, d.worker, d.last_at, d.until, d.held_at FROM deaths d
WHERE d.instance_no = @no AND d.gen = @gen AND (d.held_at IS NOT NULL OR d.given_at IS NULL);

-- How the suspects stand: how many wait to be given out, how many are tested and have neither got on nor ended yet, and how
-- long ago a worker last died of one.
-- name: CountSuspects :one
SELECT count(*) FILTER (WHERE d.given_at IS NULL)::bigint AS waiting,
       count(*) FILTER (WHERE d.given_at > now() - tested_for(d.deaths) AND CASE WHEN d.task = -1
           THEN EXISTS (SELECT 1 FROM instances i WHERE i.no = d.instance_no AND i.gen = d.gen AND i.seq = d.seq AND i.turn_job IS NOT NULL AND i.status IN (0, 6, 7))
           ELSE EXISTS (
               SELECT 1 FROM river_job j
               WHERE j.unique_key = int8send(d.instance_no) || int4send(d.gen) || int4send(d.task) AND j.unique_key IS NOT NULL
                 AND j.unique_states IS NOT NULL AND river_job_state_in_bitmask(j.unique_states, j.state)
           ) END)::bigint AS tested,
       coalesce(max(d.last_at) FILTER (WHERE d.deaths >= 2), 'epoch')::timestamptz AS last_at
FROM deaths d
WHERE d.held_at IS NULL AND d.deaths >= 2;

-- Gives suspects out again: those first of which the fewest workers have died, and only such together. The more have died,
-- the fewer are given out at a time, so that what is innocent is soon given out without what is not. Calls that a limit
-- bounds wait for a place anew.
-- name: GiveOut :many
WITH class AS (
    SELECT coalesce(min(d.deaths), 0) AS deaths FROM deaths d WHERE d.held_at IS NULL AND d.given_at IS NULL AND d.until <= now()
), next AS (
    SELECT d.instance_no, d.gen, d.task, int8send(d.instance_no) || int4send(d.gen) || int4send(d.task) AS unique_key FROM deaths d
    WHERE d.held_at IS NULL AND d.given_at IS NULL AND d.until <= now() AND d.deaths = (SELECT class.deaths FROM class)
    ORDER BY d.until
    LIMIT (SELECT least(@max_rows::integer, CASE class.deaths WHEN 2 THEN 1000 WHEN 3 THEN 30 ELSE 1 END) FROM class)
    FOR UPDATE SKIP LOCKED
), given AS (
    UPDATE deaths d SET given_at = now() FROM next WHERE d.instance_no = next.instance_no AND d.gen = next.gen AND d.task = next.task
), bounded AS (
    UPDATE limit_calls c SET granted_at = NULL, ready = true, queued_at = now()
    FROM next WHERE c.instance_no = next.instance_no AND c.gen = next.gen AND c.task = next.task
    RETURNING c.instance_no, c.task, c.hub, c.name, c.key
), turns AS (
    UPDATE river_job j SET state = 'available', scheduled_at = now()
    FROM next JOIN instances i ON i.no = next.instance_no
    WHERE next.task = -1 AND j.id = i.turn_job AND j.state::text = 'pending'
    RETURNING j.queue
), tasks AS (
    UPDATE river_job j SET state = 'available', scheduled_at = now()
    FROM next
    WHERE j.unique_key = next.unique_key AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
      AND river_job_state_in_bitmask(j.unique_states, j.state) AND j.state::text = 'pending'
      AND NOT EXISTS (SELECT 1 FROM bounded b WHERE b.instance_no = next.instance_no AND b.task = next.task)
    RETURNING j.queue
)
SELECT turns.queue, 0::integer AS hub, ''::text AS name, ''::text AS key FROM turns
UNION ALL
SELECT tasks.queue, 0, '', '' FROM tasks
UNION ALL
SELECT '', b.hub, b.name, b.key FROM bounded b;

-- A hub's dead letters, the latest first, after a position. What has ended since, or goes on without its answer, is none.
-- name: ListLetters :many
SELECT i.no, i.id, i.name, i.version, i.status, d.gen, d.task, d.deaths, d.worker, d.last_at, d.held_at,
       coalesce(j.kind, '')::text AS kind
FROM deaths d
JOIN instances i ON i.no = d.instance_no AND i.gen = d.gen AND i.status IN (0, 6, 7)
LEFT JOIN river_job j ON j.unique_key = int8send(d.instance_no) || int4send(d.gen) || int4send(d.task)
    AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL AND river_job_state_in_bitmask(j.unique_states, j.state)
WHERE d.hub = @hub AND d.held_at IS NOT NULL
  AND (@after_no::bigint = 0 OR (d.held_at, d.instance_no, d.task) < (@after_at::timestamptz, @after_no::bigint, @after_task::integer))
  AND (d.task = -1 OR j.state::text = 'pending')
ORDER BY d.held_at DESC, d.instance_no DESC, d.task DESC
LIMIT @max_rows;

-- name: LockInstance :one
SELECT i.no, i.gen, i.status FROM instances i WHERE i.hub = @hub AND i.id = @id FOR NO KEY UPDATE;

-- Gives out at once what rests or is held of an instance, or of one task of it (-2: all), which the caller has locked, and
-- forgets how many workers have died of it. Calls that a limit bounds wait for a place anew.
-- name: Redrive :many
WITH free AS (
    DELETE FROM deaths d
    WHERE d.instance_no = @no AND d.gen = @gen AND (d.held_at IS NOT NULL OR d.given_at IS NULL) AND (@task::integer = -2 OR d.task = @task)
    RETURNING d.task
), bounded AS (
    UPDATE limit_calls c SET granted_at = NULL, ready = true, queued_at = now()
    FROM free WHERE c.instance_no = @no AND c.gen = @gen AND c.task = free.task
    RETURNING c.task, c.hub, c.name, c.key
), turn AS (
    UPDATE river_job j SET state = 'available', scheduled_at = now()
    FROM free JOIN instances i ON i.no = @no
    WHERE free.task = -1 AND j.id = i.turn_job AND j.state::text = 'pending'
    RETURNING j.queue, -1 AS task
), letter AS (
    UPDATE instances i SET held = NULL, updated_at = now()
    FROM free WHERE i.no = @no AND free.task = -1
), tasks AS (
    UPDATE river_job j
    SET scheduled_at = now(), state = CASE WHEN EXISTS (SELECT 1 FROM bounded WHERE bounded.task = free.task) THEN 'pending'::river_job_state
                                           ELSE 'available'::river_job_state END
    FROM free
    WHERE j.unique_key = int8send(@no) || int4send(@gen) || int4send(free.task) AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
      AND river_job_state_in_bitmask(j.unique_states, j.state) AND j.state::text = 'pending'
    RETURNING j.queue, free.task
)
SELECT moved.queue, coalesce(bounded.hub, 0)::integer AS hub, coalesce(bounded.name, '')::text AS name, coalesce(bounded.key, '')::text AS key
FROM (SELECT turn.task, turn.queue FROM turn UNION ALL SELECT tasks.task, tasks.queue FROM tasks) AS moved
LEFT JOIN bounded ON bounded.task = moved.task;

-- name: SetHubMaxDeaths :execrows
UPDATE hubs SET max_deaths = @max_deaths WHERE name = @name;

-- name: ForgetDeaths :exec
DELETE FROM deaths d
WHERE (d.held_at IS NULL AND d.given_at IS NOT NULL AND d.last_at < now() - interval '1 hour')
   OR NOT EXISTS (SELECT 1 FROM instances i WHERE i.no = d.instance_no AND i.gen = d.gen AND i.status IN (0, 6, 7));
