"""Where the members of groups begin to read, and what they were told about that."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.protocol.commit import OffsetFetchRequest_v3

from simulation.event_loop import MACHINE

_OLDEST: Final = 0
_NONE: Final = -1

Place: TypeAlias = tuple[str, str, int]
"""A client, a topic and a partition."""


@dataclass(slots=True)
class Beginnings:
    """`made_up` has the places where a member has begun with the oldest record, and nobody had told it since it has its
    partitions that its group has committed no offset."""

    made_up: list[Place] = field(default_factory=list)
    _told_none_at: dict[Place, float] = field(default_factory=dict)

    def answered(self, client: str, request: Any, response: Any) -> None:
        """A request of a client was answered, whether the answer arrives or not."""
        if isinstance(request, OffsetFetchRequest_v3):
            for topic, partitions in response.topics:
                for number, offset, *_ in partitions:
                    if offset == _NONE:
                        self._told_none_at[client, topic, number] = _now()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block, whatever a member decides on is noted."""
        make, seek = Assignment.__init__, AIOKafkaConsumer.seek
        since: dict[Assignment, float] = {}

        def made(assignment: Assignment, partitions: Any) -> None:
            make(assignment, partitions)
            since[assignment] = _now()

        def sought(consumer: Any, partition: TopicPartition, offset: int) -> None:
            if consumer._group_id is not None and offset == _OLDEST:
                place = (MACHINE.get().name, *partition)
                assigned_at = since[consumer._subscription.subscription.assignment]
                if self._told_none_at.get(place, -1.0) < assigned_at:
                    self.made_up.append(place)
            seek(consumer, partition, offset)

        with patch.object(Assignment, "__init__", made), patch.object(AIOKafkaConsumer, "seek", sought):
            yield


def _now() -> float:
    return asyncio.get_running_loop().time()
