"""A partition: its log, what its leader knows about producers, and the transactions that are open in it."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from simulation.kafka import codes
from simulation.kafka.record_batch import RecordBatch, marker, placed

_REMEMBERED: Final = 5
"""A leader knows the last five batches of each producer again."""


@dataclass(slots=True)
class _Producer:
    """What the leader knows of a producer id: its newest epoch and its last batches."""

    epoch: int
    last: deque[RecordBatch] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


@dataclass(frozen=True, slots=True)
class Aborted:
    """An aborted transaction: the offsets from its first record to its marker."""

    producer_id: int
    first: int
    last: int


@dataclass(slots=True)
class Partition:
    """The log of one partition. All replicas are one in this model."""

    topic: str
    number: int
    log: list[RecordBatch] = field(default_factory=list)
    aborted: list[Aborted] = field(default_factory=list)
    open: dict[int, int] = field(default_factory=dict)
    _producers: dict[int, _Producer] = field(default_factory=dict)
    _readers: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The offset of the next record."""
        return self.log[-1].last + 1 if self.log else 0

    @property
    def last_stable_offset(self) -> int:
        """Below it every transaction has ended."""
        return min(self.open.values(), default=self.end)

    def append(self, data: bytes, *, is_in_transaction: bool) -> tuple[int, int]:
        """Store a produced batch. Returns an error code and the offset of its first record.

        `is_in_transaction` says whether the coordinator has this partition in the open transaction of the batch's
        producer and epoch (KIP-890, part 1).
        """
        batch = placed(data, self.end)
        producer = self._producers.get(batch.producer_id)
        if producer is not None and batch.epoch < producer.epoch:
            return codes.INVALID_PRODUCER_EPOCH, -1
        if producer is None or batch.epoch > producer.epoch:
            producer = _Producer(batch.epoch)
        for before in producer.last:
            if before.sequence == batch.sequence:
                return codes.OK, before.first
        expected = producer.last[-1].sequence + producer.last[-1].count if producer.last else 0
        if batch.sequence != expected:
            return codes.OUT_OF_ORDER_SEQUENCE_NUMBER, -1
        if not is_in_transaction:
            return codes.INVALID_TXN_STATE, -1
        self._producers[batch.producer_id] = producer
        producer.last.append(batch)
        self.open.setdefault(batch.producer_id, batch.first)
        self._store(batch)
        return codes.OK, batch.first

    def append_plain(self, data: bytes) -> int:
        """Store a batch of a producer that is not known by an id. Returns the offset of its first record."""
        batch = placed(data, self.end)
        self._store(batch)
        return batch.first

    def end_transaction(self, producer_id: int, epoch: int, at: float, *, commit: bool) -> None:
        """Write the marker of a transaction. From now on the leader refuses earlier epochs of its producer."""
        producer = self._producers.get(producer_id)
        if producer is None or epoch > producer.epoch:
            self._producers[producer_id] = _Producer(epoch)
        end = marker(self.end, producer_id, epoch, at, commit=commit)
        first = self.open.pop(producer_id, None)
        if first is not None and not commit:
            self.aborted.append(Aborted(producer_id, first, end.first))
        self._store(end)

    def read(self, offset: int, *, committed: bool, at_most: int) -> tuple[bytes, list[tuple[int, int]]]:
        """The batches from the one with `offset` on, and the aborted transactions among them. At least one batch is
        returned, if there is any."""
        below = self.last_stable_offset if committed else self.end
        found: list[bytes] = []
        size, last = 0, offset - 1
        for batch in self.log[self._place_of(offset) :]:
            if batch.first >= below or (found and size + len(batch.data) > at_most):
                break
            found.append(batch.data)
            size, last = size + len(batch.data), batch.last
        aborted = [
            (each.producer_id, each.first) for each in self.aborted if each.last >= offset and each.first <= last
        ]
        return b"".join(found), aborted if committed else []

    def changed(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Done once something was stored here."""
        reader: asyncio.Future[None] = loop.create_future()
        self._readers.append(reader)
        return reader

    def _store(self, batch: RecordBatch) -> None:
        self.log.append(batch)
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)

    def _place_of(self, offset: int) -> int:
        low, high = 0, len(self.log)
        while low < high:
            middle = (low + high) // 2
            if self.log[middle].last < offset:
                low = middle + 1
            else:
                high = middle
        return low
