"""The consumers of all services, each with something in the place of its use cases that notes what it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from inventory_service.infrastructure import command_handling as inventory
from messaging.ports.subscription import Subscription
from order_service.infrastructure.partner_events import partner_subscriptions
from payment_service.infrastructure import command_handling as payment


@dataclass(slots=True)
class Notes:
    """What the use cases were asked, in order: the handled type's input, without the claim that every handler adds."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def of(self, name: str) -> Any:
        """A use case that notes and does nothing."""

        async def note(*arguments: Any) -> None:
            *inputs, _claim = arguments
            self.asked.append((name, *inputs))

        return note


class _Taking:
    def __init__(self, notes: Notes) -> None:
        self.charge = notes.of("charge")
        self.refund = notes.of("refund")


def subscriptions(notes: Notes) -> Sequence[Subscription]:
    """Everything that is consumed anywhere in the system."""
    taking: Any = _Taking(notes)
    return (
        *partner_subscriptions(notes.of("fulfil"), notes.of("unknown")),
        *inventory.subscriptions(notes.of("reserve"), notes.of("release"), notes.of("ship")),
        payment.payment_commands(taking),
    )
