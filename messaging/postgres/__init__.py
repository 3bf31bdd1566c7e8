"""PostgreSQL: connections, the outbox, the inbox, parked records and dead letters."""
