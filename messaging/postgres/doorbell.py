"""Waking the relays of new messages after the commit.

A NOTIFY holds a lock of the whole server, for all databases, until its transaction is on disk and on the standbys. So
no commit of an order notifies. The notification comes afterwards, in a transaction that waits for neither. It may be
lost with the process, and then the relays find the messages by polling.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import structlog

from messaging.postgres.connection import CommitConnection

CHANNEL: Final = "outbox"
_NOTIFY = f"select pg_notify('{CHANNEL}', $1)"
_AT_MOST_EVERY = 0.005
_CLOSE_WITHIN = 1.0

log = structlog.get_logger("outbox")

Wake: TypeAlias = Callable[[Iterable[int]], None]
"""Called after a commit with the shards of its messages. It returns at once."""


class Doorbell:
    """Wakes the relays of shards: those of this process directly, and others by a notification, at most one every few
    milliseconds. `here` are the shards whose relay is in this process."""

    def __init__(self, dsn: str, woken: Mapping[int, asyncio.Event]) -> None:
        self._connection = CommitConnection(dsn, settings={"synchronous_commit": "off"})
        self._woken = woken
        self.here: set[int] = set()
        self._elsewhere: set[int] = set()
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, shards: Iterable[int]) -> None:
        """See Wake."""
        for shard in set(shards):
            if shard in self.here:
                self._woken[shard].set()
            else:
                self._elsewhere.add(shard)
        if self._elsewhere and self._ringing is None:
            self._ringing = asyncio.create_task(self._notify(), name="notification of relays")

    async def _notify(self) -> None:
        try:
            while self._elsewhere:
                shards, self._elsewhere = self._elsewhere, set()
                await self._connection.fetch(_NOTIFY, ",".join(map(str, sorted(shards))))
                await asyncio.sleep(_AT_MOST_EVERY)
        except Exception as error:  # noqa: BLE001  a notification is a hint, and the next commit tries again
            log.info("relays were not notified", error=f"{type(error).__name__}: {error}")
        finally:
            self._ringing = None

    async def close(self) -> None:
        """Send the last notification, if that takes less than a second."""
        if self._ringing is not None:
            await asyncio.wait({self._ringing}, timeout=_CLOSE_WITHIN)
        if self._ringing is not None:
            self._ringing.cancel()
        await self._connection.close()
