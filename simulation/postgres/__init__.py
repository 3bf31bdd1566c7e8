"""A model of PostgreSQL: the stores in memory, behind a network, with commits that may fail in every way."""
