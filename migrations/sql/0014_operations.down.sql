DROP TABLE batch_refusals;
DROP TABLE batch_operations;
