-- The versions in which orchestrations are started.

-- Notes that instances of a version are started, and tells the workers that have to know.
-- name: NoteVersion :exec
WITH noted AS (
    INSERT INTO versions (hub, name, version) VALUES (@hub, @name, @version)
    ON CONFLICT (hub, name, version) DO UPDATE SET seen_at = now() WHERE versions.seen_at < now() - interval '1 hour'
    RETURNING hub
)
SELECT pg_notify(@channel::text, noted.hub::text) FROM noted;

-- name: ListVersions :many
SELECT v.name, v.version FROM versions v WHERE v.hub = @hub AND v.name = ANY(@names::text[]) ORDER BY v.name, v.version;

-- What nobody has started for a month, and of which no instance lives. Index instances_name.
-- name: ForgetVersions :exec
DELETE FROM versions v WHERE v.seen_at < now() - interval '30 days'
  AND NOT EXISTS (
      SELECT 1 FROM instances i WHERE i.hub = v.hub AND i.name = v.name AND i.outcome IS NULL AND i.version = v.version
  );
