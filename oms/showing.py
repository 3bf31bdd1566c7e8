"""What `oms up` prints while it runs: a line for each order, or for each event."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum, auto
from functools import partial

from messaging.engine.background import every, running
from messaging.kafka.settings import KafkaSettings
from messaging.ports.record import Record
from messaging.ports.subscription import Subscriber
from messaging.runtime.settings import PublisherKind
from messaging.runtime.transport import Transport
from oms.order_lines import TOPIC, OrderLines
from oms.screen import Screen
from oms.services import EVENT_TOPICS
from oms.tail import line_of, tail

_SHOWN_AGAIN_AFTER = 1.0


class Shown(Enum):
    """What is printed."""

    NOTHING = auto()
    ORDERS = auto()
    EVENTS = auto()


@asynccontextmanager
async def showing(shown: Shown, kind: PublisherKind, kafka: KafkaSettings, transport: Transport) -> AsyncIterator[None]:
    """Print during the block. A slow terminal does not delay any delivery."""
    async with AsyncExitStack() as stack:
        if shown is not Shown.NOTHING:
            screen = Screen()
            stack.callback(screen.close)
            from_kafka = kind is PublisherKind.KAFKA
            take, topics = _taker(shown, screen, stack, from_kafka=from_kafka)
            if from_kafka:
                tails = {f"the tail of {topic}": _tail(kafka, topic, take) for topic in topics}
                await stack.enter_async_context(running(tails))
            else:
                await stack.enter_async_context(transport.deliver("shown", topics, _subscriber(take)))
        yield


def _taker(
    shown: Shown, screen: Screen, stack: AsyncExitStack, *, from_kafka: bool
) -> tuple[Callable[[Record], None], Sequence[str]]:
    """What shows a record, and the topics whose records it wants."""
    if shown is Shown.EVENTS:
        return lambda record: screen.show(line_of(record, from_kafka=from_kafka)), EVENT_TOPICS
    lines = OrderLines(screen.show)
    stack.callback(lines.flush)
    return lines.take, [TOPIC]


def _subscriber(take: Callable[[Record], None]) -> Subscriber:
    async def show_all(records: Sequence[Record]) -> None:
        for record in records:
            take(record)

    return show_all


async def _tail(kafka: KafkaSettings, topic: str, take: Callable[[Record], None]) -> None:
    show = partial(tail, kafka, topic, from_beginning=False, count=None, take=take)
    await every(_SHOWN_AGAIN_AFTER, show, f"tail of {topic}")
