"""Refused access is in the audit trail, and nobody fills the disk with it."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest
import structlog

from messaging.engine.refused_access import BURST, FLUSH_EVERY, MOST_WAITING, RefusedAccess
from messaging.ports.audit import AuditEntry, Outcome
from messaging.ports.changes import StoreUnavailable
from messaging.postgres.audit import PostgresAudit
from messaging.postgres.pool import open_pool

LIST = "GET /orders"
BEYOND = {"reason": "too many to be recorded one by one"}


class _Trail:
    """What was written, and a clock that stands."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.now = 0.0
        self.is_away = False
        self.refused = RefusedAccess("order", self._write, lambda: self.now)

    async def _write(self, entries: Sequence[AuditEntry]) -> None:
        if self.is_away:
            raise StoreUnavailable("the database does not answer")
        self.entries += entries

    def times(self) -> list[object]:
        return [entry.detail["times"] for entry in self.entries]


async def test_a_refusal_says_who_what_why_and_which_order() -> None:
    trail = _Trail()
    trail.refused.note("anna", "GET /orders/{orderId}", "another's order", UUID(int=7))
    await trail.refused.flush()
    await trail.refused.flush()

    assert trail.entries == [
        AuditEntry(
            "anna",
            "GET /orders/{orderId}",
            Outcome.REFUSED,
            UUID(int=7),
            {"reason": "another's order", "times": 1},
        )
    ]


async def test_equal_refusals_are_one_entry() -> None:
    trail = _Trail()
    for _ in range(10_000):
        trail.refused.note("anonymous", LIST, "no token")
    trail.refused.note("anonymous", LIST, "expired")
    await trail.refused.flush()

    assert trail.times() == [10_000, 1]


async def test_a_flood_of_different_refusals_is_written_in_part_and_counted_wholly() -> None:
    trail = _Trail()
    for number in range(MOST_WAITING + 500):
        trail.refused.note("anna", LIST, "another's order", UUID(int=number))
    await trail.refused.flush()

    assert trail.times() == [1] * BURST + [MOST_WAITING + 500 - BURST]
    assert trail.entries[-1].detail == BEYOND | {"times": MOST_WAITING + 500 - BURST}


async def test_a_flood_that_does_not_end_writes_two_entries_every_five_seconds() -> None:
    trail = _Trail()
    for number in range(2_000):
        trail.now += FLUSH_EVERY
        for each in range(20):
            trail.refused.note("anna", LIST, "another's order", UUID(int=number * 20 + each))
        await trail.refused.flush()

    assert sum(map(int, map(str, trail.times()))) == 40_000
    assert len(trail.entries) <= 2 * 2_000 + BURST


async def test_a_flood_of_one_caller_hides_no_other() -> None:
    trail = _Trail()
    for number in range(5 * MOST_WAITING):
        trail.refused.note("anna", LIST, "another's order", UUID(int=number))
    for who in ("ben", "carl"):
        trail.refused.note(who, LIST, "a scope is missing")
    for number in range(MOST_WAITING):
        trail.refused.note("anna", LIST, "another's order", UUID(int=10 * MOST_WAITING + number))
    await trail.refused.flush()

    assert {"ben", "carl"} < {entry.who for entry in trail.entries}
    assert len(trail.entries) == BURST + 1
    assert sum(map(int, map(str, trail.times()))) == 6 * MOST_WAITING + 2


async def test_a_flood_of_strangers_hides_no_key_that_was_revoked() -> None:
    trail = _Trail()
    for number in range(2 * MOST_WAITING):
        trail.refused.note("unknown", f"GET {number}", "no token")
    trail.refused.note("unknown", LIST, "the API key is revoked", None, "5f0c2a9e41d7b386")
    await trail.refused.flush()

    assert {"reason": "the API key is revoked", "times": 1, "key": "5f0c2a9e41d7b386"} in [
        entry.detail for entry in trail.entries
    ]


async def test_callers_take_turns_also_where_there_is_room_for_one_entry() -> None:
    trail = _Trail()
    for number in range(BURST):
        trail.refused.note("anna", LIST, "another's order", UUID(int=number))
    await trail.refused.flush()
    trail.entries.clear()
    for number in range(100):
        trail.now += FLUSH_EVERY
        for each in range(20):
            trail.refused.note("anna", LIST, "another's order", UUID(int=number * 20 + each))
        trail.refused.note("ben", LIST, "a scope is missing")
        await trail.refused.flush()

    assert Counter(entry.who for entry in trail.entries) == {"ben": 50, "anna": 50, "several": 100}


async def test_a_flood_of_many_callers_is_bounded_and_counted() -> None:
    trail = _Trail()
    for number in range(3 * MOST_WAITING):
        trail.refused.note(f"caller {number}", LIST, "a scope is missing")
    await trail.refused.flush()

    assert trail.times() == [1] * BURST + [3 * MOST_WAITING - BURST]


async def test_nothing_is_forgotten_while_the_database_is_away() -> None:
    trail = _Trail()
    trail.is_away = True
    for _ in range(3):
        trail.refused.note("anna", LIST, "no token")
        with pytest.raises(StoreUnavailable):
            await trail.refused.flush()
    trail.is_away = False
    await trail.refused.flush()

    assert trail.times() == [3]


async def test_what_is_lost_at_the_end_is_said() -> None:
    trail = _Trail()
    trail.is_away = True
    trail.refused.note("anna", LIST, "no token")
    with structlog.testing.capture_logs() as logs:
        await trail.refused.close()

    assert [(each["event"], each["refusals"]) for each in logs] == [("refused access was not recorded", 1)]


async def test_refusals_of_a_running_process_reach_the_trail_at_its_end(database: str) -> None:
    async with open_pool(database) as pool:
        refused = RefusedAccess("order", PostgresAudit(pool).write)
        refused.note("anna\0", LIST, "no token")
        await refused.close()
        (entry,) = await PostgresAudit(pool).newest(None, 1)

    assert (entry.who, entry.outcome, entry.detail) == ("anna\\0", "refused", '{"reason": "no token", "times": 1}')
