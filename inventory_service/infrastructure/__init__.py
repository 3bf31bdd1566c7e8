"""The inventory service's adapters: the only place with SQL and asyncpg."""
