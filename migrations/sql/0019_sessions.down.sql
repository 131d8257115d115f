DROP TABLE logout_tokens;
DROP TABLE sessions;
DROP TABLE logins;
DELETE FROM settings WHERE key = 'session_key';
