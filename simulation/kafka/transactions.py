"""The transaction coordinator: producer ids, epochs and the ends of transactions, as in protocol version 1.

A late or a repeated EndTxn ends whatever transaction of its epoch is open then (KIP-890). Brokers do that, and so does
this model.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from simulation.kafka import codes
from simulation.kafka.partition import Partition

_LONGEST_EPOCH: Final = 32_000


class State(Enum):
    """The state of a transactional id."""

    EMPTY = auto()
    ONGOING = auto()
    COMMITTING = auto()
    ABORTING = auto()
    COMMITTED = auto()
    ABORTED = auto()


_ENDING = frozenset({State.COMMITTING, State.ABORTING})


@dataclass(slots=True)
class _Transaction:
    """The transaction of a transactional id."""

    producer_id: int
    epoch: int = -1
    timeout: float = 60.0
    state: State = State.EMPTY
    partitions: dict[tuple[str, int], Partition] = field(default_factory=dict)
    began: float = 0.0


class Transactions:
    """All transactional ids. `pause` is awaited before each marker is written."""

    def __init__(
        self, pause: Callable[[], Iterable[float]], later: Callable[..., None], now: Callable[[], float]
    ) -> None:
        self._ids: dict[str, _Transaction] = {}
        self._by_producer: dict[int, _Transaction] = {}
        self._numbers = itertools.count(1000)
        self._pause = pause
        self._later = later
        self._now = now

    def init(self, name: str, timeout: float) -> tuple[int, int, int]:
        """An error code, the producer id, and an epoch that ends the one before."""
        found = self._ids.get(name)
        if found is None:
            found = self._ids[name] = _Transaction(next(self._numbers))
            self._by_producer[found.producer_id] = found
        if found.state is State.ONGOING:
            found.epoch += 1
            self._end(found, commit=False)
        if found.state in _ENDING:
            return codes.CONCURRENT_TRANSACTIONS, -1, -1
        if found.epoch >= _LONGEST_EPOCH:
            raise AssertionError("a simulation is not meant to use up the epochs of a producer")
        found.epoch += 1
        found.timeout, found.state = timeout, State.EMPTY
        return codes.OK, found.producer_id, found.epoch

    def add(self, name: str, producer_id: int, epoch: int, partitions: Iterable[Partition]) -> int:
        """Begin or extend the transaction. Returns an error code."""
        found = self._ids.get(name)
        if error := _wrong(found, producer_id, epoch):
            return error
        assert found is not None
        if found.state in _ENDING:
            return codes.CONCURRENT_TRANSACTIONS
        if found.state is not State.ONGOING:
            found.partitions, found.began = {}, self._now()
        found.state = State.ONGOING
        found.partitions |= {(each.topic, each.number): each for each in partitions}
        return codes.OK

    def end(self, name: str, producer_id: int, epoch: int, *, commit: bool) -> int:
        """End the transaction of this epoch, whichever is open. Returns an error code."""
        found = self._ids.get(name)
        if error := _wrong(found, producer_id, epoch):
            return error
        assert found is not None
        match found.state, commit:
            case State.ONGOING, _:
                self._end(found, commit=commit)
                return codes.OK
            case (State.COMMITTED, True) | (State.ABORTED, False):
                return codes.OK
            case (State.COMMITTING, True) | (State.ABORTING, False):
                return codes.CONCURRENT_TRANSACTIONS
        return codes.INVALID_TXN_STATE

    def holds(self, producer_id: int, epoch: int, partition: Partition) -> bool:
        """True when the partition is in the open transaction of this producer and epoch."""
        found = self._by_producer.get(producer_id)
        return (
            found is not None
            and found.epoch == epoch
            and found.state is State.ONGOING
            and (partition.topic, partition.number) in found.partitions
        )

    def abort_old_ones(self) -> None:
        """Abort the transactions whose producers have been silent for too long."""
        for found in self._ids.values():
            if found.state is State.ONGOING and self._now() - found.began > found.timeout:
                found.epoch += 1
                self._end(found, commit=False)

    def _end(self, transaction: _Transaction, *, commit: bool) -> None:
        transaction.state = State.COMMITTING if commit else State.ABORTING
        left = dict(transaction.partitions)
        pauses = iter(self._pause())

        def write(at: tuple[str, int]) -> None:
            left.pop(at).end_transaction(transaction.producer_id, transaction.epoch, self._now(), commit=commit)
            if not left:
                transaction.state = State.COMMITTED if commit else State.ABORTED

        for at in sorted(left):
            self._later(next(pauses), write, at)
        if not left:
            transaction.state = State.COMMITTED if commit else State.ABORTED


def _wrong(found: _Transaction | None, producer_id: int, epoch: int) -> int:
    """The error code for a request that is not of the present epoch, or 0."""
    if found is None or found.producer_id != producer_id:
        return codes.INVALID_PRODUCER_ID_MAPPING
    return codes.INVALID_PRODUCER_EPOCH if found.epoch != epoch else codes.OK
