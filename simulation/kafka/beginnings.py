"""Where the members of groups begin to read, and what they were told about that."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.commit import OffsetFetchRequest_v3

from simulation.event_loop import MACHINE

_OLDEST: Final = 0
_NONE: Final = -1


@dataclass(slots=True)
class Beginnings:
    """`made_up` has the clients, topics and partitions where a member has begun with the oldest record although it was
    last told that its group has committed an offset, or was told nothing."""

    made_up: list[tuple[str, str, int]] = field(default_factory=list)
    _new: set[tuple[str, str, int]] = field(default_factory=set)

    def answered(self, client: str, request: Any, response: Any) -> None:
        """A request of a client was answered, whether the answer arrives or not."""
        if isinstance(request, OffsetFetchRequest_v3):
            self._new -= {(client, topic, number) for topic, them in request.topics or () for number in them}
            for topic, partitions in response.topics:
                self._new |= {(client, topic, number) for number, offset, *_ in partitions if offset == _NONE}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block, whatever a member decides on is noted."""
        seek = AIOKafkaConsumer.seek

        def sought(consumer: Any, partition: TopicPartition, offset: int) -> None:
            place = (MACHINE.get().name, *partition)
            if consumer._group_id is not None and offset == _OLDEST and place not in self._new:
                self.made_up.append(place)
            seek(consumer, partition, offset)

        with patch.object(AIOKafkaConsumer, "seek", sought):
            yield
