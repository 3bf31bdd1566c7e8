"""One order's life: what each service's database and the broker know about it."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from messaging.kafka.admin import KafkaRefused, as_kafka_refused
from messaging.kafka.records_of_key import Published, RecordsOfKey, records_of_key
from messaging.kafka.settings import KafkaSettings
from messaging.ports.changes import StoreUnavailable
from messaging.ports.order_view import OrderView, Wait
from messaging.postgres.failures import Kept, PostgresFailures
from messaging.postgres.messages_of_key import Unpublished, handled_among, unpublished
from messaging.postgres.pool import Pool
from messaging.runtime.service import Service
from messaging.runtime.settings import ServiceSettings
from oms.databases import NOT_REACHED, looking_into
from oms.services import SERVICES

_LISTED = 100
_SEARCHED_WITHIN = 25.0  # a broker that stands still must not keep what the databases have told
_A_LIFE = timedelta(minutes=10)
"""For how long the topics are searched for an order that no database knows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an order's life. `who` is a service. A message has its id and its place, which is on a topic or in
    the outbox. `outcome` says what became of it."""

    at: datetime
    who: str
    what: str
    detail: str = ""
    message_id: str = ""
    topic: str = ""
    partition: int | None = None
    offset: int | None = None
    outbox_row: int | None = None
    outcome: str = ""

    @property
    def place(self) -> str:
        """The place of a message, in words."""
        if self.outbox_row is not None:
            return f"{self.who} outbox, row {self.outbox_row}"
        return f"{self.topic}[{self.partition}]@{self.offset}" if self.topic else ""


@dataclass(frozen=True, slots=True)
class Life:
    """One order's life. `kept` has the parked records and the dead letters of each service. `missing` says which parts
    of the system were not read, and why."""

    order_id: UUID
    states: Mapping[str, Mapping[str, str]]
    entries: Sequence[Entry]
    waits: Sequence[tuple[str, Wait]]
    parked: Sequence[tuple[str, Kept]]
    dead: Sequence[tuple[str, Kept]]
    missing: Mapping[str, str]

    @property
    def is_known(self) -> bool:
        """True when anything at all is known about the order."""
        return bool(self.states or self.entries or self.parked or self.dead)


@dataclass(frozen=True, slots=True)
class _Part:
    pool: Pool
    view: OrderView | None
    unpublished: Sequence[Unpublished]
    parked: Sequence[Kept]
    dead: Sequence[Kept]


Parts: TypeAlias = Mapping[str, _Part]
Handled: TypeAlias = Mapping[str, set[UUID] | None]


async def life_of(order_id: UUID, settings: Mapping[str, ServiceSettings], kafka: KafkaSettings | None) -> Life:
    """Read everything that can be reached. Without `kafka` only the databases are read."""
    missing: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        read = await asyncio.gather(
            *(_read(stack, service, settings[name], str(order_id)) for name, service in SERVICES.items())
        )
        parts = {name: part for name, part in zip(SERVICES, read, strict=True) if isinstance(part, _Part)}
        missing |= {f"{name} database": why for name, why in zip(SERVICES, read, strict=True) if isinstance(why, str)}
        records = await _records(order_id, parts, kafka, missing)
        ids = [UUID(one.record.headers["ce_id"]) for one in records if _is_id(one.record.headers.get("ce_id"))]
        handled = {name: await _handled(name, part.pool, ids, missing) for name, part in parts.items()}
    views = {name: part.view for name, part in parts.items() if part.view is not None}
    entries = [*_steps(views), *_published(records, parts, handled), *_unpublished(parts)]
    return Life(
        order_id,
        {name: view.state for name, view in views.items()},
        sorted(entries, key=lambda entry: entry.at),
        [(name, wait) for name, view in views.items() for wait in view.waits],
        [(name, kept) for name, part in parts.items() for kept in part.parked],
        [(name, kept) for name, part in parts.items() for kept in part.dead],
        missing,
    )


async def _read(stack: AsyncExitStack, service: Service, settings: ServiceSettings, key: str) -> _Part | str:
    """What a service's database knows, or the reason why it cannot be read."""
    own = AsyncExitStack()
    try:
        async with own:
            pool = await own.enter_async_context(looking_into(service, settings))
            failures = PostgresFailures(pool)
            part = _Part(
                pool,
                await service.view_order(pool, UUID(key)) if service.view_order else None,
                await unpublished(pool, key),
                await failures.parked(key, _LISTED),
                await failures.dead_letters(key, _LISTED),
            )
            stack.push_async_exit(own.pop_all())
            return part
    except NOT_REACHED as error:
        return str(error)


