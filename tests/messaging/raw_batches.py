"""Record batches byte by byte: as other programs make them, and as no program should."""

from collections.abc import Sequence
from struct import pack_into
from typing import Any

from aiokafka.record._crc32c import crc as crc32c
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.util import decode_varint, encode_varint

from messaging.ports.message import Message

HEADER_SIZE = 61
_LENGTH_AT, _MAGIC_AT, _CRC_AT, _ATTRIBUTES_AT, _LAST_DELTA_AT, _COUNT_AT = 8, 16, 17, 21, 23, 57
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class NotUtf8(str):
    """The name of a header as a client in another language can write it."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        """Bytes that no text has."""
        return b"\xff\xfe"


def batch_of(
    records: Sequence[Message | bytes], *, codec: int = 0, odd: Sequence[int] = (), base_offset: int = 0
) -> bytearray:
    """A batch of messages, or of values with the key "key". Those at `odd` places have one more header, whose name is
    not UTF-8."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, False, -1, -1, -1, 1 << 30)
    for place, record in enumerate(records):
        key, value, headers = (b"key", record, {}) if isinstance(record, bytes) else _parts(record)
        names: list[Any] = [*headers.items(), *([(NotUtf8("name"), b"value")] if place in odd else [])]
        builder.append(place, None, key, value, names)
    return summed(bytearray(builder.build()), base_offset=base_offset)


def _parts(message: Message) -> tuple[bytes, bytes, dict[str, bytes]]:
    return message.key.encode(), message.value, {name: value.encode() for name, value in message.headers.items()}


def with_payload(payload: bytes, *, codec: int, count: int = 1, base_offset: int = 0) -> bytearray:
    """A batch that claims to have `count` records in these compressed bytes."""
    data = batch_of([b""] * count)[:HEADER_SIZE] + payload
    data[_ATTRIBUTES_AT + 1] = codec
    return summed(data, base_offset=base_offset)


def counting(data: bytearray, count: int, last_offset_delta: int) -> bytearray:
    """The batch with other numbers in its header."""
    pack_into(">i", data, _COUNT_AT, count)
    pack_into(">i", data, _LAST_DELTA_AT, last_offset_delta)
    return summed(data)


def placing(data: bytearray, place: int, offset_delta: int) -> bytearray:
    """The batch, not compressed, in which the record at a place says that its offset is another."""
    at = HEADER_SIZE
    for _ in range(place):
        length, at = decode_varint(data, at)
        at += length
    length, begin = decode_varint(data, at)
    behind_attributes = begin + 1
    _, delta_at = decode_varint(data, behind_attributes)
    _, rest_at = decode_varint(data, delta_at)
    record = data[begin:delta_at] + _varint(offset_delta) + data[rest_at : begin + length]
    return summed(data[:at] + _varint(len(record)) + record + data[begin + length :])


def summed(data: bytearray, *, base_offset: int = 0) -> bytearray:
    """The batch with the length and the checksum that it should have."""
    pack_into(">q", data, 0, base_offset)
    pack_into(">i", data, _LENGTH_AT, len(data) - _LENGTH_AT - 4)
    pack_into(">I", data, _CRC_AT, crc32c(bytes(data[_ATTRIBUTES_AT:])))
    return data


async def send_raw(producer: Any, topic: str, batch: bytearray) -> int:
    """Have a producer send a batch to partition 0 as it is. Answers its first offset."""
    builder = producer.create_batch()
    builder._buffer, builder._relative_offset = batch, 1
    builder.close()
    return int((await (await producer.send_batch(builder, topic, partition=0))).offset)


def _varint(value: int) -> bytes:
    out = bytearray()
    encode_varint(value, out.append)
    return bytes(out)
