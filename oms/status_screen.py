"""The state of the system on one screen, and as JSON."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from messaging.ports.figures import Figure
from messaging.ports.outbox import SHARDS
from messaging.postgres.counting import COUNTED_TO
from messaging.postgres.queue_figures import QueueFigures
from oms.exit_status import ExitStatus
from oms.output import printable
from oms.status import ServiceStatus, SystemStatus

_VERDICTS = {
    ExitStatus.DONE: ("well", "everything is well", "green"),
    ExitStatus.ATTENTION: ("attention", "something needs a person", "yellow"),
    ExitStatus.INCOMPLETE: ("incomplete", "a part does not answer", "red"),
}
_NOTHING = "-"
_UNITS = {"": "", "s": "seconds", "/s": "per second"}

_QUEUES: Mapping[str, Callable[[QueueFigures], str]] = {
    "schema": lambda queues: queues.revision,
    "outbox": lambda queues: _queue(queues.outbox, queues.outbox_age),
    "shards published": lambda queues: f"{queues.shards} of {SHARDS}",
    "relays": lambda queues: str(queues.relays),
    "parked": lambda queues: _queue(queues.parked, queues.parked_age),
    "dead letters": lambda queues: _count(queues.dead),
}


def screen_of(status: SystemStatus) -> RenderableType:
    """A table with a column for each service, and a sentence for each thing that needs somebody. It fits a narrow
    terminal."""
    _, words, colour = _VERDICTS[status.exit_status]
    parts: list[RenderableType] = [Text.assemble(f"{status.at:%F %T} UTC  ", (words, f"bold {colour}")), _table(status)]
    parts += [Text(f"{one.url}  {'ready' if one.away is None else 'NOT READY'}") for one in status.processes]
    parts += [Text(printable(sentence), style="red") for sentence in status.outages]
    parts += [Text(printable(sentence), style="yellow") for sentence in status.alarms]
    return Group(*parts)


def _table(status: SystemStatus) -> Table:
    table = Table("", *status.services, box=box.SIMPLE_HEAD, pad_edge=False)
    for name, cells in _rows(status):
        table.add_row(name, *cells)
    return table


def _rows(status: SystemStatus) -> Iterator[tuple[str, list[RenderableType]]]:
    services = status.services.values()
    yield "database", [Text("up") if one.away is None else Text("AWAY", style="bold red") for one in services]
    for name, show in _QUEUES.items():
        yield name, [show(one.queues) if one.queues else _NOTHING for one in services]
    if status.has_broker:
        yield "consumers", [str(one.consumers.members) if one.consumers else _NOTHING for one in services]
        yield "lag, records", [_lag(one) for one in services]
    # A figure of one service has an empty cell at the others.
    for name in dict.fromkeys(figure.name for one in services for figure in one.figures):
        yield name, [next((_figure(each) for each in one.figures if each.name == name), Text()) for one in services]


def _figure(figure: Figure) -> Text:
    if figure.value is None:
        return Text(_NOTHING)
    value = _count(int(figure.value)) if not figure.unit else f"{figure.value:.2f} {figure.unit}".replace(" /", "/")
    return Text(value, style="bold yellow" if figure.alarm else "")


def _lag(status: ServiceStatus) -> str:
    return _NOTHING if status.consumers is None or status.consumers.lag is None else f"{status.consumers.lag:,}"


def _count(count: int) -> str:
    return f"{count:,}" if count < COUNTED_TO else f"{count:,} or more"


def _queue(count: int, age: float) -> str:
    return f"{_count(count)}, {age:.0f} s old" if count else "0"


def status_document(status: SystemStatus) -> dict[str, Any]:
    """The same, for JSON."""
    return {
        "at": status.at,
        "verdict": _VERDICTS[status.exit_status][0],
        "services": {name: _service_document(one) for name, one in status.services.items()},
        "broker": {"set": status.has_broker, "away": status.broker_away},
        "processes": [{"url": one.url, "ready": one.away is None} for one in status.processes],
        "outages": list(status.outages),
        "alarms": list(status.alarms),
    }


def _service_document(status: ServiceStatus) -> dict[str, Any]:
    queues, consumers = status.queues, status.consumers
    document: dict[str, Any] = {
        "database": "up" if status.away is None else "away",
        "newestRevision": status.revisions.newest,
    }
    if queues is not None:
        document |= {
            "revision": queues.revision,
            "outbox": queues.outbox,
            "outboxOldestSeconds": queues.outbox_age,
            "relays": queues.relays,
            "shardsPublished": queues.shards,
            "parked": queues.parked,
            "parkedOldestSeconds": queues.parked_age,
            "deadLetters": queues.dead,
        }
    if consumers is not None:
        document |= {"consumers": consumers.members, "lag": consumers.lag, "unstable": sum(consumers.unstable.values())}
    return document | {"figures": {_key(figure): figure.value for figure in status.figures}}


def _key(figure: Figure) -> str:
    """The name of a figure as a program wants it: settledInP50Seconds."""
    first, *others = re.findall(r"\w+", f"{figure.name} {_UNITS[figure.unit]}")
    return "".join((first, *(word.capitalize() for word in others)))
