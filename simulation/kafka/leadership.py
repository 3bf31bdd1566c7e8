"""Which broker leads a partition, and which one coordinates a group or a transactional id."""

from typing import Final
from zlib import crc32

NODES: Final = (1, 2, 3)
_LEAST_COPIES: Final = 2
"""The min.insync.replicas of every topic."""


class Leadership:
    """Each partition and each key has a broker that is preferred. While that one is away another one leads.

    `away` are the brokers that nobody reaches. `passed_over` are those that lead nothing: their followers were elected,
    or they are back and not yet preferred again.
    """

    def __init__(self) -> None:
        self.away: set[int] = set()
        self.passed_over: set[int] = set()

    @property
    def is_short_of_copies(self) -> bool:
        """True when nothing can be stored safely, so nothing is stored."""
        return len(NODES) - len(self.away) < _LEAST_COPIES

    def leader(self, topic: str, number: int) -> int:
        """The broker that leads a partition."""
        return self._first(crc32(topic.encode()) + number)

    def coordinator(self, key: str) -> int:
        """The broker that coordinates a group or a transactional id."""
        return self._first(crc32(key.encode()))

    def _first(self, preferred: int) -> int:
        brokers = [NODES[(preferred + step) % len(NODES)] for step in range(len(NODES))]
        return next((node for node in brokers if node not in self.passed_over), brokers[0])
