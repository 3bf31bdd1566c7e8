"""`*_DATABASE_URL=embedded`: a real PostgreSQL on this machine, from a wheel, with its data in a folder.

It is the server of production, with fsync on. Only its installation is easier. It outlives a kill -9 of the process
that started it, and the next start attaches to it. It stops when the last process that uses it ends.
"""

from messaging.runtime.embedded_postgres.programs import EmbeddedPostgresUnavailable
from messaging.runtime.embedded_postgres.use import open_database

__all__ = ["EmbeddedPostgresUnavailable", "open_database"]
