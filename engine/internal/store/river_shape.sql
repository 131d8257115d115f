-- The part of River's tables that Weir's statements touch, for sqlc only. That the real tables look like
-- this, at the River version in go.mod, is checked by TestRiverShape.
CREATE TYPE river_job_state AS ENUM (
    'available', 'cancelled', 'completed', 'discarded', 'pending', 'retryable', 'running', 'scheduled'
);

CREATE SEQUENCE river_job_id_seq;

CREATE TABLE river_job (
    id            bigint PRIMARY KEY,
    state         river_job_state NOT NULL,
    attempt       smallint NOT NULL,
    max_attempts  smallint NOT NULL,
    attempted_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    finalized_at  timestamptz,
    scheduled_at  timestamptz NOT NULL,
    priority      smallint NOT NULL,
    args          jsonb NOT NULL,
    attempted_by  text[],
    errors        jsonb[],
    kind          text NOT NULL,
    metadata      jsonb NOT NULL,
    queue         text NOT NULL,
    tags          text[] NOT NULL,
    unique_key    bytea,
    unique_states bit(8)
);

CREATE FUNCTION river_job_state_in_bitmask(bitmask bit, state river_job_state) RETURNS boolean
LANGUAGE sql AS $$ SELECT true $$;

-- Kept by package migrations itself.
CREATE TABLE migrations (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL);

-- Kept by River itself.
CREATE TABLE river_migration (line text NOT NULL, version bigint NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (line, version));
