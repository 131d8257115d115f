DROP FUNCTION finish_task(bigint, bigint, integer, integer, bytea, integer, text);
DROP FUNCTION outbox_event(integer, text, text, bytea, text);
DROP FUNCTION start_instance(integer, bigint, text, text, text, bytea, bigint, timestamptz, text);
DROP FUNCTION is_held(smallint, timestamptz, smallint);
DROP FUNCTION is_to_start(smallint, timestamptz);
DROP FUNCTION turn_kind(text, text);
DROP FUNCTION expect(text, bigint, bigint);
DROP TABLE settings, watchers, lanes, workers, payloads, outbox, event_keys, timers, inbox, history, instances, hubs;
DROP SEQUENCE worker_no, payload_id, inbox_id, instance_no;
