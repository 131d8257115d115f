DELETE FROM settings WHERE key = 'webhook_key';
DROP TABLE webhook_deliveries;
DROP TABLE alert_rules;
DROP TABLE webhooks;
