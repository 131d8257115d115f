DELETE FROM history h USING instances i WHERE h.instance_no = i.no AND i.outcome = 100;
DELETE FROM inbox x USING instances i WHERE x.instance_no = i.no AND i.outcome = 100;
DELETE FROM timers t USING instances i WHERE t.instance_no = i.no AND i.outcome = 100;
DELETE FROM event_keys k USING instances i WHERE k.instance_no = i.no AND i.outcome = 100;
DELETE FROM payloads p USING instances i WHERE p.instance_no = i.no AND i.outcome = 100;
DELETE FROM river_job j USING instances i WHERE j.id = i.turn_job AND i.outcome = 100;
DELETE FROM instances WHERE outcome = 100;
DELETE FROM outbox WHERE left(target, 1) = '@';
DROP TABLE entity_replies;
DROP TABLE entity_locks;
ALTER TABLE outbox DROP COLUMN kind;

CREATE OR REPLACE FUNCTION is_held(status smallint, scheduled_at timestamptz, kind smallint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (status = 7 AND kind NOT IN (5, 6))
        OR (status = 6 AND scheduled_at IS NOT NULL AND kind NOT IN (1, 5, 6))
$$;

-- commit_turn is B0, B2 and B4 for a turn that touches no other instance: AdvanceLane, ApplyTurns, InsertHistory.
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
    SET seq = p_seq, status = p_status, outcome = nullif(p_status, 0),
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

-- commit_start is B0, B3, B7 and B9 for an instance that starts at once: AdvanceLane, InsertInstances, InsertJobs,
-- NotifyChannel.
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
    INSERT INTO instances (no, hub, id, name, version, input, input_ref, turn_job, created_at, updated_at)
    VALUES (p_no, p_hub, p_id, p_name, nullif(p_version, ''), p_input, nullif(p_input_ref, 0), p_job, now(), now());
    INSERT INTO river_job (id, state, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
    VALUES (p_job, 'available', p_max_attempts, now(), now(), p_priority, p_kind, p_queue, p_args, '{}', '{}');
    PERFORM pg_notify(p_river_channel, json_build_object('queue', p_queue)::text);
END;
$$;
