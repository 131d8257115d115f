-- Large values go with what refers to them.

-- The last history event that holds the value; 0 = none yet. What a cut of the history leaves behind it takes along.
ALTER TABLE payloads ADD COLUMN seq bigint NOT NULL DEFAULT 0;

-- A large value of the event, stored as instance 0's until the event is delivered: then it is the receiver's.
ALTER TABLE outbox ADD COLUMN ref bigint;
