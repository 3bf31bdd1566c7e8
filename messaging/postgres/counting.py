"""Counts for metrics. Each has a bound on its cost, so that every process can answer at every scrape."""

from typing import Final

COUNTED_TO: Final = 10_000
"""Rows are counted one by one up to this number. An operator acts long before."""


def counted(rows: str) -> str:
    """SQL for the number of rows of a `from …` clause, at most COUNTED_TO. An index must find the rows."""
    return f"(select count(*) from (select 1 {rows} limit {COUNTED_TO}) as counted)"


def first(table: str, column: str) -> str:
    """SQL for a column of the first rows of a table by its id, at most COUNTED_TO, for use after `from`."""
    return f"(select {column} from {table} order by id limit {COUNTED_TO}) as first"
