"""The settings of a session that our statements rely on. Each session sets them itself, so that what a role, a database
or a server has by default cannot change what a commit means."""

from typing import Final

COMMAND_TIMEOUT: Final = 12.0
"""Seconds after which a client gives a statement up. The server gives up before, so that what is answered with "not
now" is not done later."""

PINNED: Final = {
    # A 201 is on disk, and on every synchronous copy.
    "synchronous_commit": "on",
    # Each statement sees what others have committed; `on conflict` and row locks count on it.
    "default_transaction_isolation": "read committed",
    "search_path": '"$user", public',
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "statement_timeout": "10s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "20s",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    # Every hot statement is set-based with the same shape for any batch size, so planning it once is right; and it
    # finds its rows by their keys, also when it was planned while the table was still empty.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_indexscan": "on",
    "enable_bitmapscan": "on",
    "enable_sort": "on",
    "jit": "off",
}

SINCE: Final = {"idle_session_timeout": 14, "transaction_timeout": 17}
"""The major version of PostgreSQL that brought a setting, for those that older ones lack."""

FREE: Final = {"search_path"}
"""What a URL may set otherwise."""

# DDL and backfills take their time, and wait for their turn.
MIGRATING: Final = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "plan_cache_mode": "auto",
    "enable_seqscan": "on",
}
