-- Browsers that sign in, and those that have. What a browser shows is kept as its SHA-256 only.

CREATE TABLE logins (
    id         bytea       PRIMARY KEY CHECK (length(id) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    issuer     text        NOT NULL,
    state      text        NOT NULL,
    nonce      text        NOT NULL,
    verifier   text        NOT NULL,
    return_to  text        NOT NULL
);
CREATE INDEX logins_created ON logins (created_at);

CREATE TABLE sessions (
    id           bytea       PRIMARY KEY CHECK (length(id) = 32),
    issuer       text        NOT NULL,
    subject      text        NOT NULL,
    sid          text        NOT NULL,
    name         text        NOT NULL,
    groups       text[]      NOT NULL,
    id_token     text        NOT NULL,
    refresh      bytea,      -- encrypted
    created_at   timestamptz NOT NULL DEFAULT now(),
    used_at      timestamptz NOT NULL DEFAULT now(), -- within a minute
    refreshed_at timestamptz NOT NULL DEFAULT now(),
    claimed_at   timestamptz -- since when somebody refreshes it
);
CREATE INDEX sessions_subject ON sessions (issuer, subject);
CREATE INDEX sessions_used ON sessions (used_at);

-- Tokens by which providers have ended sessions, so that none counts twice.
CREATE TABLE logout_tokens (
    issuer  text        NOT NULL,
    id      text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, id)
);

-- What is stored of sessions is encrypted with it.
INSERT INTO settings (key, value) VALUES ('session_key', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
