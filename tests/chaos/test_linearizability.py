"""The second checker of a campaign's history agrees with what the API permits, and finds what it forbids."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from chaos.campaign import Campaign
from chaos.history import Call, History, Operation
from chaos.linearizable import NotChecked, build_checker, not_linearizable
from chaos.record import Record
from order_service.domain.fulfilment import Cancel, Complete, react
from order_service.domain.order import Order
from order_service.domain.order_status import IllegalTransition, OrderStatus
from tests.domain.fulfilment_world import DELIVERIES, REPETITIONS, Act, World
from tests.domain.orders import AT, moment

WALKS, STEPS = 300, 30


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program. It is built soon where it was built before."""
    try:
        return build_checker(tmp_path_factory.mktemp("checker"), within=10)
    except NotChecked as reason:
        pytest.skip(str(reason))


def _written(folder: Path, *calls: Call) -> Path:
    history = folder / "chaos-1-round-1.jsonl"
    History(list(calls)).write(history)
    return history


def _answered(operation: Operation, at: float, http_status: int, order: Order | None, key: str = "r1-1-abc") -> Call:
    told = (str(order.id), order.version, order.status.value) if order else (None, None, None)
    return Call(0, operation, key, at, at + 0.5, http_status, *told)


@pytest.fixture
def placed() -> Order:
    return World.with_an_order(sold_out=False, declines=False).order


def test_a_history_that_contradicts_nothing_is_accepted(checker: Path, tmp_path: Path, placed: Order) -> None:
    unanswered = Call(1, Operation.CANCEL, "r1-1-abc", 2.0, 3.0)
    history = _written(tmp_path, _answered(Operation.PLACE, 1, 201, placed), unanswered)
    assert not_linearizable(checker, history) == []


def test_an_acknowledged_order_that_is_gone_is_found(checker: Path, tmp_path: Path, placed: Order) -> None:
    gone = _answered(Operation.READ, 3, 404, None)
    history = _written(tmp_path, _answered(Operation.PLACE, 1, 201, placed), gone)
    (violation,) = not_linearizable(checker, history)
    assert violation.startswith("order r1-1-abc is not linearizable:\n")
    assert "404  <- nothing explains this" in violation


def test_whatever_the_fulfilment_does_is_accepted(checker: Path, tmp_path: Path) -> None:
    calls = [call for walk in range(WALKS) for call in _walk(f"r1-{walk}-abc", Random(walk))]
    seen = {(call.operation, call.http_status, call.status) for call in calls}
    assert {status for operation, _, status in seen if operation is Operation.READ} == set(OrderStatus), (
        "the walks do not lead to every status"
    )
    assert {202, 409} <= {http_status for operation, http_status, _ in seen if operation is Operation.CANCEL}
    assert not_linearizable(checker, _written(tmp_path, *calls)) == []


def test_a_history_that_cannot_be_read_is_not_taken_for_a_good_one(checker: Path, tmp_path: Path) -> None:
    history = tmp_path / "chaos-1-round-1.jsonl"
    history.write_text('{"order": "r1-1-abc", "operation": "pay"}\n')
    with pytest.raises(NotChecked, match='line 1: "pay" is not place'):
        not_linearizable(checker, history)


async def test_a_campaign_counts_what_the_second_checker_finds(checker: Path, tmp_path: Path, placed: Order) -> None:
    said: list[str] = []
    campaign = Campaign(cast("Any", None), [], Record(1, "", ""), tmp_path, said.append, checker)
    gone = _answered(Operation.READ, 3, 404, None)
    history = _written(tmp_path, _answered(Operation.PLACE, 1, 201, placed), gone)

    checked_by, violations = await campaign._second_opinion(history)

    assert (checked_by, len(violations), said) == (["chaos", "porcupine"], 1, [])


async def test_a_campaign_says_when_the_second_checker_could_not_decide(checker: Path, tmp_path: Path) -> None:
    said: list[str] = []
    campaign = Campaign(cast("Any", None), [], Record(1, "", ""), tmp_path, said.append, checker)

    checked_by, violations = await campaign._second_opinion(tmp_path / "nowhere.jsonl")

    assert (checked_by, violations) == (["chaos"], [])
    assert "Porcupine has not checked nowhere.jsonl" in said[0]


def test_a_machine_without_go_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotChecked, match="put Go on the PATH"):
        build_checker(tmp_path)


def _walk(key: str, rng: Random) -> Iterator[Call]:
    """The calls of a client that reads an order after each step, while it goes some way or other."""
    world = World.with_an_order(sold_out=rng.random() < 0.2, declines=rng.random() < 0.3)
    yield _answered(Operation.PLACE, 0, 201, world.order, key)
    impatience = rng.choice([0, 10])
    steps = [*DELIVERIES * 3, *REPETITIONS, *Act, *[Act.DEADLINE_PASSES] * impatience]
    for at in range(1, STEPS):
        step = rng.choice(steps)
        if step is Act.CANCEL or step is Act.COMPLETE:
            yield _asked(world.order, step, at, key)
        world = world.after(step) or world
        yield _answered(Operation.READ, at + 0.5, 200, world.order, key)


def _asked(order: Order, act: Act, at: float, key: str) -> Call:
    operation, happening = (Operation.CANCEL, Cancel()) if act is Act.CANCEL else (Operation.COMPLETE, Complete())
    try:
        reaction = react(order, happening, moment(AT))
    except IllegalTransition:
        return _answered(operation, at, 409, None, key)
    after = reaction.order if reaction else order
    goes_on = operation is Operation.CANCEL and after.status is not OrderStatus.CANCELLED
    return _answered(operation, at, 202 if goes_on else 200, after, key)
