"""The metrics of orders: the first settling of each, the answers it waited for, and what was taken back."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from order_service.domain.fulfilment import (
    MAX_COMPENSATIONS,
    Cancel,
    Complete,
    DeadlinePassed,
    Happening,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    Retry,
    StockRejected,
    StockReleased,
    react,
)
from order_service.infrastructure.order_metrics import observe
from tests.domain.orders import AT, RESERVED, moment, placed_order

CAPTURED, RELEASED, REFUNDED = PaymentCaptured(), StockReleased(), PaymentRefunded()
TIMED_OUT = DeadlinePassed(version=0)
STUCK = (Cancel(), *(TIMED_OUT,) * (MAX_COMPENSATIONS + 1))
EACH_AFTER = timedelta(seconds=2)
_WATCHED = ("oms_order_settled_seconds", "oms_order_step_seconds", "oms_compensations")


def _measured() -> dict[tuple[str, str], float]:
    """The counts and sums by metric and label."""
    return {
        (sample.name.removeprefix("oms_"), "".join(sample.labels.values())): sample.value
        for family in REGISTRY.collect()
        if family.name in _WATCHED
        for sample in family.samples
        if sample.name.endswith(("_count", "_sum", "_total"))
    }


def _grown(happenings: Sequence[Happening]) -> dict[tuple[str, str], float]:
    """What a new order to which all of this happens adds to the metrics, one happening every two seconds."""
    before = _measured()
    order, now = placed_order(at=AT), AT
    for happening in happenings:
        now += EACH_AFTER
        if isinstance(happening, DeadlinePassed):
            happening = DeadlinePassed(order.version)
        reaction = react(order, happening, moment(now))
        if reaction is not None:
            observe(order, happening, reaction)
            order = reaction.order
    return {at: value - before[at] for at, value in _measured().items() if value != before[at]}


@pytest.mark.parametrize(
    ("happenings", "settled", "compensations"),
    [
        ((RESERVED, CAPTURED), {"CONFIRMED": 4}, {}),
        ((StockRejected("sold out"),), {"REJECTED": 2}, {}),
        ((RESERVED, PaymentDeclined("no"), RELEASED), {"REJECTED": 6}, {"payment_declined": 1}),
        ((Cancel(), RELEASED), {"CANCELLED": 4}, {"cancelled": 1}),
        ((TIMED_OUT, RELEASED), {"CANCELLED": 4}, {"stock_timeout": 1}),
        ((RESERVED, TIMED_OUT, REFUNDED, RELEASED), {"CANCELLED": 8}, {"payment_timeout": 1}),
        ((Cancel(), TIMED_OUT, RELEASED), {"CANCELLED": 6}, {"cancelled": 1, "unanswered": 1}),
        (STUCK, {}, {"cancelled": 1, "unanswered": MAX_COMPENSATIONS}),
        ((*STUCK, RELEASED), {"CANCELLED": 16}, {"cancelled": 1, "unanswered": MAX_COMPENSATIONS}),
        ((*STUCK, Retry()), {}, {"cancelled": 1, "unanswered": MAX_COMPENSATIONS, "retried": 1}),
        ((RESERVED, CAPTURED, Complete()), {"CONFIRMED": 4}, {}),
        ((RESERVED, CAPTURED, Cancel(), REFUNDED, RELEASED), {"CONFIRMED": 4}, {"cancelled": 1}),
        ((RESERVED, CAPTURED, CAPTURED, RESERVED), {"CONFIRMED": 4}, {}),
    ],
    ids=lambda value: " ".join(type(each).__name__ for each in value)[:80] if isinstance(value, tuple) else "",
)
def test_an_order_is_measured_when_it_settles_first_and_each_time_it_is_taken_back(
    happenings: Sequence[Happening], settled: dict[str, float], compensations: dict[str, float]
) -> None:
    grown = _grown(happenings)

    assert {label: value for (name, label), value in grown.items() if name == "order_settled_seconds_sum"} == (
        pytest.approx(settled)
    )
    assert {label: value for (name, label), value in grown.items() if name == "order_settled_seconds_count"} == (
        dict.fromkeys(settled, 1)
    )
    assert {label: value for (name, label), value in grown.items() if name == "compensations_total"} == compensations


def test_a_step_is_measured_from_the_change_before_to_the_answer() -> None:
    grown = _grown((RESERVED, TIMED_OUT, REFUNDED, RELEASED))

    assert {label: value for (name, label), value in grown.items() if name == "order_step_seconds_sum"} == (
        pytest.approx({"stock_reserved": 2, "deadline_passed": 2, "payment_refunded": 2, "stock_released": 2})
    )


def test_clocks_that_differ_make_no_duration_negative() -> None:
    order = placed_order(at=AT)
    reaction = react(order, StockRejected("sold out"), moment(AT - timedelta(hours=1)))
    assert reaction is not None
    before = _measured()
    observe(order, StockRejected("sold out"), reaction)

    assert _measured()["order_settled_seconds_sum", "REJECTED"] == before["order_settled_seconds_sum", "REJECTED"]
