-- Flow control: priorities, and limits of calls.

-- Where the instance's turns and activities stand in the queue: River's, 1 goes first, 4 last.
ALTER TABLE instances ADD COLUMN priority smallint NOT NULL DEFAULT 2;

-- Limits that calls name. Each key that calls give has a bucket of its own, with the same bounds.
CREATE TABLE limits (
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    -- Of a rate: so many calls in so long, and how many at once after a pause. rate 0 = none.
    period      interval NOT NULL,
    hub         integer NOT NULL,
    -- How many calls at once, over all workers; 0 = as many as like.
    concurrency integer NOT NULL,
    rate        integer NOT NULL,
    burst       integer NOT NULL,
    name        text COLLATE "C" NOT NULL,
    PRIMARY KEY (hub, name)
);

-- A row is locked by whoever lets calls through: one at a time for each bucket. It is made on first use, and goes when it
-- is full and idle.
CREATE TABLE limit_buckets (
    -- Tokens of the rate, as they were then; null = full.
    tokens    double precision,
    filled_at timestamptz NOT NULL DEFAULT now(),
    -- When the next token is there, if a call waits for one.
    due_at    timestamptz,
    hub       integer NOT NULL,
    name      text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    PRIMARY KEY (hub, name, key)
) WITH (fillfactor = 50);

CREATE INDEX limit_buckets_due ON limit_buckets (due_at) WHERE due_at IS NOT NULL;

-- Calls that a limit bounds. The truth is the call's River row: it is pending while the call waits, and when it is gone,
-- so is the call's place. granted_at null = it waits; while ready is false it does not even wait, because its next attempt
-- is not due.
CREATE SEQUENCE limit_call_no;

