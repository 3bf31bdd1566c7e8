"""What every place for unhandled records must do: keep each once, a key in order, and give it back when it is time."""

import asyncio
import random
import time

import pytest

from messaging.ports.failures import Failure
from messaging.ports.record import Record
from tests.messaging.conftest import FailuresUnderTest
from tests.messaging.records import TOPIC, failure, kept_records, record, records
from tests.real_parts.waiting import DEADLINE

STRANGE = {
    "nothing": "",
    "NUL": "a\0b",
    "lone surrogate": "\ud800",
    "beyond the BMP": "😀",
    "SQL": "'; drop table parked; --",
    "too long for an index": random.Random(0).randbytes(5000).hex(),
    "long, of NULs": "\0" * 5000,
}


async def test_a_parked_key_is_known_and_another_is_not(kept: FailuresUnderTest) -> None:
    await kept.failures.park([failure(record("a")), failure(record("b"))])

    assert await kept.seen_by_another.parked_among(["a", "b", "c"]) == {"a", "b"}
    assert await kept.seen_by_another.parked_among(["c"]) == set()
    assert await kept.seen_by_another.parked_among([]) == set()


async def test_records_of_a_key_come_back_in_the_order_in_which_they_were_parked(kept: FailuresUnderTest) -> None:
    first, second, other, third = records("a", "a", "b", "a")
    await kept.failures.park([failure(first), failure(second)])
    await kept.failures.park([failure(other)])
    await kept.failures.park([failure(third)])

    came = []
    while oldest := await kept.seen_by_another.oldest_of("a"):
        came.append(oldest.record)
        await kept.failures.forget(oldest.id)

    assert came == [first, second, third]
    assert await kept.failures.parked_among(["a", "b"]) == {"b"}


async def test_a_record_comes_back_as_it_was_delivered(kept: FailuresUnderTest) -> None:
    strange = Record(TOPIC, 7, 2**40, "Größe 😀", {"ce_id": "x", "a": 'quoted " \\ \u2028', "": ""}, b"\0\xff{")
    await kept.failures.park([failure(strange, attempts=3)])

    oldest = await kept.failures.oldest_of("Größe 😀")

    assert oldest is not None
    assert oldest.record == strange
    assert oldest.attempts == 3
    assert await kept.parked() == [failure(strange, attempts=3)]


async def test_a_record_that_is_parked_already_stays_where_it_is(kept: FailuresUnderTest) -> None:
    first, second, third = records("a", "a", "a")
    await kept.failures.park([failure(first), failure(second)])
    await kept.seen_by_another.park([failure(first, "again", 9), failure(second, "again", 9), failure(third)])

    assert await kept.parked() == [failure(first), failure(second), failure(third)]


async def test_a_dead_letter_that_is_there_already_stays(kept: FailuresUnderTest) -> None:
    one = record("a")
    await kept.failures.bury(failure(one, "it cannot be read", 1))
    await kept.seen_by_another.bury(failure(one, "again", 2))

    assert await kept.dead() == [failure(one, "it cannot be read", 1)]


async def test_another_record_in_the_place_of_an_old_one_is_kept_beside_it(kept: FailuresUnderTest) -> None:
    """A topic that was made anew, or a new database behind the in-process broker, numbers its records anew."""
    old, new = record("a", value=b"old"), record("b", value=b"new")
    new = Record(old.topic, old.partition, old.offset, new.key, new.headers, new.value)
    for each in (old, new):
        await kept.failures.park([failure(each)])
        await kept.failures.bury(failure(each))

    assert kept_records(await kept.parked()) == [old, new]
    assert kept_records(await kept.dead()) == [old, new]


async def test_what_is_buried_out_of_the_parked_ones_is_dead_and_parked_no_more(kept: FailuresUnderTest) -> None:
    first, second = records("a", "a")
    await kept.failures.park([failure(first), failure(second)])
    oldest = await kept.failures.oldest_of("a")
    assert oldest is not None

    await kept.failures.bury(failure(first, "it cannot be read", 4), oldest.id)

    assert await kept.dead() == [failure(first, "it cannot be read", 4)]
    assert await kept.parked() == [failure(second)]


async def test_a_key_is_due_a_moment_after_it_was_parked(kept: FailuresUnderTest) -> None:
    parked_at = time.monotonic()
    await kept.failures.park([failure(record("a"))])

    async with asyncio.timeout(DEADLINE):
        while await kept.seen_by_another.due(10) != ["a"]:
            await asyncio.sleep(0.05)
    assert time.monotonic() - parked_at > 0.9


async def test_a_key_is_due_when_its_oldest_record_is_whatever_lies_behind(kept: FailuresUnderTest) -> None:
    await kept.failures.park([failure(each) for each in records("a", "b", "a", "b")])
    await kept.make_due()
    oldest = await kept.failures.oldest_of("a")
    assert oldest is not None
    await kept.failures.postpone(oldest.id, "not yet", 1000)

    assert await kept.failures.due(10) == ["b"]


async def test_what_is_postponed_keeps_its_place_and_says_why(kept: FailuresUnderTest) -> None:
    first, second = records("a", "a")
    await kept.failures.park([failure(first, "one reason", 3), failure(second)])
    oldest = await kept.failures.oldest_of("a")
    assert oldest is not None

    await kept.failures.postpone(oldest.id, "another reason", 1000)

    assert await kept.parked() == [failure(first, "another reason", 4), failure(second)]


async def test_no_more_keys_are_due_at_once_than_are_asked_for(kept: FailuresUnderTest) -> None:
    await kept.failures.park([failure(record(str(number))) for number in range(7)])
    await kept.make_due()

    assert len(set(await kept.failures.due(3))) == 3
    assert len(set(await kept.failures.due(100))) == 7


async def test_what_is_not_there_any_more_can_be_postponed_and_forgotten(kept: FailuresUnderTest) -> None:
    """Two instances sweep; the other one was faster."""
    await kept.failures.park([failure(record("a"))])
    oldest = await kept.failures.oldest_of("a")
    assert oldest is not None
    await kept.seen_by_another.forget(oldest.id)

    await kept.failures.postpone(oldest.id, "too late", 1)
    await kept.failures.forget(oldest.id)

    assert await kept.parked() == []
    assert await kept.failures.due(10) == []


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
async def test_no_key_header_or_error_is_too_strange_to_be_kept(kept: FailuresUnderTest, text: str) -> None:
    strange = record(text)
    strange = Record(strange.topic, strange.partition, strange.offset, text, {text: text}, text.encode(errors="ignore"))

    await kept.failures.park([Failure(strange, text, 3)])
    await kept.failures.bury(Failure(strange, text, 1))

    assert await kept.failures.parked_among([text, "another"]) == {text}
    await kept.make_due()
    (key,) = await kept.failures.due(10)
    oldest = await kept.failures.oldest_of(key)
    assert oldest == await kept.failures.oldest_of(text)
    assert oldest is not None
    assert oldest.record.value == strange.value
    await kept.failures.postpone(oldest.id, text, 1)
    await kept.failures.forget(oldest.id)
    assert await kept.failures.parked_among([text]) == set()
    assert [each.record.offset for each in await kept.dead()] == [strange.offset]
