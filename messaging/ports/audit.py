"""The audit trail: who did what, when, and to which order."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from shared_kernel.caller import ANONYMOUS_NAME

WHO: ContextVar[str] = ContextVar("who", default=ANONYMOUS_NAME)
"""Who acts in the current work: the caller of a request, or the operator of a command."""


class Outcome(StrEnum):
    """What came of it."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An action, and who did it. `detail` has what else is worth knowing, and no secrets. The database adds the time,
    the number and the role that wrote the entry."""

    who: str
    action: str
    outcome: Outcome = Outcome.DONE
    order_id: UUID | None = None
    detail: Mapping[str, str | int] = field(default_factory=dict)


def done(action: str, *, order_id: UUID | None = None, **detail: str | int) -> AuditEntry:
    """The entry of an action of whoever acts now. A write stores it together with its effect, and stores neither when
    there is nothing to change."""
    return AuditEntry(WHO.get(), action, Outcome.DONE, order_id, detail)
