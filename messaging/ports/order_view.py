"""An order as one service sees it, for an operator to read."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Step:
    """One step in the life of the order, as the service has stored it."""

    at: datetime
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that the service waits for. `until` is None when it waits without a limit."""

    what: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class OrderView:
    """The state of the order in one service. `state` names the parts of it, such as the status and the total."""

    state: Mapping[str, str]
    steps: Sequence[Step] = ()
    waits: Sequence[Wait] = ()
    settled_at: datetime | None = None
    """When the last step was made, if no other one follows by itself."""


ViewOrder: TypeAlias = Callable[[Any, UUID], Awaitable[OrderView | None]]
"""Reads the view of an order through a pool of the service's database. None means that the service does not know the
order. Raises StoreUnavailable."""
