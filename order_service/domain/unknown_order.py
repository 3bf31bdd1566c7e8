"""An order that partners answer about and that is not in the store: the store was restored from a backup, or a standby
without the last commits was promoted. Nobody else will undo what the partners did for it, so it is compensated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from order_service.domain.commands import Command, RefundPayment, ReleaseStock
from order_service.domain.fulfilment import Happening, Moment, PaymentRefunded, StockRejected, StockReleased


@dataclass(frozen=True, slots=True)
class UnknownOrder:
    """An order that was not found, with the last answer about it and the number of answers."""

    id: UUID
    last_answer: str
    answers: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Compensation:
    """The unknown order after an answer, and the commands that undo what a partner may have done. They are harmless
    when there is nothing to undo."""

    order: UnknownOrder
    commands: Sequence[Command]


def ends_compensation(answer: Happening) -> bool:
    """True for the answers to a compensation. They leave nothing to undo."""
    return isinstance(answer, StockReleased | PaymentRefunded)


def compensate(known: UnknownOrder | None, order_id: UUID, answer: Happening, moment: Moment) -> Compensation:
    """The compensation after an answer that does not end one."""
    commands: Sequence[Command] = ()
    if not isinstance(answer, StockRejected):
        commands = (
            RefundPayment(event_id=moment.payment_command_id, order_id=order_id, occurred_at=moment.now),
            ReleaseStock(event_id=moment.stock_command_id, order_id=order_id, occurred_at=moment.now),
        )
    name = type(answer).__name__
    if known is None:
        return Compensation(UnknownOrder(order_id, name, 1, moment.now, moment.now), commands)
    last_at = max(moment.now, known.last_at)
    return Compensation(replace(known, last_answer=name, answers=known.answers + 1, last_at=last_at), commands)
