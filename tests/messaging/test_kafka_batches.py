"""Reading what was fetched: everything that is readable is read, and what is not has a record that says so."""

import gzip
from struct import pack, pack_into
from typing import Any

import cramjam
import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from hypothesis import example, given, settings
from hypothesis import strategies as st

from messaging.kafka import codecs
from messaging.kafka.batches import FetchedBatches, ReadablePartitionRecords
from messaging.ports.record import UNREADABLE
from tests.messaging.raw_batches import CODECS, HEADER_SIZE, batch_of, counting, placing, summed, with_payload

HERE = TopicPartition("a-topic", 0)


class _Partition:
    """A partition's log, which is fetched until its end as aiokafka does it. `max_fetches` is far more than that."""

    def __init__(self, *batches: bytearray) -> None:
        self.log = list(batches)
        self.position = 0
        self.fetches = 0

    def read(self, end: int, max_fetches: int = 50) -> list[Any]:
        """Every record below `end`."""
        got: list[Any] = []
        while self.position < end:
            self.fetches += 1
            assert self.fetches < max_fetches, f"stopped at {self.position} with {got}"
            records = ReadablePartitionRecords(
                HERE, FetchedBatches(self._from_position()), None, self.position, None, None, True, READ_COMMITTED
            )
            got.extend(records)
            self.position = records.next_fetch_offset
        return got

    def _from_position(self) -> bytes:
        """As a broker does: from the batch on that the position lies in."""
        starts = [int.from_bytes(batch[:8], "big") for batch in self.log]
        first = max(place for place, start in enumerate(starts) if start <= self.position)
        return b"".join(self.log[first:])


def _read(*batches: bytearray, end: int) -> list[bytes | str]:
    """Values, and for what cannot be read the reason."""
    got = _Partition(*batches).read(end)
    offsets = [record.offset for record in got]
    assert offsets == sorted(set(offsets)), "each offset once, and in order"
    assert all(0 <= offset < end for offset in offsets)
    return [dict(record.headers).get(UNREADABLE, b"").decode() or record.value for record in got]


@pytest.mark.parametrize("codec", [0, *CODECS.values()])
def test_batches_of_all_codecs_are_read(codec: int) -> None:
    values = [f"value {number} ".encode() * 50 for number in range(2000)]

    assert _read(batch_of(values[:1500], codec=codec), batch_of(values[1500:], base_offset=1500), end=2000) == values


def test_what_a_codec_joins_from_several_parts_is_read() -> None:
    payload = batch_of([b"a" * 200, b"b" * 200])[HEADER_SIZE:]
    left, right = bytes(payload[:99]), bytes(payload[99:])
    blocks = [bytes(cramjam.snappy.compress_raw(part)) for part in (left, right)]
    xerial = b"\x82SNAPPY\0" + pack(">ii", 1, 1) + b"".join(pack(">i", len(block)) + block for block in blocks)
    compressed = {
        "gzip": gzip.compress(left) + gzip.compress(right),
        "snappy": xerial,
        "lz4": bytes(cramjam.lz4.compress(left)) + bytes(cramjam.lz4.compress(right)),
        "zstd": bytes(cramjam.zstd.compress(left)) + bytes(cramjam.zstd.compress(right)),
    }
    for codec, data in compressed.items():
        assert _read(with_payload(data, codec=CODECS[codec], count=2), end=2) == [b"a" * 200, b"b" * 200], codec
    plain_snappy = bytes(cramjam.snappy.compress_raw(payload))
    assert _read(with_payload(plain_snappy, codec=CODECS["snappy"], count=2), end=2) == [b"a" * 200, b"b" * 200]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("payload", [b"", b"garbage", b"\xff" * 100, b"\x82SNAPPY\0\0\0\0\1\0\0\0\1\xff\xff\xff\xff"])
def test_a_batch_that_cannot_be_decompressed_is_one_record_that_names_its_offsets(codec: str, payload: bytes) -> None:
    broken = with_payload(payload, codec=CODECS[codec], count=3, base_offset=1)

    (before, reason, after) = _read(batch_of([b"before"]), broken, batch_of([b"after"], base_offset=4), end=5)

    assert (before, after) == (b"before", b"after")
    assert str(reason).startswith(f"the batch of offsets 1 to 3 cannot be read: its {codec} data is corrupt")


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_becomes_too_large_is_not_read(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "LARGEST", 100_000)
    fits, bomb = batch_of([bytes(99_000)], codec=CODECS[codec]), batch_of([bytes(200_000)], codec=CODECS[codec])

    (value, reason) = _read(fits, summed(bomb, base_offset=1), end=2)

    assert value == bytes(99_000)
    assert "becomes larger than 100000 bytes" in str(reason)


def test_an_unknown_codec_and_an_old_format_are_named() -> None:
    old = batch_of([b"old"], base_offset=1)
    old[16] = 1

    (codec, form, after) = _read(with_payload(b"", codec=5), old, batch_of([b"after"], base_offset=2), end=3)

    assert codec == "the record at offset 0 cannot be read: its codec 5 is none of Kafka's four"
    assert form == "the record at offset 1 cannot be read: it has another format than Kafka's second"
    assert after == b"after"


