"""The stores for `*_DATABASE_URL=memory`: the contracts of PostgreSQL, but nothing survives the process."""
