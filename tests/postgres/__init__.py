"""PostgreSQL as it is operated: away, read-only, renamed, locked, configured by somebody else, behind a pooler."""
