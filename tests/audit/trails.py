"""Trails that were never in a database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from messaging.postgres.audit_chain import Entry, Seal, content_hash, seal_hash

AT = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)


def entry(number: int, action: str = "order.retry") -> Entry:
    """An entry with its right hash."""
    return hashed(Entry(number, AT, "oms_order_operator", "anna (root@here)", action, "done", None, "{}", b""))


def hashed(changed: Entry) -> Entry:
    """The entry with the hash of its content."""
    return replace(changed, hash=content_hash(changed))


def sealed(*ranges: Sequence[Entry]) -> list[Seal]:
    """A seal over each range."""
    seals: list[Seal] = []
    for number, entries in enumerate(ranges, start=1):
        before = seals[-1] if seals else None
        first = before.last_id + 1 if before else 1
        seal = Seal(number, AT, first, entries[-1].id, len(entries), b"")
        seals.append(replace(seal, hash=seal_hash(seal, before, [each.hash for each in entries])))
    return seals
