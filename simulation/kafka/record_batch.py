"""Record batches as bytes, as far as a broker looks into them (Kafka's record format 2)."""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from aiokafka.record.util import calc_crc32c

_HEADER: Final = Struct(">q i i b I h i q q q h i i")
_BASE_OFFSET: Final = Struct(">q")
_FROM_ATTRIBUTES: Final = Struct(">h i q q q h i i")
_CRC: Final = Struct(">I")
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_CRC_AT: Final = 17


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """A batch in a partition. Its offsets are `first` to `last`."""

    first: int
    last: int
    data: bytes
    producer_id: int
    epoch: int
    sequence: int
    is_transactional: bool
    is_marker: bool

    @property
    def count(self) -> int:
        """How many offsets it takes."""
        return self.last - self.first + 1


def placed(data: bytes, offset: int) -> RecordBatch:
    """A produced batch, as it is stored from `offset` on."""
    header = _HEADER.unpack_from(data)
    attributes, last_delta, producer_id, epoch, sequence = header[5], header[6], header[9], header[10], header[11]
    return RecordBatch(
        offset,
        offset + last_delta,
        _BASE_OFFSET.pack(offset) + data[_BASE_OFFSET.size :],
        producer_id,
        epoch,
        sequence,
        bool(attributes & _TRANSACTIONAL),
        bool(attributes & _CONTROL),
    )


def marker(offset: int, producer_id: int, epoch: int, at: float, *, commit: bool) -> RecordBatch:
    """The batch that ends a transaction in a partition."""
    key, value = Struct(">h h").pack(0, 1 if commit else 0), Struct(">h i").pack(0, 0)
    body = bytes([0, 0, 0]) + _zigzag(len(key)) + key + _zigzag(len(value)) + value + bytes([0])
    record = _zigzag(len(body)) + body
    now = int(at * 1000)
    rest = _FROM_ATTRIBUTES.pack(_TRANSACTIONAL | _CONTROL, 0, now, now, producer_id, epoch, -1, 1) + record
    start = Struct(">q i i b").pack(offset, len(rest) + 9, 0, 2)
    return RecordBatch(offset, offset, start + _CRC.pack(calc_crc32c(rest)) + rest, producer_id, epoch, -1, True, True)


def _zigzag(number: int) -> bytes:
    """A small length as a variable-length integer."""
    if not 0 <= number < 64:
        raise ValueError(f"{number} takes more than one byte")
    return bytes([number << 1])
