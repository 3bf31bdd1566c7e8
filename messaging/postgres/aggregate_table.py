"""The declaration of a table of aggregates, and the statements that a row store runs on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic

from messaging.ports.changes import Aggregate
from messaging.postgres.outbox import INSERT_MESSAGES


@dataclass(frozen=True, slots=True)
class Column(Generic[Aggregate]):
    """A column with its SQL type. `of` returns an aggregate's value.

    `new` and `changed` are SQL expressions for the column of a new and of a changed row, if that is not simply the
    value. In them, `w` is the row of values and `r` is the stored row.
    """

    name: str
    type: str
    of: Callable[[Aggregate], object]
    new: str | None = None
    changed: str | None = None


def due(
    name: str, after: Callable[[Aggregate], timedelta | None], *, while_status_in: Sequence[str]
) -> Column[Aggregate]:
    """A column with a time that is `after` the commit by PostgreSQL's clock, which all instances share. An `after` of
    None leaves the time as it is. In a status that is not in `while_status_in` the column is null. Columns with the
    same `after` get the same time."""
    at = f"statement_timestamp() + w.{name}"
    statuses = ", ".join(f"'{status}'" for status in while_status_in)
    still = f"case when w.status in ({statuses}) then coalesce({at}, r.{name}) end"
    return Column(name, "interval", after, new=at, changed=still)


@dataclass(frozen=True)
class Table(Generic[Aggregate]):
    """A table of aggregates. The first column is the key, a uuid. `read` makes an aggregate from a row.

    With `has_origin` the table has a column `traceparent` with the trace in which each aggregate was created. A trace
    with a message of a type in `always_traced` is recorded from that message on.
    """

    name: str
    columns: Sequence[Column[Aggregate]]
    read: Callable[[Any], Aggregate]
    has_origin: bool = False
    always_traced: frozenset[str] = frozenset()

    @cached_property
    def without_origin(self) -> "Table[Aggregate]":
        """The same table for a process that records no traces: it neither reads nor writes the origins."""
        return replace(self, has_origin=False)

    @property
    def key(self) -> str:
        """The name of the key."""
        return self.columns[0].name

    @cached_property
    def names(self) -> str:
        """The columns, for a select."""
        return ", ".join(column.name for column in self.columns)

    @cached_property
    def _origin(self) -> Sequence[str]:
        return ("traceparent",) if self.has_origin else ()

    @cached_property
    def lock(self) -> str:
        """Takes the claims $1, locks the rows $2 and returns a row for each write. The count of claims makes PostgreSQL
        take all of them before it locks the first row."""
        return f"""
            with asked as (
                select * from unnest($1::uuid[], $2::uuid[]) with ordinality as a(event_id, row_id, place)
            ), claimed as (
                insert into inbox (event_id) select event_id from asked where event_id is not null order by event_id
                on conflict do nothing returning event_id
            ), locked as (
                select {", ".join((self.names, *self._origin))} from {self.name}
                where {self.key} = any($2::uuid[]) and (select count(*) from claimed) >= 0
                order by {self.key} for update
            )
            select a.event_id is null or a.event_id in (select event_id from claimed) as is_free, l.*
            from asked a left join locked l on l.{self.key} = a.row_id order by a.place
        """

    @cached_property
    def change(self) -> str:
        """Stores the messages $1 to $6 and the changed rows. $8 and the following have a column each. $7 marks new
        rows."""
        return self._store("", "0", ())

    @cached_property
    def add_and_change(self) -> str:
        """The same for batches with new rows, after whose columns the origins come. It returns how many rows were
        added."""
        names = ", ".join((self.names, *self._origin))
        values = ", ".join((*(column.new or column.name for column in self.columns), *self._origin))
        added = f"""
            , added as (
                insert into {self.name} ({names}) select {values} from wanted w where is_new order by {self.key}
                on conflict do nothing returning {self.key}
            )
        """
        return self._store(added, "(select count(*) from added)", self._origin)

    def _store(self, added: str, count: str, origin: Sequence[str]) -> str:
        changes = [f"{column.name} = {column.changed or f'w.{column.name}'}" for column in self.columns[1:]]
        types = (*(column.type for column in self.columns), *("text" for _ in origin))
        arrays = ", ".join(f"${place}::{type_}[]" for place, type_ in enumerate(types, start=8))
        return f"""
            with wanted as (
                select * from unnest($7::boolean[], {arrays}) as w(is_new, {", ".join((self.names, *origin))})
            ), changed as (
                update {self.name} r set {", ".join(changes)}
                from wanted w where r.{self.key} = w.{self.key} and not w.is_new
            )
            {added}
            , sent as ({INSERT_MESSAGES})
            select {count} as added
        """
