"""The epoch of a producer, and the end of it.

The broker identifies a transaction by its producer's id and epoch only. aiokafka repeats an unanswered request in the
same epoch. If the first request arrives late, it applies to the transaction that is then open: a late commit commits
half of the next transaction (KIP-890). So after an unanswered request the current transaction may finish, and the next
one needs a new epoch. The next producer's InitProducerId begins the epoch, and the broker refuses late requests.
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
    """The epoch of the producer that owns `client`. An error from the broker counts as an answer."""

    def __init__(self, client: Any, service: str, shard: int) -> None:
        self._send = client.send
        self._service = service
        self._shard = shard
        self._unanswered: str | None = None
        self._failed = False
        client.send = self._watched

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction of this epoch. Raises EpochOver when the previous transaction has failed, or when a request of
        this epoch got no answer."""
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
        except BaseException as error:  # a cancelled request may still be under way
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
