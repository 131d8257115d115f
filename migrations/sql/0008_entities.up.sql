-- Entities are instances whose id is @name@key, with the outcome 100, which no list of orchestrations asks for: they
-- never end. A turn of theirs is a batch of operations; it leaves one history row behind, which holds all there is to
-- know, and takes the one before it away. While an entity is locked it is suspended, and takes in only what its
-- holder sends.

-- What kind of message a row of the outbox becomes: an event, or something from whoever holds the lock of an entity.
ALTER TABLE outbox ADD COLUMN kind smallint NOT NULL DEFAULT 2;

-- Who holds which entity: written in the commit that locks or unlocks it, to be found by the holder. The truth is in the
-- entity's state.
CREATE TABLE entity_locks (
    entity_no  bigint PRIMARY KEY,
    holder_no  bigint NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    holder_gen integer NOT NULL
);

CREATE INDEX entity_locks_holder ON entity_locks (holder_no);

-- Answers to clients that called an operation, until they have read them.
CREATE TABLE entity_replies (
    entity_no  bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    key        text COLLATE "C" PRIMARY KEY,
    payload    bytea NOT NULL
);

-- Kinds: 1 start, 2 event, 3 task result, 4 timer, 5 suspend, 6 resume, 7 cancel, 8 from the holder of an entity's lock,
-- 9 for an entity, to be carried out later.
CREATE OR REPLACE FUNCTION is_held(status smallint, scheduled_at timestamptz, kind smallint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (status = 7 AND kind NOT IN (5, 6, 8))
        OR (status = 6 AND scheduled_at IS NOT NULL AND kind NOT IN (1, 5, 6))
        OR kind = 9
$$;

-- The functions for batches of one, as in 0002, but for the outcome: entities keep theirs.
CREATE OR REPLACE FUNCTION commit_turn(
    p_worker_no integer, p_lane smallint, p_inc integer, p_previous bigint,
    p_no bigint, p_base bigint, p_epoch integer, p_job bigint, p_seq bigint, p_status smallint,
    p_output bytea, p_output_ref bigint, p_failure bytea, p_custom_status bytea, p_count integer, p_events bytea
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lanes SET batch = batch + 1, seen_at = now()
    WHERE worker_no = p_worker_no AND lane = p_lane AND inc = p_inc AND batch = p_previous;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lane is not at batch % of incarnation %', p_previous, p_inc USING ERRCODE = 'WE001';
    END IF;
    UPDATE instances i
    SET seq = p_seq, status = p_status, outcome = CASE WHEN p_status = 0 THEN i.outcome ELSE p_status END,
        owner = CASE WHEN p_status = 0 THEN p_worker_no END,
        turn_job = CASE WHEN p_status = 0 THEN i.turn_job END,
        started_at = coalesce(i.started_at, now()), updated_at = now(),
        completed_at = CASE WHEN p_status <> 0 THEN now() END,
        waiting = NULL, held = NULL,
        output = p_output, output_ref = nullif(p_output_ref, 0), failure = p_failure,
        custom_status = CASE WHEN p_custom_status IS NULL THEN i.custom_status ELSE nullif(p_custom_status, '') END
    WHERE i.no = p_no AND i.seq = p_base AND i.epoch = p_epoch AND i.status IN (0, 6)
      AND ((p_job = 0 AND i.owner = p_worker_no)
        OR (p_job <> 0 AND i.owner IS NULL AND i.turn_job = p_job));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'instance % is not at event % of epoch % any more', p_no, p_base, p_epoch USING ERRCODE = 'WE002';
    END IF;
    INSERT INTO history (instance_no, seq, n, codec, events) VALUES (p_no, p_seq, p_count, 1, p_events);
END;
$$;

CREATE OR REPLACE FUNCTION commit_start(
    p_worker_no integer, p_lane smallint, p_inc integer, p_previous bigint,
    p_no bigint, p_hub integer, p_id text, p_name text, p_version text, p_input bytea, p_input_ref bigint,
    p_job bigint, p_priority smallint, p_kind text, p_queue text, p_args jsonb, p_max_attempts smallint, p_river_channel text
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lanes SET batch = batch + 1, seen_at = now()
    WHERE worker_no = p_worker_no AND lane = p_lane AND inc = p_inc AND batch = p_previous;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lane is not at batch % of incarnation %', p_previous, p_inc USING ERRCODE = 'WE001';
    END IF;
    INSERT INTO instances (no, hub, id, name, version, input, input_ref, turn_job, outcome, created_at, updated_at)
    VALUES (p_no, p_hub, p_id, p_name, nullif(p_version, ''), p_input, nullif(p_input_ref, 0), p_job,
            CASE WHEN left(p_id, 1) = '@' THEN 100 END, now(), now());
    INSERT INTO river_job (id, state, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
    VALUES (p_job, 'available', p_max_attempts, now(), now(), p_priority, p_kind, p_queue, p_args, '{}', '{}');
    PERFORM pg_notify(p_river_channel, json_build_object('queue', p_queue)::text);
END;
$$;