async def _records(
    order_id: UUID, parts: Parts, kafka: KafkaSettings | None, missing: dict[str, str]
) -> Sequence[Published]:
    if kafka is None:
        missing["topics"] = (
            "no broker is set (EVENT_PUBLISHER=kafka or KAFKA_BOOTSTRAP_SERVERS), so messages that were published are "
            "not listed"
        )
        return []
    topics = [topic.name for service in SERVICES.values() for topic in service.produces]
    created = datetime.fromtimestamp((order_id.int >> 80) / 1000, UTC)
    try:
        with as_kafka_refused(kafka):
            async with asyncio.timeout(_SEARCHED_WITHIN):
                found: RecordsOfKey = await records_of_key(kafka, topics, str(order_id), created, _end(created, parts))
    except KafkaRefused as error:
        missing["topics"] = str(error)
        return []
    missing.update({f"topic {topic}": why for topic, why in sorted(found.unread.items())})
    # Messages of one decision have one time. They are shown in the order of the topics, events first.
    return sorted(found.found, key=lambda one: (topics.index(one.record.topic), one.record.offset))


async def _handled(name: str, pool: Pool, ids: Sequence[UUID], missing: dict[str, str]) -> set[UUID] | None:
    try:
        return await handled_among(pool, ids)
    except StoreUnavailable as error:
        missing[f"{name} database"] = str(error)
        return None


def _end(created: datetime, parts: Parts) -> datetime | None:
    """When the last message of the order was sent. None while there may be more."""
    views = [part.view for part in parts.values() if part.view is not None]
    if any(part.unpublished or part.parked or part.dead for part in parts.values()):
        return None
    if len(parts) < len(SERVICES) or any(view.settled_at is None for view in views):
        return None
    return max((view.settled_at for view in views if view.settled_at), default=created + _A_LIFE)


def _steps(views: Mapping[str, OrderView]) -> Sequence[Entry]:
    return [Entry(step.at, name, step.what, step.detail) for name, view in views.items() for step in view.steps]


def _unpublished(parts: Parts) -> Sequence[Entry]:
    return [
        Entry(
            one.since,
            name,
            one.message.headers.get("ce_type", "?"),
            message_id=str(one.message.event_id),
            topic=one.message.topic,
            outbox_row=one.row_id,
            outcome="waits to be published",
        )
        for name, part in parts.items()
        for one in part.unpublished
    ]


def _published(records: Sequence[Published], parts: Parts, handled: Handled) -> Sequence[Entry]:
    producers = {topic.name: name for name, service in SERVICES.items() for topic in service.produces}
    entries = []
    for one in records:
        record = one.record
        event_id = record.headers.get("ce_id", "")
        entries.append(
            Entry(
                _time(record.headers.get("ce_time")) or one.at,
                producers[record.topic],
                record.headers.get("ce_type", "?"),
                message_id=event_id,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                outcome=_outcome(one, event_id, parts, handled),
            )
        )
    return entries


def _outcome(one: Published, event_id: str, parts: Parts, handled: Handled) -> str:
    """What became of a record, as far as its reader can be asked."""
    readers = [name for name, service in SERVICES.items() if one.record.topic in service.consumes]
    said = []
    for name in readers:
        claims = handled.get(name)
        if claims is None:
            said.append(f"{name} cannot be asked")
        elif _is_id(event_id) and UUID(event_id) in claims:
            said.append(f"handled by {name}")
        elif _is_among(one, parts[name].parked):
            said.append(f"parked by {name}")
        elif _is_among(one, parts[name].dead):
            said.append(f"dead letter of {name}")
        else:
            said.append(f"not handled by {name}")
    return ", ".join(said)


def _is_among(one: Published, kept: Sequence[Kept]) -> bool:
    place = (one.record.topic, one.record.partition, one.record.offset)
    return place in ((each.record.topic, each.record.partition, each.record.offset) for each in kept)


def _is_id(text: str | None) -> bool:
    try:
        return UUID(text or "") is not None
    except ValueError:
        return False


def _time(text: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return at if at.tzinfo else None
