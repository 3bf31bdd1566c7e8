"""The consumer while its store is away or fails: nothing is judged, nothing is lost, and nothing goes on behind its
back."""

import asyncio
from collections.abc import Sequence

import pytest

from messaging.engine import consumer as consumer_module
from messaging.engine.consumer import ATTEMPTS
from messaging.memory.failures import MemoryFailures
from messaging.ports.changes import StoreOverloaded, StoreUnavailable
from messaging.ports.failures import Failure
from messaging.ports.record import Rejected
from tests.messaging.consumers import DEADLINE, Effects, until
from tests.messaging.records import kept_records, records

AWAY = [StoreUnavailable("the database does not answer"), StoreOverloaded("too many wait")]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_FIRST_PAUSE", 0.0)
    monkeypatch.setattr(consumer_module, "_STORE_PAUSE", 0.002)


class FailingFailures(MemoryFailures):
    """Raises `error` from every method; counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.asked = 0

    async def parked_among(self, keys: Sequence[str]) -> set[str]:
        """See Failures."""
        self._ask()
        return await super().parked_among(keys)

    async def park(self, failures: Sequence[Failure]) -> None:
        """See Failures."""
        self._ask()
        await super().park(failures)

    async def bury(self, failure: Failure, parked_id: int | None = None) -> None:
        """See Failures."""
        self._ask()
        await super().bury(failure, parked_id)

    def _ask(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("away", AWAY, ids=["unavailable", "overloaded"])
async def test_while_the_store_is_away_nothing_is_judged_and_the_batch_waits(away: Exception) -> None:
    failures, effects = MemoryFailures(), Effects(failing={"a": away})
    batch = records("a", "b", "a")
    handling = asyncio.create_task(effects.consumer(failures).handle(batch))

    await until(lambda: effects.tries[batch[0].offset] > 3 * ATTEMPTS, "more tries than a failing record gets")
    assert not handling.done()
    effects.failing.clear()
    async with asyncio.timeout(DEADLINE):
        await handling

    assert effects.of_key("a") == [batch[0], batch[2]]
    assert await failures.counts() == (0, 0.0, 0)


@pytest.mark.parametrize("away", AWAY, ids=["unavailable", "overloaded"])
async def test_a_batch_that_cannot_even_be_looked_at_waits(away: Exception) -> None:
    failures, effects = FailingFailures(), Effects()
    failures.error = away
    handling = asyncio.create_task(effects.consumer(failures).handle(batch := records("a", "b")))

    await until(lambda: failures.asked > 3, "several tries")
    assert effects.of == []
    failures.error = None
    async with asyncio.timeout(DEADLINE):
        await handling

    assert effects.of == batch


@pytest.mark.parametrize("away", AWAY, ids=["unavailable", "overloaded"])
@pytest.mark.parametrize("verdict", [RuntimeError("it is broken"), Rejected("no such order")], ids=["park", "bury"])
async def test_a_verdict_waits_until_it_can_be_written_down(verdict: Exception, away: Exception) -> None:
    failures, effects = FailingFailures(), Effects(failing={"a": verdict})
    (one,) = records("a")
    gate = effects.close("a")
    handling = asyncio.create_task(effects.consumer(failures).handle([one]))
    await effects.begun["a"].wait()
    failures.error, failures.asked = away, 0
    gate.set()

    await until(lambda: failures.asked > 3, "several tries")
    assert not handling.done()
    failures.error = None
    async with asyncio.timeout(DEADLINE):
        await handling

    assert kept_records(list(failures._waiting.values()) + failures.dead) == [one]


async def test_a_verdict_that_cannot_be_written_down_fails_the_batch_when_all_its_keys_have_come_to_an_end() -> None:
    failures, effects = FailingFailures(), Effects(failing={"a": RuntimeError("it is broken")})
    bad, slow = records("a", "b")
    gates = {key: effects.close(key) for key in ("a", "b")}
    handling = asyncio.create_task(effects.consumer(failures).handle([bad, slow]))
    await effects.begun["b"].wait()
    failures.error, failures.asked = PermissionError("the table is not ours"), 0
    gates["a"].set()
    await until(lambda: failures.asked == 1, "the verdict")
    for _ in range(5):
        await asyncio.sleep(0)

    assert not handling.done(), "the other key would go on while the batch comes again"
    gates["b"].set()
    with pytest.raises(PermissionError, match="the table is not ours"):
        await handling
    assert effects.of == [slow]


async def test_a_handler_that_others_cancelled_has_not_handled_its_record() -> None:
    """As when its store is closed under it."""
    effects = Effects()
    consumer = effects.consumer(MemoryFailures())
    (one,) = records("a")
    effects.close("a")
    before = asyncio.all_tasks()
    handling = asyncio.create_task(consumer.handle([one]))
    await effects.begun["a"].wait()
    (of_the_key,) = asyncio.all_tasks() - before - {handling}

    of_the_key.cancel()

    with pytest.raises(RuntimeError, match="cancelled in the middle of its batch"):
        await handling
