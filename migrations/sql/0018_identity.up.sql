-- Who may do what, and who has done what. Only the server reads and writes these tables (migrations/roles.go).

-- Tokens with which programs show who they are. Of the token itself only its SHA-256 is kept: it has 256 bits of chance, so
-- there is nothing to be guessed.
CREATE TABLE api_tokens (
    no           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           text        NOT NULL UNIQUE,
    name         text        NOT NULL,
    hash         bytea       NOT NULL UNIQUE CHECK (length(hash) = 32),
    grants       jsonb       NOT NULL, -- hub, or *, to roles
    created_by   text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz, -- within a minute
    revoked_at   timestamptz,
    revoked_by   text
);

-- Roles of those whom an OpenID provider knows: a person or program by issuer and subject, or a group by its name.
CREATE TABLE role_bindings (
    subject    text        NOT NULL,
    hub        text        NOT NULL, -- or *
    role       text        NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject, hub, role)
);

-- What was asked to be changed through the API, by whom. A row is written before the change is tried, and one of
-- audit_results after it: neither is changed again.
CREATE TABLE audit_log (
    no         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text        NOT NULL,
    actor_name text        NOT NULL,
    kind       text        NOT NULL,
    action     text        NOT NULL,
    hub        text,
    target     text,
    reason     text,
    address    text        NOT NULL,
    request_id text        NOT NULL
);
CREATE INDEX audit_log_hub ON audit_log (hub, no);
CREATE INDEX audit_log_actor ON audit_log (actor, no);

CREATE TABLE audit_results (
    entry  bigint      PRIMARY KEY REFERENCES audit_log (no),
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    result text        NOT NULL -- OK, or the code of the error
);
