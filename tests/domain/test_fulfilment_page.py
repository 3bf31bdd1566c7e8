"""docs/fulfilment.md shows the fulfilment as it is."""

from typing import Any

import pytest

from docs.generate_fulfilment import BEGIN, END, HAPPENINGS, PAGE, explore, generated, page, states
from order_service.domain.fulfilment import awaited


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert page(text, explore()) == text, "run `python docs/generate_fulfilment.py`"


def test_only_what_is_between_the_markers_is_written_anew() -> None:
    written = page(f"before\n{BEGIN}\noutdated\n{END}\nafter\n", explore())

    assert written == f"before\n{BEGIN}\n\n{generated(explore())}\n\n{END}\nafter\n"


def test_what_can_happen_since_yesterday_must_be_explored_too() -> None:
    with pytest.raises(ValueError, match="one of each"):
        explore(HAPPENINGS[:-1])


ANSWERS = {"StockReserved", "StockRejected", "StockReleased", "PaymentCaptured", "PaymentDeclined", "PaymentRefunded"}


def test_an_order_waits_for_exactly_the_answers_that_would_change_it() -> None:
    ways = explore()
    for state in states(ways):
        order: Any = state  # its statuses are all that is looked at
        assert {kind.__name__ for kind in awaited(order)} == {name for at, name in ways if at == state} & ANSWERS, state
