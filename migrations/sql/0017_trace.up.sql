-- The context of distributed tracing that an instance was started with: W3C's traceparent, with the tracestate after a
-- space. Null for instances that nobody traces, which costs nothing.
ALTER TABLE instances ADD COLUMN trace text;
