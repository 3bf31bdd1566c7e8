"""Parked records and dead letters, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from messaging.postgres.failures import Kept
from oms.output import cells

if TYPE_CHECKING:
    from rich.table import Table


def kept_table(kept: Sequence[tuple[str, Kept]], title: str) -> Table:
    """A table of parked records or dead letters, each with its service."""
    from rich.table import Table

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
