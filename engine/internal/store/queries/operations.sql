-- Operations on many instances: what people do with them, and how a node runs them.

-- No row comes back when the id is taken, or the hub has as many unfinished ones as it may have.
-- name: InsertOperation :one
INSERT INTO batch_operations (hub, id, kind, created_by, filter, options)
SELECT @hub::integer, @id::text, @kind::smallint, @created_by::text, @filter::jsonb, @options::jsonb
WHERE (SELECT count(*) FROM batch_operations o WHERE o.hub = @hub AND o.state IN (0, 1)) < @most::integer
ON CONFLICT (hub, id) DO NOTHING
RETURNING no, matched, examined, done, refused, cursor_at, cursor_no, created_at, updated_at, finished_at, hub, owner, claim,
    kind, state, id, created_by, error, filter, options, page;

-- name: GetOperation :one
SELECT no, matched, examined, done, refused, cursor_at, cursor_no, created_at, updated_at, finished_at, hub, owner, claim,
    kind, state, id, created_by, error, filter, options, page
FROM batch_operations WHERE hub = @hub AND id = @id;

-- Newest first. Index batch_operations_hub.
-- name: ListOperations :many
SELECT o.no, o.matched, o.examined, o.done, o.refused, o.cursor_at, o.cursor_no, o.created_at, o.updated_at, o.finished_at, o.hub, o.owner, o.claim,
    o.kind, o.state, o.id, o.created_by, o.error, o.filter, o.options, o.page
FROM batch_operations o
WHERE o.hub = @hub AND o.no < @before::bigint
  AND (cardinality(@states::smallint[]) = 0 OR o.state = ANY(@states::smallint[]))
ORDER BY o.no DESC LIMIT @chunk::integer;

-- name: ListRefusals :many
SELECT r.instance, r.code, r.message FROM batch_refusals r WHERE r.operation = @operation ORDER BY r.n;

-- Pause, resume, cancel. Who runs it sees that with the next page.
-- name: SetOperationState :one
UPDATE batch_operations
SET state = @state, updated_at = now(), finished_at = CASE WHEN @state::smallint = 3 THEN now() END
WHERE hub = @hub AND id = @id AND state IN (0, 1)
RETURNING no, matched, examined, done, refused, cursor_at, cursor_no, created_at, updated_at, finished_at, hub, owner, claim,
    kind, state, id, created_by, error, filter, options, page;

-- Takes the oldest operation that no worker which lives has, or that is this one's by its row and not in fact. Index
-- batch_operations_running.
-- name: ClaimOperation :one
UPDATE batch_operations o SET owner = @me::integer, claim = o.claim + 1
WHERE o.no = (
    SELECT b.no FROM batch_operations b
    WHERE b.state = 0 AND b.no <> ALL(@mine::bigint[])
      AND (b.owner IS NULL OR b.owner = @me::integer OR NOT EXISTS (SELECT 1 FROM workers w WHERE w.no = b.owner AND w.state = 0))
    ORDER BY b.no LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING no, matched, examined, done, refused, cursor_at, cursor_no, created_at, updated_at, finished_at, hub, owner, claim,
    kind, state, id, created_by, error, filter, options, page;

-- name: ReleaseOperation :exec
UPDATE batch_operations SET owner = NULL WHERE no = @no AND owner = @owner::integer AND claim = @claim;

-- name: SetOperationMatched :exec
UPDATE batch_operations SET matched = @matched::bigint WHERE no = @no AND owner = @owner::integer AND claim = @claim;

-- name: BeginOperationPage :execrows
UPDATE batch_operations SET page = @page WHERE no = @no AND owner = @owner::integer AND claim = @claim AND state = 0;

-- What was done with a page counts whatever the state is by now. If it does not run any more, nobody has it any more.
-- name: AdvanceOperation :one
UPDATE batch_operations o
SET examined = examined + @n_examined::bigint, done = done + @n_done::bigint, refused = refused + @n_refused::bigint,
    cursor_at = @cursor_at, cursor_no = @cursor_no, page = NULL, updated_at = now(),
    state = CASE WHEN state = 0 AND @last::boolean THEN 2 ELSE state END,
    finished_at = CASE WHEN state = 0 AND @last::boolean THEN now() ELSE finished_at END,
    owner = CASE WHEN state = 0 AND NOT @last::boolean THEN owner END
WHERE no = @no AND owner = @owner::integer AND claim = @claim
RETURNING o.state, o.refused;

-- name: FailOperation :exec
UPDATE batch_operations SET state = 4, error = @error, owner = NULL, page = NULL, updated_at = now(), finished_at = now()
WHERE no = @no AND owner = @owner::integer AND claim = @claim AND state = 0;

-- name: InsertRefusals :exec
INSERT INTO batch_refusals (operation, n, instance, code, message)
SELECT @operation::bigint, unnest(@ns::integer[]), unnest(@instances::text[]), unnest(@codes::text[]), unnest(@messages::text[]);

-- Those that ended so long ago. Index batch_operations_finished.
-- name: ForgetOperations :exec
DELETE FROM batch_operations WHERE finished_at < now() - make_interval(secs => @age::float8);
