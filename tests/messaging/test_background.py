"""Background work never ends unnoticed, and what has ended leaves nothing behind."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from messaging.engine import background
from messaging.engine.background import WorkEnded, every, running
from tests.real_parts.waiting import DEADLINE


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _returns() -> None:
    await asyncio.sleep(0)


async def _raises() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError("a mistake")


async def _is_cancelled() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _waits_for_what_is_cancelled() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


def _others() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_work_runs_while_the_body_does_and_is_gone_afterwards() -> None:
    async with running({"one": _for_ever(), "another": _for_ever()}):
        await asyncio.sleep(0)
        assert {task.get_name() for task in _others()} >= {"one", "another"}

    assert not {task.get_name() for task in _others()} & {"one", "another"}


@pytest.mark.parametrize(
    ("work", "how"),
    [
        (_returns, "the work ended"),
        (_raises, "the work ended: ZeroDivisionError: a mistake"),
        (_is_cancelled, "the work was cancelled"),
        (_waits_for_what_is_cancelled, "the work was cancelled"),
    ],
)
async def test_work_that_ends_ends_the_body_and_is_named(work: Callable[[], Awaitable[None]], how: str) -> None:
    async def body() -> None:
        async with running({"a neighbour": _for_ever(), "the work": work()}):  # type: ignore[dict-item]
            await asyncio.sleep(DEADLINE)
            pytest.fail("the body went on without its work")

    with pytest.raises(WorkEnded) as ended:
        await body()

    assert str(ended.value) == how
    assert "a neighbour" not in {task.get_name() for task in _others()}
    await asyncio.sleep(0)  # whoever handles WorkEnded is not cancelled any more


async def test_of_works_within_works_the_innermost_is_named() -> None:
    async def whole() -> None:
        async with running({"a part": _raises(), "another part": _for_ever()}):
            await _for_ever()

    with pytest.raises(WorkEnded, match=r"^a part ended: ZeroDivisionError: a mistake$"):
        async with asyncio.timeout(DEADLINE), running({"the whole": whole()}):
            await _for_ever()


async def test_several_that_end_in_the_same_moment_end_the_body_once() -> None:
    async def body() -> None:
        async with running({"outer": _raises()}), running({"inner": _raises(), "beside it": _returns()}):
            await asyncio.sleep(DEADLINE)

    with pytest.raises(WorkEnded):
        await body()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_body_that_others_cancel_is_cancelled_even_if_its_work_ends_in_the_same_moment() -> None:
    leave = asyncio.Event()

    async def body() -> None:
        async with running({"the work": _ends_when(leave)}):
            await _for_ever()

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    leave.set()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def _ends_when(event: asyncio.Event) -> None:
    await event.wait()


async def test_what_the_body_raises_is_raised() -> None:
    with pytest.raises(LookupError, match="the body's own"):
        async with running({"the work": _for_ever()}):
            raise LookupError("the body's own")


async def test_work_that_ends_while_the_body_is_left_cancels_nobody() -> None:
    leave = asyncio.Event()
    async with running({"the work": _ends_when(leave)}):
        await asyncio.sleep(0)
        leave.set()

    for _ in range(5):
        await asyncio.sleep(0)


async def test_work_that_fails_on_the_way_out_is_logged_and_fails_nobody_else() -> None:
    async def cleans_up_badly() -> None:
        try:
            await _for_ever()
        finally:
            raise OSError("the connection is gone")

    with capture_logs() as logs:
        async with running({"the work": cleans_up_badly()}):
            await asyncio.sleep(0)

    assert [(line["work"], line["error"]) for line in logs] == [("the work", "OSError: the connection is gone")]


async def test_work_that_does_not_go_is_left_behind_with_a_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_GONE_WITHIN", 0.01)
    release = asyncio.Event()

    async def stays() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    with capture_logs() as logs:
        async with asyncio.timeout(DEADLINE), running({"the work": stays()}):
            await asyncio.sleep(0)

    assert [(line["event"], line["work"]) for line in logs] == [("does not stop", "the work")]
    release.set()


async def test_the_first_time_is_at_once() -> None:
    done = asyncio.Event()

    async def action() -> None:
        done.set()

    async with running({"hourly": every(3600, action, "hourly")}), asyncio.timeout(DEADLINE):
        await done.wait()


async def test_an_action_that_fails_is_logged_and_done_again() -> None:
    again = asyncio.Event()
    tries = 0

    async def action() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError("away")
        again.set()

    with capture_logs() as logs:
        async with running({"the sweep": every(0, action, "sweep")}), asyncio.timeout(DEADLINE):
            await again.wait()

    assert [(line["work"], line["error"]) for line in logs] == [("sweep", "ConnectionError: away")] * 2


async def test_an_action_that_somebody_cancels_ends_with_its_loop() -> None:
    with pytest.raises(WorkEnded, match="the sweep was cancelled"):
        async with (
            asyncio.timeout(DEADLINE),
            running({"the sweep": every(3600, _waits_for_what_is_cancelled, "sweep")}),
        ):
            await _for_ever()


async def test_work_that_loses_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_GONE_WITHIN", 1.0)
    begun = asyncio.Event()

    async def loses_one() -> None:
        try:
            begun.set()
            await _for_ever()
        except asyncio.CancelledError:
            await _for_ever()

    with capture_logs() as logs:
        async with asyncio.timeout(DEADLINE), running({"forgetful": loses_one()}):
            await begun.wait()

    assert not logs, "it is gone"
    assert not [task for task in _others() if task.get_name() == "forgetful"]
