-- Weir's tables. Run with search_path = <weir schema>, <river schema>; nothing here is qualified.
--
-- Column order: eight-byte columns first, then four and two, then what is stored with a length, so that
-- no row wastes bytes on alignment. There are no foreign keys to instances: they would take row locks
-- behind the protocol's back (engine/doc.go, "Locks").

CREATE TABLE hubs (
    no            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text COLLATE "C" NOT NULL UNIQUE,
    -- Every activity gets a river_job row of its own from the start, so that any River tool shows it.
    activity_rows boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- Numbers are taken in blocks of 64 by the process that starts an instance: the number must be known
-- before the row is written, because the inbox and River rows of the same commit carry it.
CREATE SEQUENCE instance_no INCREMENT BY 64 MINVALUE 64;

-- One row per instance. Every commit of a session updates it, so no index may hold a column that changes
-- between start and end (such updates stay HOT); fillfactor leaves room for the next versions.
CREATE TABLE instances (
    no            bigint PRIMARY KEY,
    -- Number of the last history event. Never goes back, not even on continue-as-new.
    seq           bigint NOT NULL DEFAULT 0,
    -- Number of the first history event of this generation.
    base_seq      bigint NOT NULL DEFAULT 1,
    -- Id of the one river_job row that entitles a process to open a session; null = none.
    turn_job      bigint,
    parent_no     bigint,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    started_at    timestamptz,
    completed_at  timestamptz,
    -- Not to be started before; null = at once.
    scheduled_at  timestamptz,
    input_ref     bigint,
    output_ref    bigint,
    hub           integer NOT NULL,
    -- Bumped whenever someone other than the running session invalidates it.
    epoch         integer NOT NULL DEFAULT 0,
    -- Generation: counts continue-as-new, restart and rewind.
    gen           integer NOT NULL DEFAULT 0,
    -- Worker whose session has committed since it opened; routes wake-ups.
    owner         integer,
    parent_gen    integer,
    parent_task   integer,
    -- The numbers of the Durable Task protocol: 0 running, 1 completed, 2 continued as new, 3 failed,
    -- 4 canceled, 5 terminated, 6 pending, 7 suspended.
    status        smallint NOT NULL DEFAULT 6,
    -- The status once it is final, else null. Lists filter on it, because status itself changes too early
    -- in an instance's life to be indexed.
    outcome       smallint,
    id            text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    version       text COLLATE "C",
    input         bytea,
    output        bytea,
    failure       bytea,
    custom_status bytea,
    -- What the instance waits for (JSON), written when a session lets go of it; null while one is at work.
    waiting       bytea,
    -- Why its turn is held (JSON): code that does not match the history, or a panic; null = not held.
    held          bytea
) WITH (
    fillfactor = 70,
    toast_tuple_target = 1024,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

CREATE UNIQUE INDEX instances_id ON instances (hub, id);
-- Lists, newest first: a scan for each outcome asked for, and one for live instances (null).
CREATE INDEX instances_outcome ON instances (hub, outcome, created_at, no);
CREATE INDEX instances_name ON instances (hub, name, outcome, created_at, no);
CREATE INDEX instances_parent ON instances (parent_no) WHERE parent_no IS NOT NULL;

-- The append-only record: one row per commit, holding n events of which seq is the last one's number.
CREATE TABLE history (
    instance_no bigint NOT NULL,
    seq         bigint NOT NULL,
    n           integer NOT NULL,
    -- 1 = JSON, readable with convert_from(events, 'UTF8').
    codec       smallint NOT NULL,
    events      bytea NOT NULL,
    PRIMARY KEY (instance_no, seq)
) WITH (
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_vacuum_cost_delay = 0
);

-- Messages delivered to an instance and not yet consumed. The id is drawn by the INSERT, which runs under
-- the target's row lock, so ids of one instance are in commit order; hence CACHE 1.
CREATE SEQUENCE inbox_id CACHE 1;

CREATE TABLE inbox (
    instance_no bigint NOT NULL,
    id          bigint NOT NULL DEFAULT nextval('inbox_id'),
    gen         integer NOT NULL,
    task        integer NOT NULL,
    kind        smallint NOT NULL,
    payload     bytea,
    PRIMARY KEY (instance_no, id)
) WITH (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

-- A row is the right to fire: whoever deletes it delivers. kind 0 = a timer of the orchestration,
-- 1 = its delayed start, 2 = the retry of a task.
CREATE TABLE timers (
    instance_no bigint NOT NULL,
    fire_at     timestamptz NOT NULL,
    gen         integer NOT NULL,
    task        integer NOT NULL,
    -- Worker that holds it in memory, so that the scanner need not; 0 = nobody.
    holder      integer NOT NULL DEFAULT 0,
    kind        smallint NOT NULL,
    PRIMARY KEY (instance_no, gen, task, kind)
) WITH (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX timers_due ON timers (fire_at);

-- Idempotency keys of raised events; they live as long as their instance.
CREATE TABLE event_keys (
    instance_no bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    PRIMARY KEY (instance_no, key)
);

-- Events raised inside a transaction of the user's own. A River job delivers them once it has committed.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    hub        integer NOT NULL,
    target     text COLLATE "C" NOT NULL,
    key        text COLLATE "C",
    payload    bytea NOT NULL
);

CREATE INDEX outbox_target ON outbox (hub, target, id);

-- Values too large for a batch, written before the commit that refers to them.
CREATE SEQUENCE payload_id CACHE 1;

CREATE TABLE payloads (
    id          bigint PRIMARY KEY,
    instance_no bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    data        bytea NOT NULL
);

CREATE INDEX payloads_instance ON payloads (instance_no);

-- Processes that take part. Numbers are never reused; a client process has a number and a lane, but no
-- row here, because nobody has to notice its death.
CREATE SEQUENCE worker_no AS integer;

CREATE TABLE workers (
    no                 integer PRIMARY KEY,
    hub                integer,
    lock_pid           integer NOT NULL,
    state              smallint NOT NULL DEFAULT 0, -- 0 alive, 1 fenced, 2 left
    started_at         timestamptz NOT NULL DEFAULT now(),
    heartbeat_at       timestamptz NOT NULL DEFAULT now(),
    ended_at           timestamptz,
    lock_backend_start timestamptz NOT NULL,
    name               text NOT NULL,
    build              text NOT NULL,
    river_client       text NOT NULL,
    -- What it can run: {"orchestrations": [{"name", "version"}], "activities": [...], "slots": {...}}.
    caps               jsonb NOT NULL
) WITH (fillfactor = 50);

-- One row per committer lane: the fence of a worker's commits, and the proof whether a batch landed.
CREATE TABLE lanes (
    worker_no     integer NOT NULL,
    lane          smallint NOT NULL,
    inc           integer NOT NULL,
    batch         bigint NOT NULL,
    backend_start timestamptz NOT NULL,
    seen_at       timestamptz NOT NULL DEFAULT now(),
    pid           integer NOT NULL,
    PRIMARY KEY (worker_no, lane)
) WITH (
    fillfactor = 10,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);

-- Processes in which someone watches instances change. The feed is only told while there is one. everything = all
-- changes; else only that instances end, for those who wait for it.
CREATE TABLE watchers (
    id         uuid PRIMARY KEY,
    until      timestamptz NOT NULL,
    everything boolean NOT NULL
) WITH (fillfactor = 50);

-- What all servers of this database share, such as the key that signs cursors.
CREATE TABLE settings (
    key   text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

INSERT INTO settings (key, value)
VALUES ('cursor_key', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- expect aborts the transaction unless got is what the protocol says it must be. In a pipelined batch the
-- client cannot look at a result before it sends the next statement, so the assertion runs on the server.
CREATE FUNCTION expect(code text, want bigint, got bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF want IS DISTINCT FROM got THEN
        RAISE EXCEPTION 'expected % rows, got %', want, got USING ERRCODE = code;
    END IF;
END;
$$;

-- turn_kind is the River kind of the turn jobs of an orchestration: workers fetch only the kinds they have.
CREATE FUNCTION turn_kind(name text, version text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 'turn:' || name || coalesce('<' || nullif(version, '') || '>', '')
$$;

-- is_held tells whether a message of this kind has to wait in the inbox of an instance in this status.
-- Kinds: 1 start, 2 event, 3 task result, 4 timer, 5 suspend, 6 resume.
CREATE FUNCTION is_held(status smallint, scheduled_at timestamptz, kind smallint) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT (status = 7 AND kind NOT IN (5, 6))
        OR (status = 6 AND scheduled_at > now() AND kind <> 1)
$$;

-- is_to_start tells whether the instance's row is itself the message that it is to start. (A delayed start becomes
-- a message in the inbox when its timer fires.)
CREATE FUNCTION is_to_start(status smallint, scheduled_at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT status = 6 AND scheduled_at IS NULL
$$;

-- start_instance writes a new instance and its turn job, or the timer of its start, in the caller's transaction
-- (StartTx). It returns the instance number, or null when the id is taken.
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

-- outbox_event raises an event in the caller's transaction (RaiseTx). It never locks the target: a row in
-- the outbox and a River job that delivers it commit, or roll back, with the caller.
CREATE FUNCTION outbox_event(
    p_hub integer, p_target text, p_key text, p_payload bytea, p_river_channel text
) RETURNS bigint
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    v_id bigint;
BEGIN
    INSERT INTO outbox (hub, target, key, payload) VALUES (p_hub, p_target, p_key, p_payload)
    RETURNING id INTO v_id;
    INSERT INTO river_job (state, max_attempts, priority, kind, queue, args, tags)
    VALUES ('available', 32767, 1, 'weir.deliver', 'weir_system',
            jsonb_build_object('hub', p_hub, 'target', p_target), '{}');
    PERFORM pg_notify(p_river_channel, '{"queue":"weir_system"}');
    RETURN v_id;
END;
$$;

-- finish_task is the tail of a TxHandler: it runs in the user's transaction, directly before COMMIT and in
-- the same pipeline, so that the user's writes and the result commit together. Statement by statement:
-- lock the instance, test it in a later statement, delete the token (it must be there), deliver, wake.
-- It returns the owner to wake in memory when that is the caller itself, else null.
CREATE FUNCTION finish_task(
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
