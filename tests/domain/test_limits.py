"""What can be named and ordered: the limits of ids, products and quantities."""

import sys
import unicodedata
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid4, uuid7

from order_service.domain.order import CustomerId, InvalidOrder, OrderId
from shared_kernel.product import MAX_QUANTITY, MAX_TEXT, InvalidProduct, ProductId, Quantity, is_printable_text

ACCEPTED = [
    "p",
    "p1",
    "x" * MAX_TEXT,
    "a b",
    " a ",
    "Größe 42",
    "日本",
    "😀" * MAX_TEXT,
    "'; drop table orders; --",
    '"\\',
]
NOT_IN_A_URL = [".", ".."]
REFUSED = ["", " ", "   ", "x" * (MAX_TEXT + 1), "a\x00", "a\nb", "\t", "\x7f", "\x85", "\ud800", "\u200b", "\u2028"]


@pytest.mark.parametrize("text", ACCEPTED)
def test_printable_text_names_a_product_or_a_customer(text: str) -> None:
    assert ProductId.of(text).value == CustomerId.of(text).value == text


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_what_does_not_print_names_neither_a_product_nor_a_customer(text: str) -> None:
    with pytest.raises(InvalidProduct) as no_product:
        ProductId.of(text)
    with pytest.raises(InvalidOrder) as no_customer:
        CustomerId.of(text)

    assert str(no_product.value) == f"a product id is 1 to 64 printable characters, not {text!r}"
    assert str(no_customer.value) == f"a customer id is 1 to 64 printable characters, not {text!r}"


@pytest.mark.parametrize("text", NOT_IN_A_URL)
def test_what_no_url_can_name_is_no_product(text: str) -> None:
    with pytest.raises(InvalidProduct, match="which no URL can name"):
        ProductId.of(text)

    assert CustomerId.of(text).value == text


def test_what_is_accepted_does_not_depend_on_the_unicode_of_this_python() -> None:
    every = [chr(point) for point in range(sys.maxunicode + 1)]
    refused = {unicodedata.category(character) for character in every if not is_printable_text(f"a{character}")}
    unassigned = [character for character in every if unicodedata.category(character) == "Cn"]

    assert not [
        ascii(character)
        for character in every
        if character.isprintable() != is_printable_text(f"a{character}")
        and unicodedata.category(character) not in ("Cn", "Cf")
    ]
    assert refused == {"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"}
    assert is_printable_text("\U0001fadd"), "an emoji of some version is unassigned in the one before"
    assert sum(map(is_printable_text, unassigned)) > 0.99 * len(unassigned)


@pytest.mark.parametrize("text", [*REFUSED, *NOT_IN_A_URL], ids=ascii)
def test_what_was_stored_is_taken_as_it_is(text: str) -> None:
    assert ProductId(text).value == CustomerId(text).value == text
    assert Quantity(0).value == 0


@given(st.text(st.characters(exclude_categories=()), max_size=MAX_TEXT + 5))
def test_every_name_that_is_accepted_can_be_stored_as_utf_8_without_control_characters(text: str) -> None:
    try:
        name = ProductId.of(text).value
    except InvalidProduct:
        return
    assert 1 <= len(name) <= MAX_TEXT
    assert name.encode() == text.encode()
    assert name.strip()
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in name)


@given(st.integers())
def test_a_quantity_is_between_one_and_ten_thousand(count: int) -> None:
    if 1 <= count <= MAX_QUANTITY:
        assert Quantity.of(count).value == count
    else:
        with pytest.raises(InvalidProduct, match=f"1 to 10000, not {count}$"):
            Quantity.of(count)


@pytest.mark.parametrize("count", [1, MAX_QUANTITY])
def test_the_ends_of_the_range_of_quantities_can_be_ordered(count: int) -> None:
    assert Quantity.of(count).value == count


@pytest.mark.parametrize("count", [-1, 0, MAX_QUANTITY + 1])
def test_one_beyond_the_range_of_quantities_cannot_be_ordered(count: int) -> None:
    with pytest.raises(InvalidProduct):
        Quantity.of(count)


def test_order_ids_are_of_version_7_and_sort_by_the_time_of_their_making() -> None:
    ids = [OrderId(uuid7()) for _ in range(100)]

    assert sorted(ids, key=lambda order_id: order_id.value) == ids
    assert [UUID(str(order_id)) for order_id in ids] == [order_id.value for order_id in ids]


@pytest.mark.parametrize("other", [uuid4(), UUID(int=0), UUID(int=2**128 - 1)])
def test_no_other_kind_of_uuid_is_an_order_id(other: UUID) -> None:
    with pytest.raises(InvalidOrder, match="UUID of version 7"):
        OrderId(other)
