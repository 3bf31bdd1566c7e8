"""Noticing that the database may lack its last commits.

A server begins a new timeline when a standby is promoted, and at the end of a restore from a backup. A restored dump is
on another server, which has another identifier. Nothing else tells a service that commits of its own may be gone. So
each database remembers the servers and timelines that the service ran on.
"""

import asyncpg
import structlog

from messaging.postgres.pool import Pool

# The control file names the timeline of the last checkpoint, which a promoted standby makes later. The name of the
# current file of the log has the timeline at once. The commit waits for no standby: a promoted server may have none
# yet, and a wait that is given up would have stored the row without an answer.
_REMEMBER = """
    with here as (
        select system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer as timeline
        from pg_control_system(), set_config('synchronous_commit', 'local', true)
    )
    insert into timelines (system_identifier, timeline) select system_identifier, timeline from here
    on conflict do nothing
    returning timeline, (select timeline from timelines order by first_seen desc limit 1) as before
"""
# A server that does not say where it is: for want of a permission, or because its storage is not PostgreSQL's own.
_UNTOLD = (asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFunctionError)

log = structlog.get_logger("database")


async def notice_timeline(service: str, pool: Pool) -> None:
    """Log a warning if the database is on another server or timeline than before. Only one process of a service does
    so, once. Where the server does not tell its timeline, nothing happens. Raises StoreUnavailable."""
    async with pool.session() as session:
        try:
            here = await session.fetchrow(_REMEMBER)
        except _UNTOLD as error:
            log.debug("the server does not tell its timeline", service=service, error=str(error))
            return
    if here is not None and here["before"] is not None:
        log.warning(
            "the database is on a new timeline or another server: a standby was promoted, or a backup was restored; "
            "without a synchronous standby the last commits are lost: `oms orders unknown` lists lost orders that "
            "partners answer about, and docs/failover.md says what to do",
            service=service,
            timeline=here["timeline"],
            before=here["before"],
        )
