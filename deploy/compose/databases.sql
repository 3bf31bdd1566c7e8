-- Run once, when the PostgreSQL of docker-compose.yml makes its data: a database and a user for each service.
-- The order service has those of the image's own settings. No service can read another's tables.
create user inventory password 'inventory';
create database inventory owner inventory;
create user payments password 'payments';
create database payments owner payments;
revoke connect on database orders from public;
revoke connect on database inventory from public;
revoke connect on database payments from public;
