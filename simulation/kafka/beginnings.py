"""Where the members of groups begin to read, as their requests and the answers to these show it."""

from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.protocol.commit import OffsetFetchRequest_v3
from aiokafka.protocol.offset import OffsetRequest_v2

_EARLIEST: Final = -2
_NONE: Final = -1


@dataclass(slots=True)
class Beginnings:
    """What each client was told about the committed offsets of its group. `made_up` has the clients that have asked for
    the oldest record of a partition although the last answer was an offset, or there was no answer."""

    made_up: list[tuple[str, str, int]] = field(default_factory=list)
    _asked: set[tuple[str, str, int]] = field(default_factory=set)
    _new: set[tuple[str, str, int]] = field(default_factory=set)

    def answered(self, client: str, request: Any, response: Any) -> None:
        """A request of a client was answered, whether the answer arrives or not."""
        if isinstance(request, OffsetFetchRequest_v3):
            self._asked.update((client, topic, number) for topic, them in request.topics or () for number in them)
            for topic, partitions in response.topics:
                for number, offset, *_ in partitions:
                    place = (client, topic, number)
                    (self._new.add if offset == _NONE else self._new.discard)(place)
        elif isinstance(request, OffsetRequest_v2):
            places = [
                (client, topic, number) for topic, them in request.topics for number, at in them if at == _EARLIEST
            ]
            self.made_up += [place for place in places if place in self._asked and place not in self._new]