@pytest.mark.parametrize("codec", [0, *CODECS.values()])
@pytest.mark.parametrize("odd", [[0], [1], [2], [0, 2], [0, 1, 2]])
def test_only_the_records_that_cannot_be_read_are_lost_and_not_their_neighbours(codec: int, odd: list[int]) -> None:
    values = [b"a", b"b", b"c"]

    got = _read(batch_of(values, codec=codec, odd=odd), batch_of([b"after"], base_offset=3), end=4)

    assert [value for value in got if isinstance(value, bytes)] == [
        *(value for place, value in enumerate(values) if place not in odd),
        b"after",
    ]
    for place in odd:
        assert str(got[place]).startswith(f"the record at offset {place} cannot be read: UnicodeDecodeError: 'utf-8'")


@pytest.mark.parametrize("offset_delta", [-1, 0, 2, 2**31, -(2**31)])
def test_a_record_that_claims_the_offset_of_another_one_does_not_lead_astray(offset_delta: int) -> None:
    first, reason, last, after = _read(
        placing(batch_of([b"a", b"b", b"c"]), 1, offset_delta), batch_of([b"after"], base_offset=3), end=4
    )

    assert (first, last, after) == (b"a", b"c", b"after")
    assert str(reason) == f"the record at offset 1 cannot be read: ValueError: its offset is {offset_delta} and not 1"


def test_a_compacted_batch_has_gaps_and_may_end_before_its_last_offset() -> None:
    compacted = counting(placing(batch_of([b"a", b"c"]), 1, 2), count=2, last_offset_delta=4)

    assert _read(compacted, batch_of([b"after"], base_offset=5), end=6) == [b"a", b"c", b"after"]


@pytest.mark.parametrize("count", [-1, 0, 1, 4, 2**31 - 1])
def test_a_batch_that_miscounts_its_records_is_read_whole(count: int) -> None:
    miscounted = counting(batch_of([b"a", b"b", b"c"]), count, 2)

    assert _read(miscounted, batch_of([b"after"], base_offset=3), end=4) == [b"a", b"b", b"c", b"after"]


def test_a_batch_with_fewer_records_than_offsets_says_which_are_not_there() -> None:
    short = counting(batch_of([b"a", b"b"]), 5, 4)

    got = _read(short, batch_of([b"after"], base_offset=5), end=6)

    assert got == [b"a", b"b", "the batch of offsets 2 to 4 cannot be read: it ends too early", b"after"]


def test_a_batch_whose_checksum_is_wrong_is_one_record_and_what_follows_is_fetched_anew() -> None:
    rotten = batch_of([b"a", b"b", b"c"])
    rotten[-1] ^= 0xFF
    partition = _Partition(rotten, batch_of([b"after"], base_offset=3))

    (stand_in, after) = partition.read(end=4)

    assert (stand_in.offset, after.value) == (2, b"after")
    assert "the batch of offsets 0 to 2 cannot be read: its checksum is wrong" in str(stand_in.headers)
    assert partition.fetches == 2


@pytest.mark.parametrize("rotten_delta", [0, 1, 100, 2**31 - 1, -1, -(2**31)])
def test_a_checksum_that_is_wrong_because_of_the_offsets_gives_up_one_offset_at_a_time(rotten_delta: int) -> None:
    rotten = batch_of([b"a", b"b", b"c"])
    pack_into(">i", rotten, 23, rotten_delta)

    got = _read(rotten, batch_of([b"after"], base_offset=3), end=4)

    assert got[-1] == b"after"
    assert all("checksum" in str(reason) for reason in got[:-1])


def test_a_first_batch_that_is_cut_short_is_given_up_and_a_last_one_waited_for() -> None:
    whole, cut = batch_of([b"a"]), batch_of([b"b"], base_offset=1)[:-3]

    fetched = FetchedBatches(bytes(whole + cut))
    assert fetched.next_batch().next_offset == 1
    assert not fetched.has_next()
    assert _read(whole, cut, end=2) == [b"a", "the record at offset 1 cannot be read: it is cut short"]


@example(0, [(22, 0x20)], True)  # a record of ours as the end of a transaction
@given(
    st.sampled_from([0, *CODECS.values()]),
    st.lists(st.tuples(st.integers(12, 10_000), st.integers(1, 255)), min_size=1, max_size=5),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_whatever_is_wrong_with_a_batch_what_follows_is_read(
    codec: int, flips: list[tuple[int, int]], sum_is_right: bool
) -> None:
    broken = batch_of([b"a" * 40, b"b" * 40, b"c" * 40], codec=codec, base_offset=1)
    for place, bits in flips:
        broken[12 + (place - 12) % (len(broken) - 12)] ^= bits
    if sum_is_right:
        summed(broken, base_offset=1)

    got = _Partition(batch_of([b"before"]), broken, batch_of([b"after"], base_offset=4)).read(end=5)

    assert got[0].value == b"before"
    assert got[-1].value == b"after" or broken[23:27] != b"\0\0\0\2", "unless it claims offsets of the next batch"
