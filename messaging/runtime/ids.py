"""The ids of a service."""

import uuid_utils
from asyncpg.pgproto.pgproto import UUID


def uuid7() -> UUID:
    """A new UUIDv7. It is the kind that asyncpg reads from the database, which makes its text and its bytes fast. Every
    id is written several times."""
    return UUID(uuid_utils.uuid7().bytes)
