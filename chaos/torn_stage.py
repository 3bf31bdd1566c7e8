"""Where the attacks on producers take place: relays with an outbox each, brokers behind a proxy, and a reader."""

import asyncio
import base64
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition

from chaos.torn_attack import Attack
from messaging.engine.relay import Relay
from messaging.kafka.joint import JointPublishing
from messaging.kafka.publisher import open_kafka_publisher
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, positions_of
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.outbox import SHARDS
from tests.messaging.messages import key_in, message
from tests.real_parts.kafka_proxy import Fate, Request

SERVICES = [f"torn-{number}" for number in range(4)]
_DATA = [Topic("torn-events", SHARDS), Topic("torn-commands", SHARDS)]
TOPICS = [*_DATA, *map(positions_of, SERVICES)]
AT_A_TIME = len(SERVICES) * SHARDS
_KEYS = 4
_STEPS = 30
_STEPS_AFTER = 4
_LARGE = 20_000
_SETTLES_WITHIN = 120.0

Ids: TypeAlias = dict[tuple[str, str], list[UUID]]


class CountedOutbox(MemoryOutbox):
    """The outbox of a service."""

    def waiting(self, shard: int) -> int:
        """How many messages of a shard are not published."""
        return len(self._rows[shard])


@dataclass(slots=True)
class Victim:
    """A shard of a relay, the messages that it has to publish, and the attack on it."""

    service: str
    shard: int
    attack: Attack
    outbox: CountedOutbox
    expected: Ids = field(default_factory=lambda: defaultdict(list))
    _keys: list[UUID] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._keys = [key_in(self.shard) for _ in range(_KEYS)]

    def is_first_of(self, service: str) -> bool:
        """Whether it is the victim of the service's first shard."""
        return (self.service, self.shard) == (service, 0)

    async def feed(self) -> None:
        """Commit messages until the attack is over, and some more, mostly a transaction at a time. Half of the victims
        begin with a batch that takes several Produce requests."""
        chance = self.attack.chance
        large, after = chance.random() < 0.5, 0
        for step in range(_STEPS):
            self.commit(10, _LARGE) if large and step == 1 else self.commit(chance.randint(1, 6), 10)
            after += self.attack.over
            if after > _STEPS_AFTER:
                return
            while self.outbox.waiting(self.shard) > chance.choice([0, 0, 40]):
                await asyncio.sleep(0.01)

    def commit(self, each: int, size: int) -> None:
        """So many events of each key, and a command behind each of them."""
        for number in range(each):
            for key in self._keys:
                data = base64.b64encode(self.attack.chance.randbytes(size)).decode()
                messages = [message(key, number, topic=topic.name, data=data) for topic in _DATA]
                self.outbox.add(messages)
                for sent in messages:
                    self.expected[sent.topic, sent.key].append(sent.event_id)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was wrong for a victim: how many messages were lost, doubled, or behind a later one of their key."""

    lost: int
    doubled: int
    disordered: int

    @property
    def wrong(self) -> bool:
        """Whether anything was."""
        return bool(self.lost or self.doubled or self.disordered)


def judge(expected: Ids, found: Ids) -> Verdict:
    """Compare what was committed with what a reader found."""
    lost = doubled = disordered = 0
    for key, events in expected.items():
        arrived = Counter(found[key])
        lost += sum(arrived[event] == 0 for event in events)
        doubled += sum(max(0, arrived[event] - 1) for event in events)
        places = {event: place for place, event in enumerate(events)}
        order = [places[event] for event in dict.fromkeys(found[key]) if event in places]
        disordered += sum(later < earlier for earlier, later in itertools.pairwise(order))
    return Verdict(lost, doubled, disordered)


@dataclass(slots=True)
class Stage:
    """`settings` lead through the proxy. `victims` are those of this round, by their transactional ids. If shards
    publish together, the first victim of a service has the requests of their joint transactions, too."""

    settings: KafkaSettings
    together: bool = True
    victims: dict[str, Victim] = field(default_factory=dict)

    async def script(self, request: Request) -> Fate:
        """See kafka_proxy."""
        victim = self.victims.get(request.transactional_id or "")
        return await victim.attack.script(request) if victim else Fate.FORWARD

    async def answered(self, request: Request, answer: bytes) -> None:
        """See kafka_proxy."""
        if victim := self.victims.get(request.transactional_id or ""):
            await victim.attack.answered(request, answer)

    async def round(self, attacks: Sequence[Attack], reader: "Reader") -> tuple[list[Verdict], bool]:
        """Attack a shard with each. Also answers whether everything was published and could be read in time."""
        outboxes = {service: CountedOutbox() for service in SERVICES}
        places = [(service, shard) for service in SERVICES for shard in range(SHARDS)]
        victims = [
            Victim(service, shard, attack, outboxes[service])
            for (service, shard), attack in zip(places, attacks, strict=False)
        ]
        self.victims = {f"{self.settings.prefix}oms-outbox-{v.service}-{v.shard}": v for v in victims}
        in_time = True
        try:
            async with AsyncExitStack() as relays, asyncio.timeout(_SETTLES_WITHIN):
                for service, outbox in outboxes.items():
                    await relays.enter_async_context(self._relay(service, outbox))
                await asyncio.gather(*(victim.feed() for victim in victims))
                await _drained(outboxes.values())
                await asyncio.gather(*(attack.at_rest() for attack in attacks))
                for victim in victims:
                    victim.commit(1, 10)
                await _drained(outboxes.values())
                await reader.read_to_the_end()
        except TimeoutError:
            in_time = False
        self.victims = {}
        return [judge(victim.expected, reader.found) for victim in victims], in_time

    @asynccontextmanager
    async def _relay(self, service: str, outbox: MemoryOutbox) -> AsyncIterator[None]:
        joint = JointPublishing(self.settings, service, allowed=self.together)
        if first := next((victim for victim in self.victims.values() if victim.is_first_of(service)), None):
            self.victims[self.settings.prefix + joint.id] = first
        open_publisher = partial(open_kafka_publisher, self.settings, service, joint=joint)
        relay = asyncio.create_task(Relay(service, outbox, open_publisher).run())
        try:
            yield
        finally:
            relay.cancel()
            with suppress(asyncio.CancelledError):
                await relay


async def _drained(outboxes: Any) -> None:
    while any(outbox.depth_and_age()[0] for outbox in outboxes):
        await asyncio.sleep(0.02)


@dataclass(slots=True)
class Reader:
    """A read_committed reader of everything, and one that is only asked for the ends."""

    settings: KafkaSettings
    committed: Any
    anything: Any
    found: Ids = field(default_factory=lambda: defaultdict(list))

    async def read_to_the_end(self) -> None:
        """Read all that is there by now. Does not end while a transaction stays open."""
        for partition, end in (await self.anything.end_offsets(self.committed.assignment())).items():
            while await self.committed.position(partition) < end:
                for records in (await self.committed.getmany(timeout_ms=100)).values():
                    for record in records:
                        (event_id,) = (UUID(value.decode()) for name, value in record.headers if name == "ce_id")
                        topic = record.topic.removeprefix(self.settings.prefix)
                        self.found[topic, record.key.decode()].append(event_id)


@asynccontextmanager
async def open_reader(settings: KafkaSettings) -> AsyncIterator[Reader]:
    """A reader from the beginning on."""
    partitions = [TopicPartition(settings.prefix + topic.name, shard) for topic in _DATA for shard in range(SHARDS)]
    async with AsyncExitStack() as stack:
        consumers = []
        for level in ("read_committed", "read_uncommitted"):
            consumer = AIOKafkaConsumer(
                bootstrap_servers=settings.bootstrap_servers,
                isolation_level=level,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
            )
            stack.push_async_callback(consumer.stop)
            await consumer.start()
            consumer.assign(partitions)
            consumers.append(consumer)
        consumers[1].pause(*partitions)
        yield Reader(settings, *consumers)
