"""The consumer: hands records to handlers, keys concurrently, one key in order, and lets no failure get lost.

A failure is judged once. What can never be handled becomes a dead letter. Anything else is tried a few times in place;
then its key is parked: this record and every later one of the key wait in the database, the other keys go on, and a
sweep tries again. When the database itself is away nothing is judged: the batch waits.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import structlog

from messaging.engine.correlation import ORDER_ID
from messaging.engine.metrics import CONSUMED
from messaging.ports.changes import StoreOverloaded, StoreUnavailable
from messaging.ports.failures import Failure, Failures, Parked
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Handler, Subscription

ATTEMPTS = 3
_FIRST_PAUSE = 0.05
_STORE_PAUSE = 0.5
_SWEEP_AT_ONCE = 100
_LONGEST_SWEEP_PAUSE = 60.0

Answer = TypeVar("Answer")

log = structlog.get_logger("consumer")


class Consumer:
    """Handles the records of `subscriptions` for one service. Any number may run; claims keep each effect single."""

    def __init__(self, service: str, subscriptions: Sequence[Subscription], failures: Failures) -> None:
        self._subscriptions = {subscription.topic: subscription for subscription in subscriptions}
        self._failures = failures
        self._handled = CONSUMED.labels(service, "handled")
        self._ignored = CONSUMED.labels(service, "ignored")
        self._parked = CONSUMED.labels(service, "parked")
        self._dead = CONSUMED.labels(service, "dead_letter")

    @property
    def topics(self) -> Sequence[str]:
        """What there is to subscribe to."""
        return list(self._subscriptions)

    async def handle(self, records: Sequence[Record]) -> None:
        """Return once every record is handled, parked or a dead letter. Waits for as long as the database is away."""
        by_key: dict[str, list[Record]] = {}
        for record in records:
            by_key.setdefault(record.key, []).append(record)
        parked = await _patiently(lambda: self._failures.parked_among(list(by_key)))
        await _all(
            self._park(waiting, "an earlier record of its key is parked", 0)
            if key in parked
            else self._handle_in_order(waiting)
            for key, waiting in by_key.items()
        )

    async def sweep(self) -> None:
        """Try the parked keys that are due, each from its oldest record for as long as that goes well.

        A parked record is forgotten only after it was handled, so that what comes in the meantime parks behind it. What
        parks just after a sweep's last look waits for the next sweep, and so does whatever comes after that.
        """
        await _all(self._resume_key(key) for key in await self._failures.due(_SWEEP_AT_ONCE))

    async def _handle_in_order(self, records: Sequence[Record]) -> None:
        for place, record in enumerate(records):
            try:
                await self._try(record)
            except Rejected as rejection:
                await self._bury(record, rejection)
            except Exception as error:  # noqa: BLE001  whatever it is: the key waits with it
                await self._park(records[place:], _sentence(error), ATTEMPTS)
                return

    async def _try(self, record: Record) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await _patiently(lambda: self._handle_one(record))
            except Rejected:
                raise
            except Exception as error:
                if attempt == ATTEMPTS:
                    raise
                log.info("tried again", attempt=attempt, error=_sentence(error), **_coordinates(record))
                await asyncio.sleep(random.uniform(0, _FIRST_PAUSE * 2**attempt))  # noqa: S311  jitter, not a secret
            else:
                return

    async def _handle_one(self, record: Record) -> None:
        ORDER_ID.set(record.key)
        handler = self._handler_of(record)
        if handler is None:
            self._ignored.inc()
        else:
            await handler(record)
            self._handled.inc()

    def _handler_of(self, record: Record) -> Handler | None:
        """None for what is none of ours. Raises Rejected."""
        subscription = self._subscriptions[record.topic]
        handler = subscription.handlers.get(record.type)
        if handler is None and (subscription.source is None or record.headers.get("ce_source") != subscription.source):
            raise Rejected(f"nobody here knows the type {record.type!r}")
        return handler

    async def _resume_key(self, key: str) -> None:
        try:
            while (parked := await self._failures.oldest_of(key)) and await self._resume(parked):
                pass
        except (StoreUnavailable, StoreOverloaded) as error:
            log.warning("waiting for the store", error=str(error))

    async def _resume(self, parked: Parked) -> bool:
        """True when the key can go on with its next record. Raises StoreUnavailable and StoreOverloaded: as in a batch,
        they are nobody's failure."""
        record = parked.record
        try:
            await self._handle_one(record)
        except Rejected as rejection:
            await self._bury(record, rejection, parked.attempts + 1, parked.id)
        except (StoreUnavailable, StoreOverloaded):
            raise
        except Exception as error:  # noqa: BLE001  whatever it is: it waits longer
            pause = min(2.0 ** min(parked.attempts, 16), _LONGEST_SWEEP_PAUSE) * random.uniform(0.5, 1)  # noqa: S311
            await self._failures.postpone(parked.id, _sentence(error), pause)
            return False
        else:
            await self._failures.forget(parked.id)
            log.info("parked record handled", **_coordinates(record))
        return True

    async def _park(self, records: Sequence[Record], error: str, attempts: int) -> None:
        failures = [Failure(record, error, attempts if record is records[0] else 0) for record in records]
        await _patiently(lambda: self._failures.park(failures))
        self._parked.inc(len(records))
        log.warning("key parked", records=len(records), error=error, **_coordinates(records[0]))

    async def _bury(self, record: Record, rejection: Rejected, attempts: int = 1, parked_id: int | None = None) -> None:
        failure = Failure(record, str(rejection), attempts)
        await _patiently(lambda: self._failures.bury(failure, parked_id))
        self._dead.inc()
        log.error("dead letter", error=str(rejection), **_coordinates(record))


async def _all(keys: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Let every key come to its end, and then raise what went wrong with the first of those that failed. A key that was
    cancelled while we were not, as happens when its store is closed, has failed, too: a TaskGroup takes it for done."""
    for outcome in await asyncio.gather(*keys, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            raise RuntimeError("a handler was cancelled in the middle of its batch") from outcome


async def _patiently(action: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask again for as long as the store is away or overloaded: that is nobody's failure."""
    while True:
        try:
            return await action()
        except (StoreUnavailable, StoreOverloaded) as error:
            log.warning("waiting for the store", error=str(error))
            await asyncio.sleep(random.uniform(0.1, 1) * _STORE_PAUSE)  # noqa: S311  jitter, not a secret


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _coordinates(record: Record) -> dict[str, object]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset, "key": record.key}
