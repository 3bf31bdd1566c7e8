"""Decompression of batches into bounded memory. A producer may use any of Kafka's four codecs."""

from collections.abc import Callable
from struct import unpack_from
from typing import Any

import cramjam

LARGEST = 16 * 1024 * 1024
"""The largest size of a decompressed batch. One compressed megabyte can hold gigabytes of zeros."""
_USUAL_RATIO = 32
_XERIAL = b"\x82SNAPPY\0"  # Java's header before snappy's blocks, followed by two version numbers
_XERIAL_HEADER = 16


class Undecodable(Exception):
    """The bytes cannot be decompressed. The text says why."""


def decompress(codec: int, data: memoryview) -> bytes:
    """Decompress with one of the codecs of Kafka's record format, 1 to 4. Raises Undecodable."""
    if codec not in _CODECS:
        raise Undecodable(f"its codec {codec} is none of Kafka's four")
    name, undo = _CODECS[codec]
    try:
        return undo(data)
    except Exception as error:  # noqa: BLE001  foreign bytes can make a codec raise anything
        raise Undecodable(f"its {name} data is corrupt, or becomes larger than {LARGEST} bytes: {error}") from None


def _into_bounds(codec: Any) -> Callable[[memoryview], bytes]:
    def undo(data: memoryview) -> bytes:
        usual = bytearray(min(LARGEST, _USUAL_RATIO * len(data)))
        try:
            return _used(usual, codec.decompress_into(data, usual))
        except cramjam.DecompressionError:  # also when it does not fit
            largest = bytearray(LARGEST)
            return _used(largest, codec.decompress_into(data, largest))

    return undo


def _used(room: bytearray, length: int) -> bytes:
    return bytes(memoryview(room)[:length])


def _undo_snappy(data: memoryview) -> bytes:
    if data[: len(_XERIAL)] != _XERIAL:
        return _undo_snappy_block(data, LARGEST)
    blocks: list[bytes] = []
    room, start = LARGEST, _XERIAL_HEADER
    while start < len(data):
        (length,) = unpack_from(">I", data, start)
        start += 4
        blocks.append(_undo_snappy_block(data[start : start + length], room))
        room -= len(blocks[-1])
        start += length
    return b"".join(blocks)


def _undo_snappy_block(data: memoryview, room: int) -> bytes:
    length = cramjam.snappy.decompress_raw_len(data)
    if length > room:
        raise Undecodable(f"{length} bytes")
    return bytes(cramjam.snappy.decompress_raw(data))


_CODECS: dict[int, tuple[str, Callable[[memoryview], bytes]]] = {
    1: ("gzip", _into_bounds(cramjam.gzip)),
    2: ("snappy", _undo_snappy),
    3: ("lz4", _into_bounds(cramjam.lz4)),
    4: ("zstd", _into_bounds(cramjam.zstd)),
}
