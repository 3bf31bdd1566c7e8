"""An order's id tells its cell, and is otherwise as good as any."""

import re

from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from messaging.runtime import ids
from order_service.application.cell import MOST, ids_of


@given(cell=st.integers(0, MOST))
def test_the_last_three_digits_of_an_id_are_its_cell(cell: int) -> None:
    order_id = ids_of(cell, uuid7)()
    assert int(str(order_id)[-3:], 16) == cell
    assert (order_id.version, re.fullmatch(r"[0-9a-f-]{36}", str(order_id)) is not None) == (7, True)


def test_ids_of_a_cell_are_unique_and_in_the_order_in_which_they_were_made() -> None:
    new_id = ids_of(7, uuid7)
    ids = [new_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))


def test_ids_of_a_cell_are_of_the_kind_that_is_fast() -> None:
    assert type(ids_of(7, ids.uuid7)()) is type(ids.uuid7())


def test_without_a_cell_ids_are_as_they_are() -> None:
    assert ids_of(None, uuid7) is uuid7
