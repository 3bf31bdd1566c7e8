"""The settings of a session that our statements rely on. Each session sets them itself, so the defaults of a role, a
database or a server cannot change the meaning of a commit."""

from typing import Final

COMMAND_TIMEOUT: Final = 12.0
"""Seconds after which a client abandons a statement. The server gives up earlier, so a statement that was answered with
"not now" is not executed later."""

PINNED: Final = {
    # A 201 is on disk, and on every synchronous copy.
    "synchronous_commit": "on",
    # Each statement sees the commits of others. `on conflict` and row locks need that.
    "default_transaction_isolation": "read committed",
    "search_path": '"$user", public',
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "statement_timeout": "10s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "20s",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    # Every frequent statement works on sets and has one plan for all batch sizes, so it is planned once. It finds rows
    # by their keys, also when it was planned while the table was empty.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_indexscan": "on",
    "enable_bitmapscan": "on",
    "enable_sort": "on",
    "jit": "off",
}

SINCE: Final = {"idle_session_timeout": 14, "transaction_timeout": 17}
"""The major version of PostgreSQL that introduced a setting, for settings that older versions lack."""

FREE: Final = {"search_path"}
"""The settings that a URL may override."""

# DDL and backfills may take long, and may wait long for locks.
MIGRATING: Final = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "plan_cache_mode": "auto",
    "enable_seqscan": "on",
}

# An operator's look holds nothing up, and gives up before anybody notices it.
LOOKING: Final = {
    "default_transaction_read_only": "on",
    "statement_timeout": "5s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "5s",
}
