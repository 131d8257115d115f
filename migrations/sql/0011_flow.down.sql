DROP FUNCTION start_instance(integer, bigint, text, text, text, bytea, bigint, timestamptz, smallint, text);

CREATE FUNCTION start_instance(
    p_hub integer, p_no bigint, p_id text, p_name text, p_version text, p_input bytea, p_input_ref bigint,
    p_scheduled_at timestamptz, p_river_channel text
) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_job   bigint;
    v_queue text := 'h' || p_hub || '_orch';
    v_later boolean := coalesce(p_scheduled_at > now(), false);
BEGIN
    IF NOT v_later THEN
        v_job := nextval('river_job_id_seq');
    END IF;
    INSERT INTO instances (no, hub, id, name, version, input, input_ref, scheduled_at, turn_job, created_at, updated_at)
    VALUES (p_no, p_hub, p_id, p_name, p_version, p_input, p_input_ref, p_scheduled_at, v_job, now(), now())
    ON CONFLICT (hub, id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_later THEN
        INSERT INTO timers (instance_no, fire_at, gen, task, kind) VALUES (p_no, p_scheduled_at, 0, 0, 1);
        RETURN p_no;
    END IF;
    INSERT INTO river_job (id, state, max_attempts, priority, kind, queue, args, tags)
    VALUES (v_job, 'available', 32767, 2, turn_kind(p_name, p_version), v_queue,
            jsonb_build_object('no', p_no), '{}');
    PERFORM pg_notify(p_river_channel, json_build_object('queue', v_queue)::text);
    RETURN p_no;
END;
$$;

CREATE OR REPLACE FUNCTION finish_task(
    p_token bigint, p_no bigint, p_gen integer, p_task integer, p_payload bytea, p_me integer, p_river_channel text
) RETURNS integer
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    r       record;
    v_job   bigint;
    v_count bigint;
    v_queue text;
BEGIN
    PERFORM 1 FROM instances WHERE no = p_no FOR NO KEY UPDATE;
    SELECT i.gen, i.status, i.scheduled_at, i.owner, i.turn_job, i.hub, i.name, i.version INTO r
    FROM instances i WHERE i.no = p_no;
    IF r IS NULL OR r.status NOT IN (0, 6, 7) OR r.gen <> p_gen THEN
        RAISE EXCEPTION 'the instance no longer waits for this task' USING ERRCODE = 'WE003';
    END IF;
    DELETE FROM river_job WHERE id = p_token;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count <> 1 THEN
        RAISE EXCEPTION 'the token of this attempt is gone' USING ERRCODE = 'WE003';
    END IF;
    INSERT INTO inbox (instance_no, gen, task, kind, payload) VALUES (p_no, p_gen, p_task, 3, p_payload);
    IF is_held(r.status, r.scheduled_at, 3::smallint) THEN
        RETURN NULL;
    END IF;
    IF r.owner = p_me THEN
        RETURN r.owner;
    END IF;
    IF r.owner IS NOT NULL THEN
        PERFORM pg_notify(current_schema() || '.wake.' || r.owner, p_no::text);
    ELSIF r.turn_job IS NULL THEN
        v_job := nextval('river_job_id_seq');
        v_queue := 'h' || r.hub || '_orch';
        UPDATE instances SET turn_job = v_job WHERE no = p_no;
        INSERT INTO river_job (id, state, max_attempts, priority, kind, queue, args, tags)
        VALUES (v_job, 'available', 32767, 2, turn_kind(r.name, r.version), v_queue,
                jsonb_build_object('no', p_no), '{}');
        PERFORM pg_notify(p_river_channel, json_build_object('queue', v_queue)::text);
    END IF;
    RETURN NULL;
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

-- Nobody would let them go.
UPDATE river_job j SET state = 'available', metadata = '{}'
WHERE j.state = 'pending' AND octet_length(j.unique_key) = 16 AND j.queue ~ '^h[0-9]+_';
DROP FUNCTION let_through(integer, text, text, text);
DROP TABLE limit_calls;
DROP SEQUENCE limit_call_no;
DROP TABLE limit_buckets;
DROP TABLE limits;
ALTER TABLE instances DROP COLUMN priority;
