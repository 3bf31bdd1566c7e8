"""One order's life, printed as a table or as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

from messaging.ports.order_view import Wait
from oms.kept_table import kept_document, kept_table
from oms.order_life import Entry, Life
from oms.output import cells, console, printable

_ANY_WIDTH = 10_000


def print_life(life: Life, now: datetime) -> None:
    """Print the states, the steps, what is waited for, and what is parked or dead."""
    screen = console()
    for line in _states(life):
        screen.print(line, soft_wrap=True)
    if life.entries:
        screen.print(_steps(life.entries, screen))
    waits = [f"{name}: {_wait(wait, now)}" for name, wait in life.waits]
    screen.print(f"waits for      {'; '.join(map(printable, waits)) or 'nothing'}", soft_wrap=True)
    for title, kept in (("parked", life.parked), ("dead letters", life.dead)):
        if kept:
            screen.print(kept_table(kept, title))
        else:
            screen.print(f"{title:14} {'unknown' if _databases(life) else 'none'}", soft_wrap=True)
    for what, why in life.missing.items():
        screen.print(f"not read       {what}: {printable(why)}", soft_wrap=True)


def _states(life: Life) -> Iterator[str]:
    days = _days(life.entries)
    yield f"order {life.order_id}" + (f", {days[0]} (UTC)" if len(days) == 1 else "")
    for name, state in life.states.items():
        yield f"  {name:12} {printable(', '.join(f'{part} {value}' for part, value in state.items()))}"


def _databases(life: Life) -> bool:
    return any(what.endswith("database") for what in life.missing)


def _steps(entries: Sequence[Entry], screen: Console) -> Table:
    """A line for each step, or several where the terminal is too narrow for them. Nothing is left out."""
    form = "%T.%f" if len(_days(entries)) == 1 else "%F %T.%f"
    if any(entry.place for entry in entries):
        wide = _table("time", "who", "what", "message", "at", "outcome")
        for entry in entries:
            wide.add_row(
                *cells(_at(entry, form), entry.who, _what(entry), entry.message_id, entry.place, entry.outcome)
            )
        if Measurement.get(screen, screen.options.update(width=_ANY_WIDTH), wide).maximum <= screen.width:
            return wide
    narrow = _table("time", "who", "what")
    for entry in entries:
        message = (entry.message_id, ", ".join(filter(None, (entry.place, entry.outcome))))
        at, who, *what = cells(_at(entry, form), entry.who, _what(entry), *filter(None, message))
        narrow.add_row(at, who, "\n".join(what))
    return narrow


def _table(*columns: str) -> Table:
    return Table(*(Column(name, overflow="fold") for name in columns), box=box.SIMPLE_HEAD, pad_edge=False)


def _days(entries: Sequence[Entry]) -> Sequence[date]:
    return sorted({entry.at.astimezone(UTC).date() for entry in entries})


def _at(entry: Entry, form: str) -> str:
    return entry.at.astimezone(UTC).strftime(form)[:-3]


def _what(entry: Entry) -> str:
    return f"{entry.what}: {entry.detail}" if entry.detail else entry.what


def _wait(wait: Wait, now: datetime) -> str:
    if wait.until is None:
        return f"{wait.what}, without a limit"
    seconds = (wait.until - now).total_seconds()
    away = f"in {seconds:.0f} s" if seconds >= 0 else f"{-seconds:.0f} s ago"
    return f"{wait.what}, until {wait.until.astimezone(UTC):%F %T} ({away})"


def life_document(life: Life) -> Mapping[str, Any]:
    """The same, for JSON."""
    return {
        "orderId": life.order_id,
        "services": life.states,
        "steps": [
            {
                "at": entry.at,
                "who": entry.who,
                "what": entry.what,
                "detail": entry.detail or None,
                "messageId": entry.message_id or None,
                "topic": entry.topic or None,
                "partition": entry.partition,
                "offset": entry.offset,
                "outboxRow": entry.outbox_row,
                "outcome": entry.outcome or None,
            }
            for entry in life.entries
        ],
        "waits": [{"service": name, "for": wait.what, "until": wait.until} for name, wait in life.waits],
        "parked": [kept_document(name, one) for name, one in life.parked],
        "deadLetters": [kept_document(name, one) for name, one in life.dead],
        "notRead": life.missing,
    }