CREATE TABLE limit_calls (
    instance_no bigint NOT NULL,
    no          bigint NOT NULL DEFAULT nextval('limit_call_no'),
    queued_at   timestamptz NOT NULL DEFAULT now(),
    granted_at  timestamptz,
    gen         integer NOT NULL,
    task        integer NOT NULL,
    hub         integer NOT NULL,
    priority    smallint NOT NULL,
    ready       boolean NOT NULL DEFAULT true,
    name        text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    PRIMARY KEY (instance_no, gen, task)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX limit_calls_waiting ON limit_calls (hub, name, key, priority, no) WHERE granted_at IS NULL AND ready;
CREATE INDEX limit_calls_holding ON limit_calls (hub, name, key) WHERE granted_at IS NOT NULL;

-- let_through gives the free places of a bucket to the calls that wait, by priority and then by age, and returns when the
-- next token of its rate is there, if a call waits for one. Whoever commits something that frees a place, or makes a call
-- wait, calls it afterwards; so it must see what was committed before it: each of its statements has a snapshot of its
-- own, taken when the bucket is locked. It waits for no River row: what somebody has locked is about to go, or is
-- left for the next time.
CREATE FUNCTION let_through(p_hub integer, p_name text, p_key text, p_river_channel text) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
    v_bucket limit_buckets;
    v_limit  limits;
    v_now    timestamptz;
    v_full   double precision;
    v_free   bigint;
    v_seen   bigint;
    v_got    bigint;
    v_gone   bigint;
    v_due    timestamptz;
    v_queues text[] := '{}';
    v_more   text[];
    v_per    double precision;
BEGIN
    INSERT INTO limit_buckets (hub, name, key) VALUES (p_hub, p_name, p_key) ON CONFLICT DO NOTHING;
    SELECT * INTO v_bucket FROM limit_buckets b WHERE b.hub = p_hub AND b.name = p_name AND b.key = p_key FOR UPDATE;
    SELECT * INTO v_limit FROM limits l WHERE l.hub = p_hub AND l.name = p_name;
    IF v_bucket IS NULL OR v_limit IS NULL THEN
        RETURN NULL; -- there is no such limit: its calls wait until somebody puts it
    END IF;
    v_now := clock_timestamp();
    v_per := extract(epoch FROM v_limit.period);
    v_full := v_limit.burst;
    IF v_limit.rate > 0 THEN
        v_full := least(v_full, coalesce(v_bucket.tokens, v_full)
            + greatest(extract(epoch FROM v_now - v_bucket.filled_at), 0) * v_limit.rate / v_per);
    END IF;
    LOOP
        SELECT CASE WHEN v_limit.concurrency = 0 THEN 1000 ELSE v_limit.concurrency - (
            SELECT count(*) FROM limit_calls c WHERE c.hub = p_hub AND c.name = p_name AND c.key = p_key AND c.granted_at IS NOT NULL
        ) END INTO v_free;
        IF v_limit.rate > 0 THEN
            v_free := least(v_free, floor(v_full)::bigint);
        END IF;
        EXIT WHEN v_free <= 0;
        WITH next AS MATERIALIZED (
            SELECT c.instance_no, c.gen, c.task, int8send(c.instance_no) || int4send(c.gen) || int4send(c.task) AS unique_key
            FROM limit_calls c
            WHERE c.hub = p_hub AND c.name = p_name AND c.key = p_key AND c.granted_at IS NULL AND c.ready
            ORDER BY c.priority, c.no
            LIMIT least(v_free, 1000)
        ), found AS MATERIALIZED (
            SELECT j.id, j.state::text AS state, next.instance_no, next.gen, next.task
            FROM next JOIN river_job j ON j.unique_key = next.unique_key
              AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
              AND river_job_state_in_bitmask(j.unique_states, j.state)
            FOR UPDATE OF j SKIP LOCKED
        ), started AS (
            UPDATE river_job j SET state = 'available', scheduled_at = now()
            FROM found WHERE j.id = found.id AND found.state = 'pending'
            RETURNING j.queue
        ), granted AS (
            UPDATE limit_calls c SET granted_at = v_now
            FROM found WHERE c.instance_no = found.instance_no AND c.gen = found.gen AND c.task = found.task
            RETURNING 1
        ), gone AS (
            DELETE FROM limit_calls c USING next
            WHERE c.instance_no = next.instance_no AND c.gen = next.gen AND c.task = next.task
              AND 0 = (
                  SELECT count(*) FROM river_job j WHERE j.unique_key = next.unique_key
                    AND j.unique_key IS NOT NULL AND j.unique_states IS NOT NULL
                    AND river_job_state_in_bitmask(j.unique_states, j.state)
              )
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM next), (SELECT count(*) FROM granted), (SELECT count(*) FROM gone),
               (SELECT array_agg(DISTINCT started.queue) FROM started)
        INTO v_seen, v_got, v_gone, v_more;
        v_queues := v_queues || coalesce(v_more, '{}');
        IF v_limit.rate > 0 THEN
            v_full := v_full - v_got;
        END IF;
        IF v_seen > v_got + v_gone THEN
            v_due := v_now + interval '50 milliseconds'; -- somebody has locked the others
        END IF;
        EXIT WHEN v_got + v_gone = 0;
    END LOOP;
    IF v_due IS NULL AND v_limit.rate > 0 AND v_full < 1 AND EXISTS (
        SELECT 1 FROM limit_calls c WHERE c.hub = p_hub AND c.name = p_name AND c.key = p_key AND c.granted_at IS NULL AND c.ready
    ) THEN
        v_due := v_now + make_interval(secs => (1 - v_full) * v_per / v_limit.rate);
    END IF;
    UPDATE limit_buckets b SET tokens = CASE WHEN v_limit.rate > 0 THEN v_full END, filled_at = v_now, due_at = v_due
    WHERE b.hub = p_hub AND b.name = p_name AND b.key = p_key;
    PERFORM pg_notify(p_river_channel, json_build_object('queue', q)::text) FROM (SELECT DISTINCT unnest(v_queues) AS q) AS queues;
    RETURN v_due;
END;
$$;

-- As before, with the priority.
DROP FUNCTION start_instance(integer, bigint, text, text, text, bytea, bigint, timestamptz, text);

CREATE FUNCTION start_instance(
    p_hub integer, p_no bigint, p_id text, p_name text, p_version text, p_input bytea, p_input_ref bigint,
    p_scheduled_at timestamptz, p_priority smallint, p_river_channel text
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
    INSERT INTO instances (no, hub, id, name, version, input, input_ref, scheduled_at, turn_job, priority, created_at, updated_at)
    VALUES (p_no, p_hub, p_id, p_name, p_version, p_input, p_input_ref, p_scheduled_at, v_job, p_priority, now(), now())
    ON CONFLICT (hub, id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_later THEN
        INSERT INTO timers (instance_no, fire_at, gen, task, kind) VALUES (p_no, p_scheduled_at, 0, 0, 1);
        RETURN p_no;
    END IF;
    INSERT INTO river_job (id, state, max_attempts, priority, kind, queue, args, tags)
    VALUES (v_job, 'available', 32767, p_priority, turn_kind(p_name, p_version), v_queue,
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
    SELECT i.gen, i.status, i.scheduled_at, i.owner, i.turn_job, i.hub, i.name, i.version, i.priority INTO r
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
        VALUES (v_job, 'available', 32767, r.priority, turn_kind(r.name, r.version), v_queue,
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
    INSERT INTO instances (no, hub, id, name, version, input, input_ref, turn_job, priority, outcome, created_at, updated_at)
    VALUES (p_no, p_hub, p_id, p_name, nullif(p_version, ''), p_input, nullif(p_input_ref, 0), p_job, p_priority,
            CASE WHEN left(p_id, 1) = '@' THEN 100 END, now(), now());
    INSERT INTO river_job (id, state, max_attempts, scheduled_at, created_at, priority, kind, queue, args, metadata, tags)
    VALUES (p_job, 'available', p_max_attempts, now(), now(), p_priority, p_kind, p_queue, p_args, '{}', '{}');
    PERFORM pg_notify(p_river_channel, json_build_object('queue', p_queue)::text);
END;
$$;
