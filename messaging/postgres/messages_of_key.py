"""The messages of one key in a service's database, for an operator to look at."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from messaging.ports.message import Message
from messaging.ports.outbox import shard_of
from messaging.postgres.pool import Pool

_LOOKED_AT = 200_000
_LISTED = 100

# The outbox has no index by key. So the oldest rows of the key's shard are looked at, and not all of a long queue.
_WAITING = f"""
    select id, event_id, topic, key, headers, value, created_at
    from (select * from outbox where shard = $1 order by id limit {_LOOKED_AT}) as oldest
    where key = $2 order by id limit {_LISTED}
"""
_HANDLED = "select event_id from inbox where event_id = any($1::uuid[])"


@dataclass(frozen=True, slots=True)
class Unpublished:
    """A message that waits in the outbox, in this row and since then."""

    row_id: int
    message: Message
    since: datetime


async def unpublished(pool: Pool, key: str) -> Sequence[Unpublished]:
    """The oldest messages of a key that wait in the outbox, at most a hundred of them. Raises StoreUnavailable."""
    return [
        Unpublished(
            row["id"],
            Message(row["event_id"], row["topic"], row["key"], json.loads(row["headers"]), bytes(row["value"])),
            row["created_at"],
        )
        for row in await pool.fetch(_WAITING, shard_of(key), key)
    ]


async def handled_among(pool: Pool, event_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the messages that the service has handled, as far as it remembers. Raises StoreUnavailable."""
    return {row["event_id"] for row in await pool.fetch(_HANDLED, list(event_ids))} if event_ids else set()
