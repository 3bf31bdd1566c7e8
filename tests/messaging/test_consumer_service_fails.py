"""When the whole service fails nothing is parked: it waits, tries one key at a time, and goes on by itself."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from messaging.engine import consumer as consumer_module
from messaging.engine.breaker import growing_pauses
from messaging.engine.consumer import ATTEMPTS, Consumer
from messaging.memory.failures import MemoryFailures
from messaging.ports.changes import StoreUnavailable
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Subscription
from tests.messaging.consumers import DEADLINE, Effects, until
from tests.messaging.records import SOURCE, TOPIC, kept_records, record, records

KEYS = [f"key {number}" for number in range(20)]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(consumer_module, "_STORE_PAUSE", 0.002)


class Service:
    """Handles whatever comes, unless it is broken; watches how much it is asked at a time."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.handled: list[Record] = []
        self.tries = 0
        self.most_at_once = 0
        self._at_once = 0
        self.failures = MemoryFailures()
        self.consumer = Consumer("broken", [Subscription(TOPIC, {"StockReserved": self.handle}, SOURCE)], self.failures)

    async def handle(self, one: Record) -> None:
        """A handler."""
        self.tries += 1
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0)
            if self.broken is not None:
                raise self.broken
            self.handled.append(one)
        finally:
            self._at_once -= 1

    async def until_tried(self, times: int) -> None:
        """Wait for so many more tries, and watch anew how many are made at a time."""
        self.most_at_once, seen = 0, self.tries
        await until(lambda: self.tries >= seen + times, f"{times} more tries")


