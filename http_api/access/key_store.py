"""API keys in a service's database. They are never deleted, so the names of callers stay explained."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from http_api.access.api_keys import StoredKey
from messaging.ports.audit import WHO
from messaging.postgres.pool import Pool
from shared_kernel.caller import Caller, is_caller_name, scopes_of

MOST_KEYS = 10_000

_LOAD = f"""
    select id, digest, caller, scopes, extract(epoch from expires_at - clock_timestamp())::float8 as seconds_left,
           revoked_at is not null as is_revoked
    from api_keys
    order by revoked_at is not null or coalesce(expires_at <= clock_timestamp(), false), created_at desc
    limit {MOST_KEYS}
"""
_ADD = """
    with added as (
        insert into api_keys (id, digest, caller, scopes, expires_at)
        values ($1, $2, $3, $4, clock_timestamp() + $5::interval)
        on conflict (id) do nothing returning id, caller, scopes
    )
    insert into audit (who, action, outcome, detail)
    select $6, 'api-key.create', 'done',
           json_build_object('key', id, 'caller', caller, 'scopes', array_to_string(scopes, ' '))
    from added
"""
_REVOKE = """
    with revoked as (
        update api_keys set revoked_at = clock_timestamp() where id = $1 and revoked_at is null returning id, caller
    ), audited as (
        insert into audit (who, action, outcome, detail)
        select $2, 'api-key.revoke', 'done', json_build_object('key', id, 'caller', caller) from revoked
    )
    select caller from api_keys where id = $1
"""
_LIST = "select id, caller, scopes, created_at, expires_at, revoked_at from api_keys order by created_at, id limit $1"


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key without its hash."""

    id: str
    caller: str
    scopes: Sequence[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


async def load_keys(pool: Pool) -> Mapping[str, StoredKey]:
    """The keys that are good now, and of the others as many as there is room for: the audit trail can name them then.
    Scopes that this release does not know are left out, and so are keys whose caller has a name that is no caller's."""
    now = time.monotonic()
    return {
        row["id"]: StoredKey(
            row["digest"],
            Caller(row["caller"], scopes_of(row["scopes"])),
            None if row["seconds_left"] is None else now + row["seconds_left"],
            row["is_revoked"],
        )
        for row in await pool.fetch(_LOAD)
        if is_caller_name(row["caller"])
    }


async def add_key(pool: Pool, key_id: str, digest: bytes, caller: Caller, good_for: timedelta | None) -> None:
    """Store a key, once. The audit trail has who made it. Raises StoreUnavailable."""
    await pool.execute(_ADD, key_id, digest, caller.name, sorted(caller.scopes), good_for, WHO.get())


async def revoke_key(pool: Pool, key_id: str) -> str | None:
    """Revoke a key, and return the name of its caller. None if there is no such key. Raises StoreUnavailable."""
    name: str | None = await pool.fetchval(_REVOKE, key_id, WHO.get())
    return name


async def list_keys(pool: Pool, limit: int = MOST_KEYS) -> Sequence[ListedKey]:
    """All keys, oldest first. Raises StoreUnavailable."""
    return [ListedKey(**dict(row)) for row in await pool.fetch(_LIST, limit)]
