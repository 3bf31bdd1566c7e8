"""The audit trail in PostgreSQL: writing, sealing, reading and checking it."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from uuid import UUID

from messaging.ports.audit import AuditEntry
from messaging.postgres.audit_chain import Chain, Entry, Seal, Tampered, Verified
from messaging.postgres.pool import Pool
from messaging.postgres.storable import storable
from shared_kernel.caller import ANONYMOUS_NAME

_LONGEST_NAME = 200
_LONGEST_DETAIL = 500
_PAGE = 5_000

INSERT_AUDIT: Final = """
    insert into audit (who, action, outcome, order_id, detail)
    select a.who, a.action, a.outcome, a.order_id, a.detail::json
    from unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::text[])
         with ordinality as a(who, action, outcome, order_id, detail, place)
    order by a.place
"""
"""A part of the transaction that has the effect. The arguments are audit_columns(…)."""

_SEAL = "select * from seal_audit()"

_ENTRIES = "select id, at, role, who, action, outcome, order_id, detail::text as detail, hash from audit"
_PAGE_OF_ENTRIES = f"{_ENTRIES} where id > $1 order by id limit {_PAGE}"
_NEWEST = f"{_ENTRIES} where $1::uuid is null or order_id = $1 order by id desc limit $2"
_PAGE_OF_SEALS = f"""
    select number, at, first_id, last_id, entries, hash from audit_seals where number > $1 order by number limit {_PAGE}
"""
_GUARDS = """
    select t.tgrelid::regclass::text as name from pg_trigger t
    where t.tgname in ('append_only', 'hashed') and t.tgenabled in ('A', 'O')
    and t.tgrelid in (to_regclass('audit'), to_regclass('audit_seals'))
"""


def audit_columns(entries: Sequence[AuditEntry]) -> tuple[list[Any], ...]:
    """The arguments of INSERT_AUDIT."""
    return (
        [storable(entry.who)[:_LONGEST_NAME] or ANONYMOUS_NAME for entry in entries],
        [entry.action for entry in entries],
        [entry.outcome.value for entry in entries],
        [entry.order_id for entry in entries],
        [json.dumps({name: _bounded(value) for name, value in entry.detail.items()}) for entry in entries],
    )


def _bounded(value: str | int) -> str | int:
    return storable(value)[:_LONGEST_DETAIL] if isinstance(value, str) else value


class PostgresAudit:
    """The audit trail of one database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def write(self, entries: Sequence[AuditEntry]) -> None:
        """Store entries whose effect is elsewhere, or that have none. Raises StoreUnavailable."""
        await self._pool.execute(INSERT_AUDIT, *audit_columns(entries))

    async def seal(self) -> Seal | None:
        """Seal the oldest entries that are not sealed yet. None when there are none."""
        row = await self._pool.fetchrow(_SEAL)
        return _seal_of(row) if row else None

    async def newest(self, order_id: UUID | None, limit: int) -> Sequence[Entry]:
        """The newest entries, newest first: those of one order, if it is given."""
        return [_entry_of(row) for row in await self._pool.fetch(_NEWEST, order_id, limit)]

    async def verify(self) -> Verified:
        """Check every entry and every seal. Raises Tampered with the first one that does not match.

        The seals are read before the entries. Entries that are sealed meanwhile count as not sealed.
        """
        await self._require_guards()
        chain = Chain([_seal_of(row) async for row in self._pages(_PAGE_OF_SEALS, "number")])
        async for row in self._pages(_PAGE_OF_ENTRIES, "id"):
            chain.add(_entry_of(row))
        return chain.end()

    async def _require_guards(self) -> None:
        guarded = sorted(row["name"] for row in await self._pool.fetch(_GUARDS))
        if guarded != ["audit", "audit", "audit_seals"]:
            raise Tampered("the triggers that keep the trail append-only are gone or disabled")

    async def _pages(self, query: str, key: str) -> AsyncIterator[Any]:
        last = 0
        while rows := await self._pool.fetch(query, last):
            for row in rows:
                yield row
            last = rows[-1][key]


def _entry_of(row: Any) -> Entry:
    return Entry(
        row["id"],
        row["at"],
        row["role"],
        row["who"],
        row["action"],
        row["outcome"],
        row["order_id"],
        row["detail"],
        bytes(row["hash"]),
    )


def _seal_of(row: Any) -> Seal:
    return Seal(row["number"], row["at"], row["first_id"], row["last_id"], row["entries"], bytes(row["hash"]))
