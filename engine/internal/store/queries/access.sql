-- Tokens, role bindings and the audit log (migration 0018).

-- name: AddToken :one
INSERT INTO api_tokens (id, name, hash, grants, created_by, expires_at)
VALUES (@id, @name, @hash, @grants, @created_by, sqlc.narg(expires_at))
RETURNING created_at;

-- A token by its hash, if it may be used. That it is used is noted once a minute.
-- name: UseToken :one
WITH used AS (
    UPDATE api_tokens u SET last_used_at = now()
    WHERE u.hash = @hash::bytea AND u.revoked_at IS NULL AND (u.expires_at IS NULL OR u.expires_at > now())
      AND (u.last_used_at IS NULL OR u.last_used_at < now() - interval '1 minute')
)
SELECT t.id, t.name, t.grants, t.expires_at FROM api_tokens t
WHERE t.hash = @hash::bytea AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now());

-- name: GetToken :one
SELECT no, id, name, grants, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by FROM api_tokens WHERE id = @id;

-- Tokens, the latest first.
-- name: ListTokens :many
SELECT no, id, name, grants, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by FROM api_tokens
WHERE (@before::bigint = 0 OR no < @before)
ORDER BY no DESC LIMIT @max_rows;

-- name: CountTokens :one
SELECT count(*) FROM api_tokens;

-- name: RevokeToken :execrows
UPDATE api_tokens SET revoked_at = now(), revoked_by = @by WHERE id = @id AND revoked_at IS NULL;

-- name: AddBinding :execrows
INSERT INTO role_bindings (subject, hub, role, created_by) VALUES (@subject, @hub, @role, @created_by)
ON CONFLICT DO NOTHING;

-- name: RemoveBinding :execrows
DELETE FROM role_bindings WHERE subject = @subject AND hub = @hub AND role = @role;

-- name: CountBindings :one
SELECT count(*) FROM role_bindings;

-- name: ListBindings :many
SELECT subject, hub, role, created_by, created_at FROM role_bindings
WHERE (@after_subject::text = '' OR (subject, hub, role) > (@after_subject::text, @after_hub::text, @after_role::text))
ORDER BY subject, hub, role LIMIT @max_rows;

-- The roles of a caller: its own, and those of its groups.
-- name: RolesOf :many
SELECT hub, role FROM role_bindings WHERE subject = ANY(@subjects::text[]);

-- Entries of the audit log, written together; their numbers are in the order of the arrays.
-- name: WriteEntries :many
INSERT INTO audit_log (actor, actor_name, kind, action, hub, target, reason, address, request_id)
SELECT t.actor, t.actor_name, t.kind, t.action, nullif(t.hub, ''), nullif(t.target, ''), nullif(t.reason, ''), t.address, t.request_id
FROM (SELECT unnest(@actors::text[]) AS actor, unnest(@actor_names::text[]) AS actor_name, unnest(@kinds::text[]) AS kind,
             unnest(@actions::text[]) AS action, unnest(@hubs::text[]) AS hub, unnest(@targets::text[]) AS target,
             unnest(@reasons::text[]) AS reason, unnest(@addresses::text[]) AS address, unnest(@request_ids::text[]) AS request_id,
             generate_series(1, cardinality(@actors::text[])) AS n) t
ORDER BY t.n
RETURNING no;

-- name: WriteResults :exec
INSERT INTO audit_results (entry, result)
SELECT entry, result FROM (SELECT unnest(@entries::bigint[]) AS entry, unnest(@results::text[]) AS result) r;

-- Entries, the latest first. hubs limits them to those of some hubs; null does not.
-- name: ListEntries :many
SELECT l.no, l.at, l.actor, l.actor_name, l.kind, l.action, l.hub, l.target, l.reason, l.address, l.request_id, r.result
FROM audit_log l LEFT JOIN audit_results r ON r.entry = l.no
WHERE (@before::bigint = 0 OR l.no < @before)
  AND (sqlc.narg(hubs)::text[] IS NULL OR l.hub = ANY(sqlc.narg(hubs)::text[]))
  AND (sqlc.narg(hub)::text IS NULL OR l.hub = sqlc.narg(hub)::text)
  AND (sqlc.narg(actor)::text IS NULL OR l.actor = sqlc.narg(actor)::text)
  AND (sqlc.narg(action)::text IS NULL OR l.action = sqlc.narg(action)::text)
  AND (sqlc.narg(target)::text IS NULL OR l.target = sqlc.narg(target)::text)
  AND (sqlc.narg(since)::timestamptz IS NULL OR l.at >= sqlc.narg(since)::timestamptz)
  AND (sqlc.narg(until)::timestamptz IS NULL OR l.at < sqlc.narg(until)::timestamptz)
  AND (NOT @refused::boolean OR r.result <> 'OK')
ORDER BY l.no DESC LIMIT @max_rows;
