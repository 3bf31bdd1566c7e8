"""The order service's adapters: the only place with SQL and asyncpg."""
