"""Reading fetched record batches. A record or batch that cannot be read is replaced by a record that says so, and
reading goes on behind it.

aiokafka reads batches inside its fetcher. It fetches an unreadable batch again and again, so the partition stops for
ever. A batch that is small on the wire may also fill all memory. These readers replace those of aiokafka (see `client`)
and use its parser.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from struct import Struct
from typing import Any

from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch
from aiokafka.record.util import decode_varint

from messaging.kafka.codecs import LARGEST, Undecodable, decompress
from messaging.ports.record import UNREADABLE

_LENGTH = Struct(">q i")  # base offset, and how many bytes follow
_HEADER = Struct(">q i i b I h i q q q h i i")  # of Kafka's record format 2
_CURRENT_FORMAT = 2
_MAGIC_AT = 16
_ATTRIBUTES_AT = 21
_COUNT_AT = 57
_CODEC = 0x07
_COUNT = Struct(">i")
_MARKER = Struct(">h h")  # the key of the record that ends a transaction: its version, and commit or abort
_SMALLEST_RECORD = 7


@dataclass(slots=True)
class Batch:
    """A batch with the interface that aiokafka's PartitionRecords uses."""

    base_offset: int
    next_offset: int
    records: Iterator[Any]
    producer_id: int | None = None
    is_control_batch: bool = False
    is_transactional: bool = False

    def validate_crc(self) -> bool:
        """Always true, because a batch with a wrong checksum was replaced before."""
        return True

    def __iter__(self) -> Iterator[Any]:
        return self.records

    def __next__(self) -> Any:
        return next(self.records)


class FetchedBatches:
    """The batches of one fetch from one partition. It replaces aiokafka's MemoryRecords."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._start = 0
        self._wanted = 0

    def begin_at(self, offset: int) -> None:
        """Set the offset that was asked for. The first batch may begin before it."""
        self._wanted = offset

    def size_in_bytes(self) -> int:
        """The size of everything that was fetched."""
        return len(self._data)

    def has_next(self) -> bool:
        """False also when the broker has cut off the last batch. The broker always sends the first batch as a whole."""
        return self._start < len(self._data) and (self._start == 0 or self._end() is not None)

    def next_batch(self) -> Batch:
        """The next batch, or a stand-in for an unreadable one. A stand-in is the last batch of the fetch.

        The rest is fetched again, with a new list of aborted transactions: the end of one may be in the unreadable
        batch.
        """
        end = self._end()
        if end is None:
            return self._unreadable(self._wanted, "it is cut short")
        data = self._data[self._start : end]
        base_offset, _ = _LENGTH.unpack_from(data)
        if len(data) < _HEADER.size or data[_MAGIC_AT] != _CURRENT_FORMAT:
            return self._unreadable(max(base_offset, self._wanted), "it has another format than Kafka's second")
        batch = DefaultRecordBatch(data)
        if not batch.validate_crc():
            return self._unreadable(self._last_offset(batch, data), "its checksum is wrong")
        records = _read(batch, data)
        if batch.is_control_batch:
            marker = next(records, None)
            if marker is None or len(marker.key or b"") < _MARKER.size:
                return self._unreadable(self._last_offset(batch, data), "it does not say how its transaction ended")
            records = chain([marker], records)
        self._start, self._wanted = end, batch.next_offset
        return Batch(
            base_offset,
            batch.next_offset,
            records,
            batch.producer_id,
            batch.is_control_batch,
            batch.is_transactional,
        )

    def _end(self) -> int | None:
        if len(self._data) - self._start < _LENGTH.size:
            return None
        _, length = _LENGTH.unpack_from(self._data, self._start)
        end = self._start + _LENGTH.size + int(length)
        return end if self._start < end <= len(self._data) else None

    def _last_offset(self, batch: Any, data: memoryview) -> int:
        """The last offset in the header if it is plausible. Otherwise only the requested offset is skipped."""
        (count,) = _COUNT.unpack_from(data, _COUNT_AT)
        last = int(batch.next_offset) - 1
        plausible = count == batch.last_offset_delta + 1 <= LARGEST // _SMALLEST_RECORD
        return last if plausible and last >= self._wanted else max(batch.base_offset, self._wanted)

    def _unreadable(self, last_offset: int, reason: str) -> Batch:
        self._start = len(self._data)
        first = min(self._wanted, last_offset)
        return Batch(first, last_offset + 1, iter([_stand_in(first, last_offset, reason)]))


class ReadablePartitionRecords(PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's PartitionRecords, which also tells the batches the offset that was asked for."""

    def __init__(
        self, tp: Any, records: FetchedBatches, aborted_transactions: Any, fetch_offset: int, *more: Any
    ) -> None:
        records.begin_at(fetch_offset)
        super().__init__(tp, records, aborted_transactions, fetch_offset, *more)


