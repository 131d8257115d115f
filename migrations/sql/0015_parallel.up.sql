-- A block that handles exceptions is a subtransaction, and none can begin in a parallel query: lists by a failure's class or
-- by what is in inputs and outputs failed as soon as a table was large enough for one.
ALTER FUNCTION json_of(bytea) PARALLEL UNSAFE;
