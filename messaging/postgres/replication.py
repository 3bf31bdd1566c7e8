"""The state of replication, as the primary of a service's database sees it."""

from typing import Any

# A role without pg_monitor sees that a standby is there, but neither its state nor its place: the lag is NaN then.
_STATE = """
    select (select count(*) from pg_stat_replication where coalesce(state, 'streaming') = 'streaming')::float8,
           coalesce(
               (select max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) from pg_stat_replication),
               case when exists (select from pg_stat_replication) then 'NaN'::float8 else 0 end
           )::float8,
           (select count(*) from pg_stat_activity
            where datname = current_database() and wait_event = 'SyncRep')::float8
    where not pg_is_in_recovery()
"""


async def replication_state(pool: Any) -> tuple[float, float, float]:
    """How many standbys stream, how many bytes the last of them is behind, and how many sessions wait for one to have
    their commit. A standby does not know: all of them are NaN there."""
    row = await pool.fetchrow(_STATE)
    return tuple(row) if row else (float("nan"),) * 3
