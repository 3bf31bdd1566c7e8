"""Refused access on its way to the audit trail.

A stranger who is refused again and again must not fill the disk or slow the service. So refusals are gathered. Equal
ones become one entry with a count. Every five seconds entries are written, at most a hundred and on average one. How
many refusals there were beyond that is one more entry. Callers take turns, so a flood of one hides no other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from messaging.engine.metrics import ACCESS_REFUSED, AUDIT_DROPPED
from messaging.ports.audit import AuditEntry, Outcome
from messaging.ports.loop_time import loop_time

FLUSH_EVERY: Final = 5.0
BURST: Final = 100
MOST_WAITING: Final = 1_000
_CLOSE_WITHIN = 1.0

log = structlog.get_logger("audit")

WriteEntries: TypeAlias = Callable[[Sequence[AuditEntry]], Awaitable[None]]
_Refusal: TypeAlias = tuple[str, str, str, UUID | None, str | None]
_Caller: TypeAlias = tuple[str, str | None]
"""Whose refusal it is: a name, and the API key that was refused, because its caller has no name then."""
_Waiting: TypeAlias = dict[_Caller, dict[_Refusal, int]]
"""How often there was each refusal, by callers."""


class RefusedAccess:
    """The refusals of a process, for the trail of one service. `write` stores entries."""

    def __init__(self, service: str, write: WriteEntries, seconds: Callable[[], float] = loop_time) -> None:
        self._write = write
        self._seconds = seconds
        self._waiting: _Waiting = {}
        self._beyond = 0
        self._written: dict[_Caller, None] = {}
        """Callers that had an entry. Whose entry is the newest comes last."""
        self._room = float(BURST)
        self._filled_at = seconds()
        self._refused = ACCESS_REFUSED.labels(service)
        self._dropped = AUDIT_DROPPED.labels(service)

    def note(self, who: str, action: str, reason: str, order_id: UUID | None = None, key: str | None = None) -> None:
        """Remember that `who` was refused `action`, such as `GET /orders/{orderId}`, and by which API key. This returns
        at once. Actions and reasons must be few, so that equal refusals are counted together. `key` must be the id of
        a key that there is."""
        self._refused.inc()
        self._add((who, action, reason, order_id, key), 1)

    async def run(self) -> None:
        """Write what was refused, for ever. What cannot be written waits."""
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            try:
                await self.flush()
            except Exception as error:  # noqa: BLE001  any failure is logged and tried again
                log.warning("refused access is not recorded yet", error=f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        """Write the rest, if that takes less than a second. Otherwise the log says how many are lost."""
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self.flush()
        except Exception as error:  # noqa: BLE001  nothing comes after it
            lost = _times(self._waiting) + self._beyond
            log.warning("refused access was not recorded", refusals=lost, error=f"{type(error).__name__}: {error}")

    async def flush(self) -> None:
        """Write what there is room for. Raises the exceptions of `write`, and keeps everything then."""
        self._make_room()
        waiting, beyond = self._waiting, self._beyond
        self._waiting, self._beyond = {}, 0
        chosen = list(islice(self._in_turns(waiting), int(self._room)))
        not_chosen = beyond + _times(waiting) - sum(times for _, times in chosen)
        entries = [_entry(*refusal, times) for refusal, times in chosen]
        if not_chosen:
            entries.append(_entry("several", "several", "too many to be recorded one by one", None, None, not_chosen))
        try:
            if entries:
                await self._write(entries)
        except BaseException:
            self._put_back(waiting, beyond)
            raise
        self._room -= len(chosen)
        self._dropped.inc(not_chosen)
        self._remember([_caller(refusal) for refusal, _ in chosen])

    def _make_room(self) -> None:
        now = self._seconds()
        self._room = min(BURST, self._room + (now - self._filled_at) / FLUSH_EVERY)
        self._filled_at = now

    def _in_turns(self, waiting: _Waiting) -> Iterator[tuple[_Refusal, int]]:
        """One refusal of each caller, then another of each. Whoever had an entry last is the last in each round."""
        places = {caller: place for place, caller in enumerate(self._written)}
        callers = sorted(waiting, key=lambda caller: places.get(caller, -1))
        rounds = zip_longest(*(waiting[caller].items() for caller in callers))
        return (refusal for refusal in chain.from_iterable(rounds) if refusal is not None)

    def _remember(self, callers: Sequence[_Caller]) -> None:
        for caller in callers:
            self._written.pop(caller, None)
            self._written[caller] = None
        for caller in list(self._written)[:-MOST_WAITING]:
            del self._written[caller]

    def _put_back(self, waiting: _Waiting, beyond: int) -> None:
        self._beyond += beyond
        for of_caller in waiting.values():
            for refusal, times in of_caller.items():
                self._add(refusal, times)

    def _add(self, refusal: _Refusal, times: int) -> None:
        caller = _caller(refusal)
        of_caller = self._waiting.get(caller, {})
        if refusal in of_caller or self._has_room_for_one_more(len(of_caller)):
            of_caller[refusal] = of_caller.get(refusal, 0) + times
            self._waiting[caller] = of_caller
        else:
            self._beyond += times

    def _has_room_for_one_more(self, of_caller: int) -> bool:
        """If too much waits, make room where most of it comes from, unless that is this caller."""
        if sum(map(len, self._waiting.values())) < MOST_WAITING:
            return True
        most = max(self._waiting.values(), key=len)
        if len(most) <= of_caller + 1:
            return False
        _, times = most.popitem()
        self._beyond += times
        return True


def _caller(refusal: _Refusal) -> _Caller:
    who, _, _, _, key = refusal
    return who, key


def _times(waiting: _Waiting) -> int:
    return sum(sum(of_caller.values()) for of_caller in waiting.values())


def _entry(who: str, action: str, reason: str, order_id: UUID | None, key: str | None, times: int) -> AuditEntry:
    detail: dict[str, str | int] = {"reason": reason, "times": times}
    if key is not None:
        detail["key"] = key
    return AuditEntry(who, action, Outcome.REFUSED, order_id, detail)
