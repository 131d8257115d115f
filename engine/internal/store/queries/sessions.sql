-- Browsers that sign in, and their sessions (migration 0019).

-- Those that never came back make room.
-- name: AddLogin :exec
WITH gone AS (
    DELETE FROM logins WHERE id IN (SELECT l.id FROM logins l WHERE l.created_at < now() - interval '1 hour' LIMIT 100)
)
INSERT INTO logins (id, issuer, state, nonce, verifier, return_to) VALUES (@id, @issuer, @state, @nonce, @verifier, @return_to);

-- name: TakeLogin :one
DELETE FROM logins WHERE id = @id
RETURNING issuer, state, nonce, verifier, return_to, (created_at > now() - make_interval(secs => @seconds::float8))::boolean AS fresh;

-- Sessions that nobody has used for a month make room.
-- name: AddSession :exec
WITH gone AS (
    DELETE FROM sessions WHERE id IN (SELECT s.id FROM sessions s WHERE s.used_at < now() - interval '31 days' LIMIT 100)
)
INSERT INTO sessions (id, issuer, subject, sid, name, groups, id_token, refresh)
VALUES (@id, @issuer, @subject, @sid, @name, @groups, @id_token, @refresh);

-- name: UseSession :one
WITH used AS (
    UPDATE sessions u SET used_at = now()
    WHERE u.id = @id::bytea AND u.used_at < now() - interval '1 minute'
      AND u.used_at > now() - make_interval(secs => @idle::float8) AND u.created_at > now() - make_interval(secs => @whole::float8)
)
SELECT s.issuer, s.subject, s.sid, s.name, s.groups, s.id_token, s.refresh, s.created_at, s.used_at, s.refreshed_at FROM sessions s
WHERE s.id = @id::bytea AND s.used_at > now() - make_interval(secs => @idle::float8) AND s.created_at > now() - make_interval(secs => @whole::float8);

-- One of all who find a session to be refreshed does it; who does not come back is replaced after half a minute.
-- name: ClaimRefresh :execrows
UPDATE sessions SET claimed_at = now()
WHERE id = @id AND refreshed_at = @last AND (claimed_at IS NULL OR claimed_at < now() - interval '30 seconds');

-- name: RefreshSession :exec
UPDATE sessions SET name = @name, groups = @groups, id_token = @id_token, refresh = @refresh, refreshed_at = now(), claimed_at = NULL WHERE id = @id;

-- name: EndSession :exec
DELETE FROM sessions WHERE id = @id;

-- Ends sessions because their provider says so: those with its session id, or those of a subject. A token counts once.
-- name: EndSessions :execrows
WITH gone AS (
    DELETE FROM logout_tokens WHERE (issuer, id) IN (SELECT t.issuer, t.id FROM logout_tokens t WHERE t.at < now() - interval '1 day' LIMIT 100)
), fresh AS (
    INSERT INTO logout_tokens (issuer, id) VALUES (@issuer, @token_id) ON CONFLICT DO NOTHING RETURNING 1
)
DELETE FROM sessions s
WHERE s.issuer = @issuer AND EXISTS (SELECT FROM fresh)
  AND (@sid::text <> '' AND s.sid = @sid::text OR @sid::text = '' AND s.subject = @subject);
