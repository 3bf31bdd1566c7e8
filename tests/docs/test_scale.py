"""docs/scale.md tells whoever stands in front how to find the cell of an order."""

import re
from pathlib import Path

import pytest
from uuid_utils.compat import uuid7

from order_service.application.cell import ids_of

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


@pytest.mark.parametrize("path", ["/orders/{}", "/orders/{}/cancel", "/orders/{}/complete", "/payments/{}"])
def test_the_pages_expression_finds_the_cell_of_a_request(path: str) -> None:
    (expression,) = re.findall(r"`(\^/.*?\$\))`", PAGE.read_text(encoding="utf-8"))
    for cell in (0, 7, 4095):
        found = re.match(expression.replace(r"\|", "|"), path.format(ids_of(cell, uuid7)()))
        assert found is not None
        assert int(found[1], 16) == cell
