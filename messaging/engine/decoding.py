"""Decoding: a record's bytes become a Pydantic model that declares the fields which its handler reads.

Fields that the model does not declare are ignored, so a producer may add fields.
"""

import json
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from messaging.ports.changes import InboxClaim
from messaging.ports.record import Record, Rejected
from shared_kernel.money import InvalidMoney, Money


class Envelope(BaseModel):
    """The fields that every message has. Models of messages add the data that their handler reads."""

    model_config = ConfigDict(frozen=True)

    eventId: UUID  # noqa: N815  the names on the wire
    eventVersion: PositiveInt  # noqa: N815
    occurredAt: AwareDatetime  # noqa: N815
    orderId: UUID  # noqa: N815

    @property
    def claim(self) -> InboxClaim:
        """The claim by which the message is handled once."""
        return InboxClaim(self.eventId)


class MoneyBody(BaseModel):
    """An amount of money: a decimal string and an ISO 4217 currency."""

    amount: str = Field(pattern=r"^[0-9]{1,19}(\.[0-9]{1,4})?$")
    currency: str

    def as_money(self) -> Money:
        """The amount as Money. Raises Rejected."""
        try:
            return Money.of(self.amount, self.currency)
        except InvalidMoney as error:
            raise Rejected(f"amount: {error}") from None


Body = TypeVar("Body", bound=Envelope)


def decoder(model: type[Body], newest_version: int = 1) -> Callable[[Record], Body]:
    """A function that reads records into `model`. It raises Rejected with a sentence that says what is wrong."""
    validate = model.model_validate_json  # looked up once, not for every record

    def decode(record: Record) -> Body:
        try:
            body = validate(record.value)
        except ValidationError as error:
            body = _with_halves_of_characters(model, record.value, error)
        # PostgreSQL cannot store a NUL in a text. Fields that are not read do not matter.
        if rb"\u0000" in record.value and r"\u0000" in body.model_dump_json():
            raise Rejected("its value has a NUL character in a text")
        if body.eventVersion > newest_version:
            raise Rejected(
                f"version {body.eventVersion} of {record.type} is newer than the {newest_version} known here"
            )
        if str(body.orderId) != record.key or body.eventId != record.event_id:
            raise Rejected("its key and headers name another order or event than its value")
        return body

    return decode


def _with_halves_of_characters(model: type[Body], value: bytes, refusal: ValidationError) -> Body:
    """Read JSON that the strict parser refuses because of half of a character: a text that was cut at its end has one,
    such as "\\ud83d". A reason and fields that are not read may have it. Raises Rejected."""
    try:
        if rb"\ud" in value.lower():
            body = model.model_validate(json.loads(value.decode()))
            body.model_dump_json()  # no other text may keep its half: nothing could store it
            return body
    except (ValueError, RecursionError) as error:
        refusal = error if isinstance(error, ValidationError) else refusal  # otherwise it is no JSON either way
    first = refusal.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "its value"
    raise Rejected(f"{where}: {first['msg']}") from None
