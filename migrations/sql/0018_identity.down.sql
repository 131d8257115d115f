DROP TABLE audit_results;
DROP TABLE audit_log;
DROP TABLE role_bindings;
DROP TABLE api_tokens;