def _read(batch: Any, data: memoryview) -> Iterator[Any]:
    """Every record of a batch. Each offset lies in the batch and behind the previous one."""
    last = batch.next_offset - 1
    offsets = _Offsets(batch, data)
    try:
        if codec := batch.compression_type:
            data = _plain(data, decompress(codec, data[_HEADER.size :]))
            batch = DefaultRecordBatch(data)
    except Undecodable as reason:
        yield _stand_in(batch.base_offset, last, str(reason))
        return
    try:
        for record in batch:
            offsets.take(record.offset)
            yield record
    except Exception:  # noqa: BLE001  foreign bytes can make the parser raise anything
        yield from _read_one_by_one(data, offsets)


def _read_one_by_one(data: memoryview, offsets: "_Offsets") -> Iterator[Any]:
    """The records from the first unreadable one on, each read as a batch of its own."""
    already = offsets.taken
    for place, piece in enumerate(_pieces(data[_HEADER.size :])):
        if place < already:
            continue
        if offsets.next > offsets.last:
            return
        try:
            (record,) = DefaultRecordBatch(_plain(data, piece, count=1))
            offsets.take(record.offset)
        except Exception as error:  # noqa: BLE001  foreign bytes can make the parser raise anything
            record = _stand_in(*offsets.skip(), f"{type(error).__name__}: {error}")
        yield record
    if offsets.taken < offsets.count and offsets.next <= offsets.last:
        yield _stand_in(offsets.next, offsets.last, "it ends too early")


class _Offsets:
    """The offsets that the records of a batch may have. They have no gaps unless the topic is compacted."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        (self.count,) = _COUNT.unpack_from(data, _COUNT_AT)
        self.next = batch.base_offset
        self.last = batch.next_offset - 1
        self.taken = 0
        self._has_gaps = self.count <= batch.last_offset_delta

    def take(self, offset: int) -> None:
        """Take the offset of the next record. Raises ValueError for an impossible one."""
        if not self.next <= offset <= self.last or (offset > self.next and not self._has_gaps):
            raise ValueError(f"its offset is {offset} and not {self.next}")
        self.next = offset + 1
        self.taken += 1

    def skip(self) -> tuple[int, int]:
        """Give the next offset to a record whose own offset cannot be read."""
        self.take(self.next)
        return self.next - 1, self.next - 1


def _pieces(records: memoryview) -> Iterator[memoryview]:
    """Split records by the lengths before them. After an impossible length the rest is one piece."""
    start = 0
    while start < len(records):
        try:
            length, begin = decode_varint(bytearray(records[start : start + 10]), 0)
        except (IndexError, ValueError):
            length, begin = -1, 0
        end = start + begin + length
        if not start < end <= len(records):
            end = len(records)
        yield records[start:end]
        start = end


def _plain(data: memoryview, records: bytes | memoryview, count: int | None = None) -> memoryview:
    """The batch with these records, uncompressed."""
    header = bytearray(data[: _HEADER.size])
    header[_ATTRIBUTES_AT + 1] &= ~_CODEC
    if count is not None:
        _COUNT.pack_into(header, _COUNT_AT, count)
    return memoryview(bytes(header) + records)


def _stand_in(first: int, last: int, reason: str) -> Any:
    """A record that replaces those from `first` to `last`. It has the last offset, so that reading goes on behind them
    once it is committed."""
    which = f"the record at offset {last}" if first == last else f"the batch of offsets {first} to {last}"
    return DefaultRecord(last, 0, 0, None, None, [(UNREADABLE, f"{which} cannot be read: {reason}".encode())])
