"""The inbox: the events that a service has handled. A claim is part of the commit that it guards.

The inbox is partitioned by the day in an event's id. Whole days are dropped, so no rows are deleted one by one. The
inbox does not recognise an event of a dropped day. So it keeps days for longer than topics keep their records.
"""

from typing import Any, Final

KEEP_DAYS: Final = 15
"""The function `keep_inbox` knows the same number."""

_KEEP = "select keep_inbox()"


async def keep_inbox(connection: Any) -> None:
    """Create a partition for each of the last `KEEP_DAYS` days, today and the next two days, and drop earlier ones.
    Claims of a new partition's day move there from the default partition. Instances take turns. The day is that of the
    database: with the clock of an instance that is weeks ahead, valid claims would be dropped.

    Raises LockNotAvailableError when a long transaction holds the table. There is enough time to try again.
    """
    await connection.execute(_KEEP)
