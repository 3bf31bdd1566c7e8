"""The same contracts in memory, for `*_DATABASE_URL=memory`: gone when the process ends."""
