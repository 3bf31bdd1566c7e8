"""How far a consumer has come, and how much of that the broker knows.

A commit of offsets is a request that the broker writes to its log, and the next batch waits for its answer. So commits
are at least a moment apart. What is handled in between comes again after a crash, and the inbox makes that harmless.
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

COMMIT_EVERY: Final = 0.1

log = structlog.get_logger("kafka-consumer")


class Progress:
    """The offsets behind what `consumer` has handled. The first commit after a quiet moment is due at once."""

    def __init__(self, consumer: Any, group: str) -> None:
        self._consumer = consumer
        self._group = group
        self._handled: dict[TopicPartition, int] = {}
        self._commit_at = -math.inf

    def handled(self, ends: Mapping[TopicPartition, int]) -> None:
        """The records before these offsets are handled."""
        self._handled.update(ends)

    @property
    def due_in(self) -> float:
        """Seconds until something must be committed; infinite when all is."""
        return max(0.0, self._commit_at - asyncio.get_running_loop().time()) if self._handled else math.inf

    async def commit(self) -> None:
        """Commit what is handled. A commit that comes after a rebalance is dropped, and the next owner gets the records
        again."""
        handled, self._handled = self._handled, {}
        self._commit_at = asyncio.get_running_loop().time() + COMMIT_EVERY
        mine = self._consumer.assignment()
        offsets = {partition: end for partition, end in handled.items() if partition in mine}
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except CommitFailedError as error:
            log.info("offsets not committed", group=self._group, error=f"{type(error).__name__}: {error}")
