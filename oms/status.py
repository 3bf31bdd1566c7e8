"""The state of the whole system: each service's database and queues, the broker, and processes that answer."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus

import httpx

from messaging.kafka.admin import KafkaRefused, as_kafka_refused
from messaging.kafka.groups import GroupState, state_of_groups
from messaging.kafka.settings import KafkaSettings
from messaging.ports.figures import Figure
from messaging.ports.outbox import SHARDS
from messaging.ports.subscription import group_of
from messaging.postgres.probe import Revisions
from messaging.postgres.queue_figures import QueueFigures, queue_figures
from messaging.runtime.database import revisions_in
from messaging.runtime.service import Service
from messaging.runtime.settings import ServiceSettings
from oms.databases import NOT_REACHED, looking_into
from oms.exit_status import ExitStatus
from oms.services import SERVICES
from oms.why import why

OLD = 60.0
"""Seconds. What waits for longer needs somebody."""
SOON = 10.0
"""Seconds. A record that is parked for longer has failed again."""
MUCH = 1000
"""Records. A group that is further behind needs somebody."""
_ANSWERS_WITHIN = 2.0
_BROKER_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What a service's database says, and the lag of its consumers if a broker is set. `away` is a sentence when the
    database cannot be read."""

    revisions: Revisions
    queues: QueueFigures | None = None
    figures: Sequence[Figure] = ()
    consumers: GroupState | None = None
    away: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A process that was asked whether it is ready. `away` is a sentence when it is not."""

    url: str
    away: str | None


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """The whole system at one moment. `broker_away` is a sentence when a broker is set and does not answer."""

    at: datetime
    services: Mapping[str, ServiceStatus]
    has_broker: bool
    broker_away: str | None
    processes: Sequence[ProcessStatus]

    @property
    def outages(self) -> Sequence[str]:
        """What does not answer, a sentence each."""
        away = [one.away for one in self.services.values()] + [one.away for one in self.processes]
        return list(dict.fromkeys(filter(None, (*away, self.broker_away))))

    @property
    def alarms(self) -> Sequence[str]:
        """What needs a person, a sentence each."""
        return [
            f"{name}: {alarm}"
            for name, status in self.services.items()
            for alarm in _alarms(name, status, has_broker=self.has_broker and self.broker_away is None)
        ]

    @property
    def exit_status(self) -> ExitStatus:
        """The exit status of `oms status`."""
        if self.outages:
            return ExitStatus.INCOMPLETE
        return ExitStatus.ATTENTION if self.alarms else ExitStatus.DONE


def _alarms(name: str, status: ServiceStatus, *, has_broker: bool) -> Iterator[str]:
    queues = status.queues
    if queues is None:
        return
    if not status.revisions.fit(queues.revision):
        yield f"its schema is {queues.revision} instead of {status.revisions.newest}: oms migrate {name}"
    if queues.outbox_age > OLD:
        yield f"messages have waited in the outbox for {queues.outbox_age:.0f} s"
    if queues.shards < SHARDS:
        yield f"{queues.shards} of {SHARDS} shards are published: is a relay running?"
    if has_broker and status.consumers is not None:
        yield from _consumer_alarms(status.consumers)
    if queues.parked_age > SOON:
        yield f"parked records: {queues.parked}, see oms parked list --service {name}"
    if queues.dead:
        yield f"dead letters: {queues.dead}, see oms dead-letters list --service {name}"
    yield from (figure.alarm for figure in status.figures if figure.alarm)


def _consumer_alarms(consumers: GroupState) -> Iterator[str]:
    if not consumers.members:
        yield "no consumer is in its group: is a consumer running?"
    if consumers.unstable:
        records, topics = sum(consumers.unstable.values()), " and ".join(consumers.unstable)
        yield f"an open transaction hides {records:,} records of {topics} from its consumers"
    elif consumers.lag is not None and consumers.lag > MUCH:
        yield f"its consumers are {consumers.lag:,} records behind"


async def status_of(
    settings: Mapping[str, ServiceSettings], kafka: KafkaSettings | None, urls: Sequence[str] = ()
) -> SystemStatus:
    """Look at everything at the same time. Nothing that does not answer is waited for longer than some seconds."""
    services, lags, processes = await asyncio.gather(
        asyncio.gather(*(_service(service, settings[name]) for name, service in SERVICES.items())),
        _lags(kafka),
        asyncio.gather(*(_process(url) for url in urls)),
    )
    groups = {} if isinstance(lags, str) else lags
    return SystemStatus(
        datetime.now(UTC),
        {
            name: replace(status, consumers=groups.get(group_of(name)))
            for name, status in zip(SERVICES, services, strict=True)
        },
        kafka is not None,
        lags if isinstance(lags, str) else None,
        processes,
    )


async def _service(service: Service, settings: ServiceSettings) -> ServiceStatus:
    revisions = revisions_in(service.migrations)
    try:
        async with looking_into(service, settings) as pool:
            queues = await queue_figures(pool)
            figures = await service.read_figures(pool) if service.read_figures else ()
    except NOT_REACHED as error:
        return ServiceStatus(revisions, away=str(error))
    return ServiceStatus(revisions, queues, figures)


async def _lags(kafka: KafkaSettings | None) -> Mapping[str, GroupState] | str:
    """The lag of each service's group, or the reason why the broker does not tell it."""
    if kafka is None:
        return {}
    try:
        with as_kafka_refused(kafka):
            async with asyncio.timeout(_BROKER_WITHIN):
                return await state_of_groups(
                    kafka, {group_of(name): service.consumes for name, service in SERVICES.items() if service.consumes}
                )
    except KafkaRefused as error:
        return str(error)


async def _process(url: str) -> ProcessStatus:
    """Ask a process whether it is ready."""
    try:
        async with httpx.AsyncClient(timeout=_ANSWERS_WITHIN) as client:
            answer = await client.get(f"{url.rstrip('/')}/health/ready")
        if answer.status_code == HTTPStatus.OK:
            return ProcessStatus(url, None)
        checks = answer.json().get("checks", {})
        down = ", ".join(name for name, health in checks.items() if health == "DOWN") or f"{answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError) as error:
        return ProcessStatus(url, f"{url} does not answer: {why(error)}")
    return ProcessStatus(url, f"{url} is not ready: {down}")
