"""The cell of an order is the last twelve bits of its id.

A cell is one of several installations side by side, which share nothing. The three last hexadecimal digits of an
order's id tell whoever stands in front to which of them a request about it goes, without asking anybody.
"""

from typing import Final
from uuid import UUID

from order_service.application.ports import NewId

MOST: Final = 0xFFF


def ids_of(cell: int | None, new_id: NewId) -> NewId:
    """Ids that tell this cell, 0 to 4095, or ids as they are. `new_id` makes UUIDs of version 7, whose last 32 bits are
    random. The other 20 of them, the time and the counter before them keep ids unique and in order."""
    if cell is None:
        return new_id

    def new_id_of_cell() -> UUID:
        made = new_id()
        return type(made)(f"{made.int & ~MOST | cell:032x}")

    return new_id_of_cell
