"""A consumer with a handler that does what a test tells it to."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from messaging.engine.consumer import Consumer
from messaging.ports.failures import Failures
from messaging.ports.record import Record
from messaging.ports.subscription import Subscription
from tests.messaging.records import SOURCE, TOPIC, of_key

DEADLINE = 20.0
COMMANDS = "inventory-commands"


@dataclass
class Effects:
    """What a service did: once for each event id, as a claim in its commit makes it.

    `failing` says for a key what handling it raises, for each try one, or the same error for ever. The handling of a
    key whose gate is closed has begun and goes on when it opens.
    """

    of: list[Record] = field(default_factory=list)
    tries: Counter[int] = field(default_factory=Counter)
    failing: dict[str, Exception | list[Exception]] = field(default_factory=dict)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    begun: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    _claims: set[UUID] = field(default_factory=set)

    async def handle(self, record: Record) -> None:
        """A handler."""
        self.tries[record.offset] += 1
        self.begun[record.key].set()
        if record.key in self.gates:
            await self.gates[record.key].wait()
        await asyncio.sleep(0)
        failing = self.failing.get(record.key)
        if isinstance(failing, Exception):
            raise failing
        if failing:
            raise failing.pop(0)
        if record.event_id not in self._claims:
            self._claims.add(record.event_id)
            self.of.append(record)
        await asyncio.sleep(0)

    def close(self, key: str) -> asyncio.Event:
        """Hold the handling of a key up; set the event to let it go on."""
        self.gates[key] = asyncio.Event()
        self.begun[key].clear()
        return self.gates[key]

    def of_key(self, key: str) -> list[Record]:
        """The effects on one key."""
        return of_key(key, self.of)

    def consumer(self, failures: Failures) -> Consumer:
        """A consumer of a topic of events, and of one of commands."""
        handlers = {"StockReserved": self.handle}
        return Consumer("test", [Subscription(TOPIC, handlers, SOURCE), Subscription(COMMANDS, handlers)], failures)


async def until(satisfied: Callable[[], bool], what: str) -> None:
    """Wait for something that is going to happen."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not satisfied():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE:.0f} s for {what}") from None