@asynccontextmanager
async def _handling(consumer: Consumer, batch: list[Record]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(consumer.handle(batch))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def _waiting() -> float | None:
    return REGISTRY.get_sample_value("oms_consumer_waiting", {"service": "broken"})


@pytest.mark.parametrize(
    "failure",
    [ZeroDivisionError("a mistake"), PermissionError("not ours"), StoreUnavailable("the table orders is not there")],
    ids=lambda failure: type(failure).__name__,
)
async def test_while_every_key_fails_alike_none_is_parked_one_at_a_time_is_tried_and_then_all_goes_on(
    failure: Exception,
) -> None:
    service = Service()
    service.broken = failure
    batch = records(*KEYS, *KEYS)
    async with _handling(service.consumer, batch) as handling:
        await service.until_tried(ATTEMPTS * len(KEYS) if not isinstance(failure, StoreUnavailable) else len(KEYS))
        await service.until_tried(1)
        await service.until_tried(20)
        assert service.most_at_once == 1, "a probe is enough to find out"
        assert _waiting() == 1
        assert not handling.done()
        assert await service.failures.counts() == (0, 0.0, 0)
        service.broken = None
        async with asyncio.timeout(DEADLINE):
            await handling

    assert await service.failures.counts() == (0, 0.0, 0)
    assert _waiting() == 0
    for key in KEYS:
        assert [each for each in service.handled if each.key == key] == [each for each in batch if each.key == key]


async def test_a_poisoned_key_among_good_ones_parks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_STORE_PAUSE", 3600)
    failures, effects = MemoryFailures(), Effects(failing={"bad": ZeroDivisionError("a mistake")})
    batch = records("good", "bad", "another good", "yet another")

    async with asyncio.timeout(DEADLINE):
        await effects.consumer(failures).handle(batch)

    assert kept_records(list(failures._waiting.values())) == [batch[1]]


async def test_many_poisoned_keys_with_a_good_one_beside_them_park_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_STORE_PAUSE", 3600)
    failures, effects = MemoryFailures(), Effects(failing={key: ZeroDivisionError("a mistake") for key in KEYS})
    consumer = effects.consumer(failures)

    async with asyncio.timeout(DEADLINE):
        await consumer.handle(records("good", *KEYS))
        await consumer.handle(records("good"))

    assert await failures.parked_among([*KEYS, "good"]) == set(KEYS)
    assert len(effects.of_key("good")) == 2


async def test_keys_that_fail_each_in_its_way_park_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_STORE_PAUSE", 3600)
    failures = MemoryFailures()
    effects = Effects(failing={"a": ZeroDivisionError(), "b": LookupError(), "c": PermissionError()})

    async with asyncio.timeout(DEADLINE):
        await effects.consumer(failures).handle(records("a", "b", "c"))

    assert await failures.parked_among(["a", "b", "c"]) == {"a", "b", "c"}


async def test_keys_that_fail_in_a_row_are_counted_over_batches_of_one_and_a_good_one_between_them_counts() -> None:
    service = Service()
    for _ in range(3):  # two that fail, and one that goes well
        for broken in (ZeroDivisionError("a mistake"), ZeroDivisionError("a mistake"), None):
            service.broken = broken
            async with asyncio.timeout(DEADLINE):
                await service.consumer.handle([record(f"key {service.tries}")])
    assert (await service.failures.counts())[0] == 6
    assert len(service.handled) == 3

    service.broken = ZeroDivisionError("a mistake")
    await service.consumer.handle([record("first")])
    await service.consumer.handle([record("second")])
    async with _handling(service.consumer, [record("third")]) as handling:
        await service.until_tried(3 * ATTEMPTS)
        assert not handling.done()
        assert await service.failures.parked_among(["first", "second", "third"]) == {"first", "second"}
        service.broken = None
        async with asyncio.timeout(DEADLINE):
            await handling
    assert [each.key for each in service.handled][-1] == "third"


async def test_keys_that_fail_alike_and_alone_hold_up_the_others_for_a_minute_and_then_park(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer_module, "_LONGEST_DOUBT", 0.05)
    failures, effects = MemoryFailures(), Effects(failing={key: ZeroDivisionError("a mistake") for key in KEYS})
    consumer = effects.consumer(failures)
    batch = records(*KEYS)

    async with asyncio.timeout(DEADLINE):
        await consumer.handle(batch)
        await consumer.handle(good := records("good"))

    assert await failures.parked_among(KEYS) == set(KEYS)
    assert effects.of == good


async def test_what_is_rejected_while_the_service_fails_is_a_dead_letter_and_no_sign_that_it_works() -> None:
    failures = MemoryFailures()
    failing: dict[str, Exception | list[Exception]] = {key: ZeroDivisionError("a mistake") for key in KEYS}
    effects = Effects(failing=failing | {"rejected": Rejected("no such order")})
    async with _handling(effects.consumer(failures), batch := records("rejected", *KEYS)) as handling:
        await until(lambda: effects.tries.total() > 2 * ATTEMPTS * len(KEYS), "several rounds of probes")
        assert not handling.done()
        assert await failures.parked_among(KEYS) == set()
        effects.failing.clear()
        async with asyncio.timeout(DEADLINE):
            await handling

    assert kept_records(failures.dead) == batch[:1]
    assert sorted(each.key for each in effects.of) == sorted(KEYS)


async def test_a_batch_that_is_cancelled_while_it_waits_does_not_keep_others_from_going_on() -> None:
    service = Service()
    service.broken = StoreUnavailable("away")
    async with _handling(service.consumer, records(*KEYS)):
        await service.until_tried(len(KEYS) + 3)
    service.broken = None
    await service.failures.park([])

    async with asyncio.timeout(DEADLINE):
        await service.consumer.sweep()
        await service.consumer.handle(more := records("a", "b"))

    assert service.handled == more
    assert _waiting() == 0


def test_pauses_grow_have_jitter_and_a_bound() -> None:
    pauses = list(itertools.islice(growing_pauses(0.5), 1000))

    assert 0.05 <= pauses[0] <= 0.5
    assert max(pauses) <= 5.0
    assert min(pauses[10:]) >= 0.5
    assert max(pauses) > 4.0
    assert len(set(pauses)) > 900
