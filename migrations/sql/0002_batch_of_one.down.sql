DROP FUNCTION commit_start(integer, smallint, integer, bigint, bigint, integer, text, text, text, bytea, bigint, bigint, smallint, text, text, jsonb, smallint, text);
DROP FUNCTION commit_turn(integer, smallint, integer, bigint, bigint, bigint, integer, bigint, bigint, smallint, bytea, bigint, bytea, bytea, integer, bytea);
