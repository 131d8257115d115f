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

-- Takes suspects that are to be given out: those first of which the fewest workers have died, and only such together. The more
-- have died, the fewer are given out at a time, so that what is innocent is soon given out without what is not.
-- name: TakeSuspects :many
WITH class AS (
    SELECT coalesce(min(d.deaths), 0) AS deaths FROM deaths d WHERE d.held_at IS NULL AND d.given_at IS NULL AND d.until <= now()
), next AS (
    SELECT d.instance_no, d.gen, d.task FROM deaths d
    WHERE d.held_at IS NULL AND d.given_at IS NULL AND d.until <= now() AND d.deaths = (SELECT class.deaths FROM class)
    ORDER BY d.until
    LIMIT (SELECT least(@max_rows::integer, CASE class.deaths WHEN 2 THEN 1000 WHEN 3 THEN 30 ELSE 1 END) FROM class)
    FOR UPDATE SKIP LOCKED
)
UPDATE deaths d SET given_at = now() FROM next
WHERE d.instance_no = next.instance_no AND d.gen = next.gen AND d.task = next.task
RETURNING d.instance_no AS no, d.gen, d.task;

-- Takes what rests or is held of an instance, or of one task of it (-2: all), which the caller has locked, and forgets how
-- many workers have died of it.
-- name: TakeLetters :many
DELETE FROM deaths d
WHERE d.instance_no = @no AND d.gen = @gen AND (d.held_at IS NOT NULL OR d.given_at IS NULL) AND (@task::integer = -2 OR d.task = @task)
RETURNING d.instance_no AS no, d.gen, d.task;

-- Gives out what was taken: its River rows are made available. Calls that a limit bounds wait for a place anew, and their
-- buckets come back. Of what has no such row any more nothing comes back.
-- name: GiveOut :many
WITH unit AS (
    SELECT u.no, u.gen, u.task, int8send(u.no) || int4send(u.gen) || int4send(u.task) AS unique_key
    FROM (SELECT unnest(@nos::bigint[]) AS no, unnest(@gens::integer[]) AS gen, unnest(@tasks::integer[]) AS task) AS u
), bounded AS (
    UPDATE limit_calls c SET granted_at = NULL, ready = true, queued_at = now()
    FROM unit WHERE c.instance_no = unit.no AND c.gen = unit.gen AND c.task = unit.task
    RETURNING c.instance_no AS no, c.task, c.hub, c.name, c.key
), letters AS (
    UPDATE instances i SET held = NULL, updated_at = now()
    FROM unit WHERE i.no = unit.no AND unit.task = -1 AND i.held IS NOT NULL
), turns AS (
    UPDATE river_job j SET state = 'available', scheduled_at = now()
    FROM unit JOIN instances i ON i.no = unit.no
    WHERE unit.task = -1 AND j.id = i.turn_job AND j.state::text = 'pending'
    RETURNING j.queue
), tasks AS (
    UPDATE river_job j
    SET scheduled_at = now(), state = CASE WHEN EXISTS (SELECT 1 FROM bounded b WHERE b.no = unit.no AND b.task = unit.task)
                                           THEN 'pending'::river_job_state ELSE 'available'::river_job_state END
    FROM unit
    WHERE j.unique_key = unit.unique_key AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
      AND river_job_state_in_bitmask(j.unique_states, j.state) AND j.state::text = 'pending'
    RETURNING j.queue, unit.no, unit.task
)
SELECT turns.queue, 0::integer AS hub, ''::text AS name, ''::text AS key FROM turns
UNION ALL
SELECT tasks.queue, coalesce(b.hub, 0), coalesce(b.name, ''), coalesce(b.key, '')
FROM tasks LEFT JOIN bounded b ON b.no = tasks.no AND b.task = tasks.task;

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

-- name: SetHubMaxDeaths :execrows
UPDATE hubs SET max_deaths = @max_deaths WHERE name = @name;

-- name: ForgetDeaths :exec
DELETE FROM deaths d
WHERE (d.held_at IS NULL AND d.given_at IS NOT NULL AND d.last_at < now() - interval '1 hour')
   OR NOT EXISTS (SELECT 1 FROM instances i WHERE i.no = d.instance_no AND i.gen = d.gen AND i.status IN (0, 6, 7));
