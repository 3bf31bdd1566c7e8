"""How much is measured: sizes and durations of a whole run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Party = TypeVar("Party")

TURN_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Each figure is the median of `rounds`; the compared parties take turns within a round.

    `seconds` is one turn under load. Rates of POST are compared in `turns` of one second, because the speed of a shared
    machine changes from one second to the next. Backlogs are rows of the outbox, `few` and `many` the two of the
    backlog measurement, which is short and therefore takes `backlog_rounds`. Memory is compared at two counts of
    orders.

    `sustained_seconds` is a turn of the whole system, with `on_their_way` orders between POST and CONFIRMED, and
    `short_seconds` one where parties have many turns; `consumed` is how many records a consumer finds on its topic.
    `recoveries` is how often each system is killed.
    """

    name: str
    rounds: int
    seconds: int
    turns: int
    relay_backlog: int
    backlog_rounds: int
    few: int
    many: int
    orders_before: int
    orders_after: int
    sustained_seconds: int
    short_seconds: int
    on_their_way: int
    consumed: int
    recoveries: int


FULL = Plan(
    name="full",
    rounds=3,
    seconds=5,
    turns=20,
    relay_backlog=100_000,
    backlog_rounds=7,
    few=10_000,
    many=1_000_000,
    orders_before=20_000,
    orders_after=200_000,
    sustained_seconds=30,
    short_seconds=10,
    on_their_way=2000,
    consumed=50_000,
    recoveries=10,
)
QUICK = Plan(
    name="quick",
    rounds=2,
    seconds=2,
    turns=4,
    relay_backlog=30_000,
    backlog_rounds=3,
    few=10_000,
    many=100_000,
    orders_before=10_000,
    orders_after=40_000,
    sustained_seconds=10,
    short_seconds=6,
    on_their_way=2000,
    consumed=20_000,
    recoveries=3,
)


def in_turns(parties: Sequence[Party], turns: int) -> Iterator[tuple[int, Party]]:
    """Every party once in each of the turns, which are counted from 1. Who is first rotates."""
    for number in range(turns):
        first = number % len(parties)
        for party in (*parties[first:], *parties[:first]):
            yield number + 1, party
