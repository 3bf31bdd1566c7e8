"""One epoch of a producer, and when no other transaction may begin in it.

To the broker a transaction is its producer's id and epoch, and nothing more. aiokafka repeats a request that got no
answer in the same epoch. If the first one was only late, it is about whatever transaction it then finds: a commit
commits half of the next one (KIP-890). So the transaction at hand may be finished after such a request, but the next
one needs a new epoch. The next producer's InitProducerId begins it, and the broker refuses what is late.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from messaging.engine.metrics import UNANSWERED

log = structlog.get_logger("kafka")


class EpochOver(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """No other transaction may begin in this epoch. The text says why."""


class Epoch:
    """The epoch of the producer whose client this is. An answer that is an error is an answer."""

    def __init__(self, client: Any, service: str, shard: int) -> None:
        self._send = client.send
        self._service = service
        self._shard = shard
        self._unanswered: str | None = None
        self._failed = False
        client.send = self._watched

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction of this epoch. Raises EpochOver when the one before has failed, or when any request got no
        answer since the epoch began."""
        if self._failed:
            raise EpochOver("the transaction before has failed, and its outcome may be unknown")
        if self._unanswered is not None:
            UNANSWERED.labels(self._service, self._unanswered).inc()
            raise EpochOver(f"{self._unanswered} got no answer and may arrive late, so a new epoch begins")
        self._failed = True
        yield
        self._failed = False

    async def _watched(self, node: Any, request: Any, **options: Any) -> Any:
        try:
            return await self._send(node, request, **options)
        except BaseException as error:  # a request that somebody gave up is under way, too
            if self._unanswered is None:
                self._unanswered = type(request).__name__.removesuffix("Request")
                log.warning(
                    "a request got no answer",
                    service=self._service,
                    shard=self._shard,
                    request=self._unanswered,
                    node=node,
                    error=f"{type(error).__name__}: {error}",
                )
            raise
