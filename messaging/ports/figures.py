"""Figures of a service's own tables, for an operator's overview."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `alarm` is a sentence for an operator when the figure needs one."""

    name: str
    value: float | None
    unit: str = ""
    alarm: str | None = None


ReadFigures: TypeAlias = Callable[[Any], Awaitable[Sequence[Figure]]]
"""Reads the figures through a pool of the service's database. Raises StoreUnavailable."""
