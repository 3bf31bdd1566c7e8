"""The consumer: every record is handled, parked behind its key's failing head, or a dead letter; there is no fourth
place, and a key keeps its order."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from messaging.engine import consumer as consumer_module
from messaging.engine.consumer import ATTEMPTS, Consumer
from messaging.ports.changes import StoreUnavailable
from messaging.ports.failures import Failure
from messaging.ports.message import timestamp
from messaging.ports.record import Record, Rejected
from tests.messaging.conftest import FailuresUnderTest
from tests.messaging.consumers import COMMANDS, DEADLINE, Effects, until
from tests.messaging.records import failure, kept_records, record, records, with_headers

BROKEN = RuntimeError("it is broken")
BEHIND = "an earlier record of its key is parked"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_FIRST_PAUSE", 0.0)


async def test_keys_are_handled_concurrently_and_the_records_of_one_in_order(kept: FailuresUnderTest) -> None:
    effects = Effects()
    first, other, second, third = records("a", "b", "a", "a")
    gate = effects.close("a")
    handling = asyncio.create_task(effects.consumer(kept.failures).handle([first, other, second, third]))

    await until(lambda: effects.of == [other], "the other key, while this one is held up")
    assert effects.tries == {first.offset: 1, other.offset: 1}, "the next record of a key waits for the one before"
    gate.set()
    await handling

    assert effects.of == [other, first, second, third]
    assert await kept.parked() == await kept.dead() == []


def _critical_times(consumer: Consumer) -> tuple[float, float]:
    """How many messages were measured, and the sum of their seconds."""
    (metric,) = consumer._critical_times["StockReserved"].collect()
    samples = {sample.name: sample.value for sample in metric.samples}
    return samples["oms_message_critical_seconds_count"], samples["oms_message_critical_seconds_sum"]


async def test_a_message_s_critical_time_goes_from_its_decision_to_its_handling_and_is_never_negative(
    kept: FailuresUnderTest,
) -> None:
    consumer = Effects().consumer(kept.failures)
    count, seconds = _critical_times(consumer)
    hour = timedelta(hours=1)
    old, new = (
        with_headers(one, dict(one.headers) | {"ce_time": timestamp(datetime.now(UTC) + ahead)})
        for one, ahead in zip(records("a", "b"), (-hour, hour), strict=True)
    )
    (no_time, no_sense) = records("c", "d")
    no_sense = with_headers(no_sense, dict(no_sense.headers) | {"ce_time": "yesterday"})

    await consumer.handle([old, new, no_time, no_sense])

    counted, spent = _critical_times(consumer)
    assert counted - count == 2, "those that say when they were decided"
    assert 3600 <= spent - seconds < 3700, "the clock that is ahead adds nothing"


async def test_nothing_is_an_empty_batch(kept: FailuresUnderTest) -> None:
    await Effects().consumer(kept.failures).handle([])


async def test_a_failure_that_passes_is_tried_again_in_place(kept: FailuresUnderTest) -> None:
    effects = Effects(failing={"a": [BROKEN] * (ATTEMPTS - 1)})
    first, second = records("a", "a")

    await effects.consumer(kept.failures).handle([first, second])

    assert effects.of == [first, second]
    assert effects.tries == {first.offset: ATTEMPTS, second.offset: 1}
    assert await kept.parked() == []


async def test_a_failure_that_lasts_parks_its_key_in_order_and_the_other_keys_flow(kept: FailuresUnderTest) -> None:
    effects = Effects(failing={"a": BROKEN})
    consumer = effects.consumer(kept.failures)
    first, other, second, third, another, fourth = records("a", "b", "a", "a", "b", "a")

    await consumer.handle([first, other, second])
    await consumer.handle([third, another])
    await consumer.handle([fourth])

    assert effects.of == [other, another]
    assert await kept.parked() == [
        Failure(first, "RuntimeError: it is broken", ATTEMPTS),
        Failure(second, "RuntimeError: it is broken", 0),
        Failure(third, BEHIND, 0),
        Failure(fourth, BEHIND, 0),
    ]
    assert set(effects.tries) == {first.offset, other.offset, another.offset}, "what queues behind is not tried"


async def test_when_the_cause_is_gone_the_key_resumes_in_order(kept: FailuresUnderTest) -> None:
    effects = Effects(failing={"a": BROKEN})
    consumer = effects.consumer(kept.failures)
    batch = records("a", "a", "a")
    await consumer.handle(batch)
    effects.failing.clear()

    await kept.make_due()
    await consumer.sweep()

    assert effects.of == batch
    assert await kept.parked() == []
    await consumer.handle(more := records("a"))
    assert effects.of == batch + more


async def test_a_record_that_comes_while_its_key_is_resumed_does_not_overtake(kept: FailuresUnderTest) -> None:
    effects = Effects(failing={"a": BROKEN})
    consumer, another = effects.consumer(kept.failures), effects.consumer(kept.seen_by_another)
    parked, newer = records("a", "a")
    await consumer.handle([parked])
    effects.failing.clear()
    gate = effects.close("a")

    await kept.make_due()
    sweep = asyncio.create_task(consumer.sweep())
    async with asyncio.timeout(DEADLINE):
        await effects.begun["a"].wait()
        await another.handle([newer])  # handled at once, behind a gate, if the parked one were forgotten already
    assert kept_records(await kept.parked()) == [parked, newer]
    gate.set()
    await sweep

    assert effects.of == [parked, newer]
    assert await kept.parked() == []


async def test_what_parks_after_a_sweep_has_looked_holds_its_key_until_the_next_sweep(kept: FailuresUnderTest) -> None:
    effects = Effects(failing={"a": BROKEN})
    consumer = effects.consumer(kept.failures)
    parked, late, later, last = records("a", "a", "a", "a")
    await consumer.handle([parked])
    effects.failing.clear()
    seen = await kept.failures.parked_among(["a"])
    await kept.make_due()
    await consumer.sweep()
    assert seen == {"a"}
    await kept.failures.park([failure(late, BEHIND, 0)])  # by a consumer that had looked before

    await consumer.handle([later])
    assert effects.of == [parked]
    await kept.make_due()
    await consumer.sweep()
    await consumer.handle([last])

    assert effects.of == [parked, late, later, last]


async def test_ten_failures_in_a_row_hold_up_their_key_only(kept: FailuresUnderTest) -> None:
    effects = Effects(failing={"a": [BROKEN] * 10})
    consumer = effects.consumer(kept.failures)
    first, second = records("a", "a")
    await consumer.handle([first, second])
    for failures in range(ATTEMPTS, 11):
        assert [each.attempts for each in await kept.parked()] == [failures, 0]
        await consumer.handle(records("b"))
        await kept.make_due()
        await consumer.sweep()

    assert effects.of_key("a") == [first, second]
    assert len(effects.of_key("b")) == 11 - ATTEMPTS
    assert effects.tries[first.offset] == 11
    assert await kept.parked() == await kept.dead() == []


async def test_a_key_that_fails_again_waits_longer_each_time(kept: FailuresUnderTest) -> None:
    effects = Effects(failing={"a": BROKEN})
    consumer = effects.consumer(kept.failures)
    await consumer.handle(records("a"))
    await kept.make_due()
    await consumer.sweep()

    effects.failing.clear()
    assert await kept.failures.due(10) == [], "it is not due at once, but after 2 ** attempts seconds or so"
    await consumer.sweep()
    assert effects.of == []


async def test_a_rejected_record_is_a_dead_letter_at_once_and_its_key_goes_on(kept: FailuresUnderTest) -> None:
    effects = Effects(failing={"a": [Rejected("there is no such order")]})
    first, second = records("a", "a")

    await effects.consumer(kept.failures).handle([first, second])

    (letter,) = await kept.dead()
    assert letter == Failure(first, "there is no such order", 1)
    assert (letter.record.topic, letter.record.partition, letter.record.offset) == ("inventory-events", 2, first.offset)
    assert (letter.record.key, letter.record.event_id) == ("a", first.event_id)
    assert effects.tries[first.offset] == 1
    assert effects.of == [second]
    assert await kept.parked() == []


async def test_a_parked_record_that_is_rejected_becomes_a_dead_letter_and_its_key_goes_on(
    kept: FailuresUnderTest,
) -> None:
    effects = Effects(failing={"a": [BROKEN] * ATTEMPTS + [Rejected("there is no such order")]})
    consumer = effects.consumer(kept.failures)
    first, second = records("a", "a")
    await consumer.handle([first, second])

    await kept.make_due()
    await consumer.sweep()

    assert await kept.dead() == [Failure(first, "there is no such order", ATTEMPTS + 1)]
    assert effects.of == [second]
    assert await kept.parked() == []


async def test_a_sweep_judges_nothing_while_the_store_is_away(kept: FailuresUnderTest) -> None:
    effects = Effects(failing={"a": BROKEN})
    consumer = effects.consumer(kept.failures)
    first, other = records("a", "b")
    await consumer.handle([first])
    await kept.failures.park([failure(other)])
    effects.failing["a"] = StoreUnavailable("the database does not answer")

    await kept.make_due()
    await consumer.sweep()
    assert await kept.parked() == [Failure(first, "RuntimeError: it is broken", ATTEMPTS)], "not tried, and still due"
    effects.failing.clear()
    await consumer.sweep()

    assert effects.of == [other, first]


async def test_a_type_that_the_source_has_added_since_is_none_of_ours(kept: FailuresUnderTest) -> None:
    effects = Effects()
    known = record("a")

    await effects.consumer(kept.failures).handle([record("a", of_type="StockCounted"), known])

    assert effects.of == [known]
    assert await kept.parked() == await kept.dead() == []


@pytest.mark.parametrize(
    ("unknown", "why"),
    [
        (record("a", of_type="StockCounted", source="/elsewhere"), "nobody here knows the type 'StockCounted'"),
        (record("a", of_type="CountStock", topic=COMMANDS), "nobody here knows the type 'CountStock'"),
        (with_headers(record("a"), {"ce_source": "/inventory-service"}), "it has no header ce_type"),
        (with_headers(record("a"), {"ce_type": "StockCounted"}), "nobody here knows the type 'StockCounted'"),
        (with_headers(record("a", topic=COMMANDS), {}), "it has no header ce_type"),
    ],
    ids=["from elsewhere", "a command", "no type", "no source", "a command without headers"],
)
async def test_what_nobody_can_handle_is_a_dead_letter(kept: FailuresUnderTest, unknown: Record, why: str) -> None:
    effects = Effects()
    next_one = record("a")

    await effects.consumer(kept.failures).handle([unknown, next_one])

    assert await kept.dead() == [Failure(unknown, why, 1)]
    assert effects.of == [next_one]


async def test_a_batch_that_was_cancelled_leaves_nothing_half_and_is_handled_when_it_comes_again(
    kept: FailuresUnderTest,
) -> None:
    effects = Effects(failing={"parked": BROKEN, "rejected": [Rejected("no such order")] * 2})
    consumer = effects.consumer(kept.failures)
    batch = records("done", "held up", "parked", "rejected", "held up", "done", "parked")
    gate = effects.close("held up")
    handling = asyncio.create_task(consumer.handle(batch))
    await until(lambda: len(effects.of_key("done")) == 2, "the key that is not held up")
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert effects.of_key("held up") == []

    gate.set()
    await consumer.handle(batch)

    assert effects.of_key("done") == [batch[0], batch[5]]
    assert effects.of_key("held up") == [batch[1], batch[4]]
    assert kept_records(await kept.parked()) == [batch[2], batch[6]]
    assert kept_records(await kept.dead()) == [batch[3]]


async def test_a_batch_that_comes_again_after_a_crash_is_neither_done_nor_parked_nor_buried_twice(
    kept: FailuresUnderTest,
) -> None:
    effects = Effects(failing={"a": BROKEN, "b": [Rejected("no such order")] * 2})
    batch = records("a", "b", "c", "a")
    for failures in (kept.failures, kept.seen_by_another):
        await effects.consumer(failures).handle(batch)

    assert effects.of == [batch[2]]
    assert kept_records(await kept.parked()) == [batch[0], batch[3]]
    assert kept_records(await kept.dead()) == [batch[1]]


async def test_a_thousand_parked_keys_are_handled_by_one_sweep(kept: FailuresUnderTest) -> None:
    keys = [f"key {number}" for number in range(1000)]
    effects = Effects()
    await kept.failures.park([failure(each) for each in records(*keys)])
    await kept.make_due()

    await effects.consumer(kept.failures).sweep()

    assert sorted(each.key for each in effects.of) == sorted(keys)
    assert await kept.parked() == []


async def test_five_hundred_keys_that_fail_again_do_not_starve_those_behind_them(kept: FailuresUnderTest) -> None:
    failing = [f"failing {number}" for number in range(500)]
    effects = Effects(failing=dict.fromkeys(failing, BROKEN))
    batch = records(*failing, "good", "good", "another")
    await kept.failures.park([failure(each) for each in batch])
    await kept.make_due()

    await effects.consumer(kept.failures).sweep()

    assert sorted(effects.of, key=batch.index) == batch[500:]
    assert await kept.failures.parked_among([*failing, "good", "another"]) == set(failing)
    assert set(effects.tries.values()) == {1}, "each was tried once"
