"""The consumer: hands records to handlers, keys concurrently and each key in order, and loses no failure.

A record that cannot be handled at all becomes a dead letter. Any other failure is tried a few times in place. Then the
key is parked: this record and every later one of the key wait in the database, the other keys go on, and a sweep tries
again. If the whole service fails, no record is judged and the batch waits. The whole service fails when the database is
away, when it lacks tables or permissions, or when every key fails alike.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import structlog

from messaging.engine import tracing
from messaging.engine.breaker import Breaker, Suspicion
from messaging.engine.correlation import ORDER_ID
from messaging.engine.message_spans import processing
from messaging.engine.metrics import CONSUMED, CRITICAL_TIME
from messaging.ports.changes import StoreOverloaded, StoreUnavailable
from messaging.ports.failures import Failure, Failures, Parked
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Handler, Subscription, group_of

ATTEMPTS = 3
_FIRST_PAUSE = 0.05
_STORE_PAUSE = 0.5
_SWEEP_AT_ONCE = 100
_LONGEST_SWEEP_PAUSE = 60.0
_LONGEST_DOUBT = 60.0

Answer = TypeVar("Answer")

log = structlog.get_logger("consumer")


@dataclass(frozen=True, slots=True)
class _Failed:
    """The records of a key from the failed one on."""

    records: Sequence[Record]
    error: Exception

    @property
    def key(self) -> str:
        return self.records[0].key


class Consumer:
    """Handles the records of `subscriptions` for one service. Any number may run: claims make each effect happen
    once."""

    def __init__(self, service: str, subscriptions: Sequence[Subscription], failures: Failures) -> None:
        self._subscriptions = {subscription.topic: subscription for subscription in subscriptions}
        self._group = group_of(service)
        self._failures = failures
        self._breaker = Breaker(service, pause=_STORE_PAUSE)
        self._suspicion = Suspicion()
        self._went_well = 0
        self._critical_times = {
            kind: CRITICAL_TIME.labels(service, kind)
            for subscription in subscriptions
            for kind in subscription.handlers
        }
        self._handled = CONSUMED.labels(service, "handled")
        self._ignored = CONSUMED.labels(service, "ignored")
        self._parked = CONSUMED.labels(service, "parked")
        self._dead = CONSUMED.labels(service, "dead_letter")

    @property
    def topics(self) -> Sequence[str]:
        """The topics of the subscriptions."""
        return list(self._subscriptions)

    async def handle(self, records: Sequence[Record]) -> None:
        """Return once every record is handled, parked or a dead letter. Waits as long as the whole service fails."""
        by_key: dict[str, list[Record]] = {}
        for record in records:
            by_key.setdefault(record.key, []).append(record)
        parked = await self._breaker.call(lambda: self._failures.parked_among(list(by_key)))
        await _all(
            self._park(by_key[key], "an earlier record of its key is parked", 0) for key in by_key if key in parked
        )
        await self._handle_keys([waiting for key, waiting in by_key.items() if key not in parked])

    async def sweep(self) -> None:
        """Try every parked key that is due, once, from its oldest record on until one fails. Stops when the store
        answers for none of the keys.

        A parked record is removed only after it was handled, so a record that comes meanwhile parks behind it. A record
        that parks after the sweep's last look waits for the next sweep, with every later record of its key.
        """
        tried: set[str] = set()
        while True:
            found = await self._breaker.call(lambda: self._failures.due(_SWEEP_AT_ONCE))
            due = [key for key in found if key not in tried]
            if not due or not any(await _all(self._resume_key(key) for key in due)):
                return
            tried.update(due)

    async def _handle_keys(self, waiting: Sequence[Sequence[Record]]) -> None:
        """Handle keys at the same time. A key that fails is parked, unless the whole service fails."""
        while waiting:
            went_well = self._went_well
            together = self._suspicion.may_fall_on_the_service(records[0].key for records in waiting)
            outcomes = await _all(self._handle_in_order(records, park=not together) for records in waiting)
            failed = [outcome for outcome in outcomes if outcome is not None]
            if together and self._is_the_service(failed, went_well):
                waiting = await self._wait_for_the_service(failed)
            else:
                await _all(self._park(each.records, _sentence(each.error), ATTEMPTS) for each in failed)
                return

    def _is_the_service(self, failed: Sequence[_Failed], went_well: int) -> bool:
        return self._suspicion.falls_on_the_service(
            [(each.key, each.error) for each in failed], some_went_well=self._went_well != went_well
        )

    async def _wait_for_the_service(self, failed: Sequence[_Failed]) -> Sequence[Sequence[Record]]:
        """Try one key after the other until one succeeds, and return the records that are left.

        The keys may still fail for reasons of their own. So after a minute they are parked, and no longer hold up other
        keys.
        """
        doubtful = deque(failed)
        until = asyncio.get_running_loop().time() + _LONGEST_DOUBT
        with self._breaker.doubting() as pauses:
            while doubtful and asyncio.get_running_loop().time() < until:
                probe = doubtful.popleft()
                log.warning("waiting, because every key fails alike", error=_sentence(probe.error))
                await asyncio.sleep(next(pauses))
                went_well = self._went_well
                again = await self._handle_in_order(probe.records, park=False)
                if again is not None:
                    doubtful.append(again)
                if self._went_well != went_well:
                    return [each.records for each in doubtful]
        self._suspicion.clear()
        await _all(self._park(each.records, _sentence(each.error), ATTEMPTS) for each in doubtful)
        return []

    async def _handle_in_order(self, records: Sequence[Record], *, park: bool) -> _Failed | None:
        """Handle the records of a key until one fails. Then park the rest, or return it."""
        for place, record in enumerate(records):
            try:
                await self._try(record)
            except Rejected as rejection:
                await self._bury(record, rejection)
            except Exception as error:  # noqa: BLE001  after any failure the key waits
                failed = _Failed(records[place:], error)
                if not park:
                    return failed
                self._is_the_service([failed], self._went_well)
                await self._park(failed.records, _sentence(error), ATTEMPTS)
                return None
        return None

    async def _try(self, record: Record) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._breaker.call(lambda: self._handle_one(record))
            except Rejected:
                raise
            except Exception as error:
                if attempt == ATTEMPTS:
                    raise
                log.info("tried again", attempt=attempt, error=_sentence(error), **_coordinates(record))
                await asyncio.sleep(random.uniform(0, _FIRST_PAUSE * 2**attempt))  # noqa: S311  jitter, not a secret
            else:
                return

    async def _handle_one(self, record: Record, *, later: bool = False) -> None:
        ORDER_ID.set(record.key)
        if tracing.is_on() and (span := processing(record, self._group, later=later)):
            with span:
                await self._hand_over(record)
        else:
            await self._hand_over(record)

    async def _hand_over(self, record: Record) -> None:
        handler = self._handler_of(record)
        if handler is None:
            self._ignored.inc()
        else:
            await handler(record)
            self._went_well += 1
            self._suspicion.clear()
            self._handled.inc()
            self._observe_critical_time(record)

    def _observe_critical_time(self, record: Record) -> None:
        """A record of somebody else's may lack its time."""
        try:
            decided = datetime.fromisoformat(record.headers["ce_time"]).timestamp()
        except (KeyError, ValueError):
            return
        self._critical_times[record.type].observe(max(0.0, time.time() - decided), tracing.exemplar())

    def _handler_of(self, record: Record) -> Handler | None:
        """None for a record that we ignore. Raises Rejected."""
        subscription = self._subscriptions[record.topic]
        handler = subscription.handlers.get(record.type)
        if handler is None and (subscription.source is None or record.headers.get("ce_source") != subscription.source):
            raise Rejected(f"nobody here knows the type {record.type!r}")
        return handler

    async def _resume_key(self, key: str) -> bool:
        """False when the store did not answer."""
        try:
            while (parked := await self._failures.oldest_of(key)) and await self._resume(parked):
                pass
        except (StoreUnavailable, StoreOverloaded) as error:
            log.warning("waiting for the store", error=str(error))
            return False
        return True

    async def _resume(self, parked: Parked) -> bool:
        """True when the key can go on with its next record. Raises StoreUnavailable and StoreOverloaded, which do not
        count as failures of the record."""
        record = parked.record
        try:
            await self._handle_one(record, later=True)
        except Rejected as rejection:
            await self._bury(record, rejection, parked.attempts + 1, parked.id)
        except (StoreUnavailable, StoreOverloaded):
            raise
        except Exception as error:  # noqa: BLE001  after any failure it waits longer
            pause = min(2.0 ** min(parked.attempts, 16), _LONGEST_SWEEP_PAUSE) * random.uniform(0.5, 1)  # noqa: S311
            await self._failures.postpone(parked.id, _sentence(error), pause)
            return False
        else:
            await self._failures.forget(parked.id)
            log.info("parked record handled", **_coordinates(record))
        return True

    async def _park(self, records: Sequence[Record], error: str, attempts: int) -> None:
        failures = [Failure(record, error, attempts if record is records[0] else 0) for record in records]
        await self._breaker.call(lambda: self._failures.park(failures))
        self._parked.inc(len(records))
        log.warning("key parked", records=len(records), error=error, **_coordinates(records[0]))

    async def _bury(self, record: Record, rejection: Rejected, attempts: int = 1, parked_id: int | None = None) -> None:
        failure = Failure(record, str(rejection), attempts)
        await self._breaker.call(lambda: self._failures.bury(failure, parked_id))
        self._dead.inc()
        log.error("dead letter", error=str(rejection), **_coordinates(record))


async def _all(keys: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """Wait until every key has ended, and then raise the first failure.

    A key that was cancelled alone has failed too. That happens when its store is closed. A TaskGroup would take it for
    done.
    """
    answers: list[Answer] = []
    for outcome in await asyncio.gather(*keys, return_exceptions=True):
        match outcome:
            case Exception():
                raise outcome
            case BaseException():
                raise RuntimeError("a handler was cancelled in the middle of its batch") from outcome
            case answer:
                answers.append(answer)
    return answers


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _coordinates(record: Record) -> dict[str, object]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": record.key}
