DROP INDEX instances_ended;
DROP TABLE retention;
DROP TABLE batch_refusals;
DROP TABLE batch_operations;
