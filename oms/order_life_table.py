"""One order's life, printed as a table or as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from messaging.ports.order_view import Wait
from messaging.postgres.failures import Kept
from oms.order_life import Entry, Life
from oms.output import cells, console, printable


def print_life(life: Life, now: datetime) -> None:
    """Print the states, the steps, what is waited for, and what is parked or dead."""
    screen = console()
    for line in _states(life):
        screen.print(line, soft_wrap=True)
    if life.entries:
        screen.print(_steps(life.entries))
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
    yield f"order {life.order_id}"
    for name, state in life.states.items():
        yield f"  {name:12} {printable(', '.join(f'{part} {value}' for part, value in state.items()))}"


def _databases(life: Life) -> bool:
    return any(what.endswith("database") for what in life.missing)


def _steps(entries: Sequence[Entry]) -> Table:
    days = {entry.at.astimezone(UTC).date() for entry in entries}
    form = "%T.%f" if len(days) == 1 else "%F %T.%f"
    has_messages = any(entry.message_id or entry.place for entry in entries)
    table = Table(f"UTC, {min(days)}", "who", "what", *(("message", "at", "outcome") if has_messages else ()))
    for entry in entries:
        what = f"{entry.what}: {entry.detail}" if entry.detail else entry.what
        at = entry.at.astimezone(UTC).strftime(form)[:-3]
        row = (at, entry.who, what, entry.message_id, entry.place, entry.outcome)
        table.add_row(*cells(*row[: len(table.columns)]))
    return table


def _wait(wait: Wait, now: datetime) -> str:
    if wait.until is None:
        return f"{wait.what}, without a limit"
    seconds = (wait.until - now).total_seconds()
    away = f"in {seconds:.0f} s" if seconds >= 0 else f"{-seconds:.0f} s ago"
    return f"{wait.what}, until {wait.until.astimezone(UTC):%F %T} ({away})"


def kept_table(kept: Sequence[tuple[str, Kept]], title: str) -> Table:
    """A table of parked records or dead letters, each with its service."""
    table = Table(
        "service", "no.", "type", "at", "key", "tried", "next try", "error", title=title, title_justify="left"
    )
    for name, one in kept:
        due = f"{one.due:%F %T}" if one.due else "-"
        table.add_row(
            *cells(name, one.id, _type(one), place_of(one), one.record.key, one.attempts, due, one.error),
        )
    return table


def _type(one: Kept) -> str:
    return one.record.headers.get("ce_type", "?")


def place_of(one: Kept) -> str:
    """Where the record is on its topic."""
    return f"{one.record.topic}[{one.record.partition}]@{one.record.offset}"


def kept_document(service: str, one: Kept) -> dict[str, Any]:
    """A parked record or a dead letter, for JSON."""
    return {
        "service": service,
        "number": one.id,
        "type": one.record.headers.get("ce_type"),
        "messageId": one.record.headers.get("ce_id"),
        "topic": one.record.topic,
        "partition": one.record.partition,
        "offset": one.record.offset,
        "key": one.record.key,
        "attempts": one.attempts,
        "error": one.error,
        "since": one.since,
        "nextAttemptAt": one.due,
    }


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
