"""Counts for metrics. Each has a bound on its cost, so that every process can answer at every scrape."""

from typing import Final

COUNTED_TO: Final = 10_000
"""Rows are counted one by one up to this number. An operator acts long before."""


def counted(rows: str) -> str:
    """SQL for the number of rows of a `from …` clause, at most COUNTED_TO. An index must find the rows."""
    return f"(select count(*) from (select 1 {rows} limit {COUNTED_TO}) as counted)"
