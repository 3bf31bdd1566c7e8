"""The cluster: topics, and the answer to each request of a client. Requests are those of the real client."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, Final

from messaging.kafka.topics import Topic
from simulation.event_loop import SimulatedLoop
from simulation.kafka import codes
from simulation.kafka.groups import Groups, Joined
from simulation.kafka.leadership import NODES, Leadership
from simulation.kafka.partition import Partition
from simulation.kafka.transactions import Transactions

VERSIONS: Final = {0: 3, 1: 4, 2: 2, 3: 1, 8: 2, 9: 3, 10: 1, 11: 5, 12: 1, 13: 1, 14: 3, 22: 0, 24: 0, 26: 0, 32: 0}
"""The version of each request that this cluster speaks, by the number of its kind."""

_TICK: Final = 0.25
_EARLIEST: Final = -2
_COMMITTED: Final = 1
_NO_PRODUCER: Final = -1
_LARGEST_MESSAGE: Final = 1_048_588
_PATIENCE: Final = 4.0
"""A fetch without records is answered late: most of the work of an idle system is to ask again."""


def host_of(node: int) -> str:
    """The name by which clients find a broker."""
    return f"broker-{node}"


BOOTSTRAP_SERVERS: Final = ",".join(f"{host_of(node)}:9092" for node in NODES)


class Cluster:
    """Three brokers with one state, as if replicas never lagged. A broker answers for what it leads and coordinates."""

    def __init__(self, loop: SimulatedLoop, rng: Random, topics: Sequence[Topic]) -> None:
        self._loop = loop
        self._rng = rng
        self.topics: dict[str, list[Partition]] = {
            topic.name: [Partition(topic.name, number) for number in range(topic.partitions)] for topic in topics
        }
        self.leadership = Leadership()
        self._groups = Groups(loop.time)
        self.transactions = Transactions(self._marker_pauses, self._afterwards, loop.time)
        self._answers: Mapping[int, Callable[[Any, int], Any]] = {
            0: self._produce,
            1: self._fetch,
            2: self._offsets,
            3: self._metadata,
            8: self._commit,
            9: self._committed,
            10: self._coordinator,
            11: self._join,
            12: self._heartbeat,
            13: self._leave,
            14: self._sync,
            22: self._init_producer,
            24: self._add_partitions,
            26: self._end_transaction,
            32: self._configs,
        }

    async def run(self) -> None:
        """Keep the time limits of transactions and members."""
        while True:
            await asyncio.sleep(_TICK)
            self._groups.tick()
            self.transactions.abort_old_ones()

    def answer(self, request: Any, node: int) -> Any:
        """The response of a broker to a request, or a coroutine that waits for it."""
        answer = self._answers[request.API_KEY](request, node)
        return _later(request, answer) if isinstance(answer, Coroutine) else request.RESPONSE_TYPE(*answer)

    def _afterwards(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_later(seconds, call, *arguments)

    def _marker_pauses(self) -> Any:
        while True:
            yield self._rng.expovariate(1 / 0.002)

    def _partition(self, topic: str, number: int) -> Partition | None:
        partitions = self.topics.get(topic, ())
        return partitions[number] if number < len(partitions) else None

    def _misled(self, topic: str, number: int, node: int) -> int:
        """The error code for a request to a broker that does not have the partition or does not lead it, or 0."""
        if self._partition(topic, number) is None:
            return codes.UNKNOWN_TOPIC_OR_PARTITION
        return codes.OK if self.leadership.leader(topic, number) == node else codes.NOT_LEADER_FOR_PARTITION

    def _misdirected(self, key: str, node: int, *, stores: bool = True) -> int:
        """The error code for a request to a broker that does not coordinate the key, or cannot store, or 0."""
        if self.leadership.coordinator(key) != node:
            return codes.NOT_COORDINATOR
        return codes.COORDINATOR_NOT_AVAILABLE if stores and self.leadership.is_short_of_copies else codes.OK

    def _metadata(self, request: Any, node: int) -> tuple[Any, ...]:
        away = self.leadership.away
        brokers = [(each, host_of(each), 9092, None) for each in NODES if each not in away]
        names = sorted(self.topics if request.topics is None else request.topics)
        topics = [
            (
                0 if name in self.topics else codes.UNKNOWN_TOPIC_OR_PARTITION,
                name,
                False,
                [
                    (0, each.number, self.leadership.leader(name, each.number), [*NODES], [*NODES])
                    for each in self.topics.get(name, ())
                ],
            )
            for name in names
        ]
        return brokers, node, topics

    def _coordinator(self, request: Any, _node: int) -> tuple[Any, ...]:
        node = self.leadership.coordinator(request.coordinator_key)
        return 0, 0, None, node, host_of(node), 9092

    def _configs(self, request: Any, _node: int) -> tuple[Any, ...]:
        entries = [("max.message.bytes", str(_LARGEST_MESSAGE), False, True, False)]
        return 0, [
            (0 if name in self.topics else codes.UNKNOWN_TOPIC_OR_PARTITION, None, kind, name, entries)
            for kind, name, _ in request.resources
        ]

    def _produce(self, request: Any, node: int) -> tuple[Any, ...]:
        answers: dict[str, list[Any]] = {}
        for topic, number, data in sorted(
            (topic, number, data) for topic, them in request.topics for number, data in them
        ):
            partition, offset = self._partition(topic, number), -1
            if error := self._misled(topic, number, node):
                pass
            elif self.leadership.is_short_of_copies:
                error = codes.NOT_ENOUGH_REPLICAS
            elif partition is not None:
                error, offset = self._append(partition, bytes(data))
            answers.setdefault(topic, []).append((number, error, offset, -1))
        return list(answers.items()), 0

    def _append(self, partition: Partition, data: bytes) -> tuple[int, int]:
        producer_id, epoch = int.from_bytes(data[43:51], signed=True), int.from_bytes(data[51:53])
        if producer_id == _NO_PRODUCER:
            return codes.OK, partition.append_plain(data)
        holds = self.transactions.holds(producer_id, epoch, partition)
        return partition.append(data, is_in_transaction=holds)

    async def _fetch(self, request: Any, node: int) -> tuple[Any, ...]:
        wanted = sorted((topic, *them) for topic, all_of_it in request.topics for them in all_of_it)
        until = self._loop.time() + _PATIENCE * request.max_wait_time / 1000
        while True:
            answers: dict[str, list[Any]] = {}
            found = False
            for topic, number, offset, at_most in wanted:
                committed = request.isolation_level == _COMMITTED
                error = self._misled(topic, number, node)
                answer = _refused(number, error) if error else self._read(topic, number, offset, at_most, committed)
                found = found or bool(answer[-1]) or bool(answer[1])
                answers.setdefault(topic, []).append(answer)
            left = until - self._loop.time()
            if found or left <= 0:
                return 0, list(answers.items())
            partitions = [each for topic, number, *_ in wanted if (each := self._partition(topic, number))]
            await asyncio.wait(
                [each.changed(self._loop) for each in partitions], timeout=left, return_when=asyncio.FIRST_COMPLETED
            )

    def _read(self, topic: str, number: int, offset: int, at_most: int, committed: bool) -> tuple[Any, ...]:
        partition = self.topics[topic][number]
        if not 0 <= offset <= partition.end:
            return _refused(number, codes.OFFSET_OUT_OF_RANGE)
        data, aborted = partition.read(offset, committed=committed, at_most=at_most)
        return number, 0, partition.end, partition.last_stable_offset, aborted, data

    def _offsets(self, request: Any, node: int) -> tuple[Any, ...]:
        answers: dict[str, list[Any]] = {}
        for topic, number, at in sorted((topic, *them) for topic, all_of_it in request.topics for them in all_of_it):
            if error := self._misled(topic, number, node):
                answer = (number, error, -1, -1)
            elif at == _EARLIEST:
                answer = (number, 0, -1, 0)
            else:
                partition = self.topics[topic][number]
                committed = request.isolation_level == _COMMITTED
                answer = (number, 0, -1, partition.last_stable_offset if committed else partition.end)
            answers.setdefault(topic, []).append(answer)
        return 0, list(answers.items())

    def _heartbeat(self, request: Any, node: int) -> tuple[Any, ...]:
        error = self._misdirected(request.group, node, stores=False)
        return 0, error or self._groups.heartbeat(request.group, request.generation_id, request.member_id)

    def _leave(self, request: Any, node: int) -> tuple[Any, ...]:
        error = self._misdirected(request.group, node, stores=False)
        return 0, error or self._groups.leave(request.group, request.member_id)

    async def _join(self, request: Any, node: int) -> tuple[Any, ...]:
        error = self._misdirected(request.group, node, stores=False)
        it = (
            Joined(error)
            if error
            else await self._groups.join(
                request.group,
                request.member_id,
                request.group_instance_id,
                request.session_timeout / 1000,
                request.rebalance_timeout / 1000,
                request.group_protocols,
            )
        )
        return 0, it.error, it.generation, it.protocol, it.leader, it.member, list(it.members)

    async def _sync(self, request: Any, node: int) -> tuple[Any, ...]:
        if error := self._misdirected(request.group, node):
            return 0, error, b""
        return 0, *await self._groups.sync(
            request.group, request.generation_id, request.member_id, request.group_assignment
        )

    def _commit(self, request: Any, node: int) -> tuple[Any, ...]:
        offsets = {(topic, number): offset for topic, them in request.topics for number, offset, _ in them}
        error = self._misdirected(request.consumer_group, node) or self._groups.commit(
            request.consumer_group, request.consumer_group_generation_id, request.consumer_id, offsets
        )
        return ([(topic, [(number, error) for number, _, _ in them]) for topic, them in request.topics],)

    def _committed(self, request: Any, node: int) -> tuple[Any, ...]:
        group = request.consumer_group
        if error := self._misdirected(group, node, stores=False):
            return 0, [], error
        wanted = self._groups.committed_partitions(group) if request.topics is None else request.topics
        return (
            0,
            [
                (topic, [(each, self._groups.committed(group, (topic, each)), "", 0) for each in sorted(numbers)])
                for topic, numbers in sorted(wanted)
            ],
            0,
        )

    def _init_producer(self, request: Any, node: int) -> tuple[Any, ...]:
        if error := self._misdirected(request.transactional_id, node):
            return 0, error, -1, -1
        return 0, *self.transactions.init(request.transactional_id, request.transaction_timeout_ms / 1000)

    def _add_partitions(self, request: Any, node: int) -> tuple[Any, ...]:
        error = self._misdirected(request.transactional_id, node)
        found = [self._partition(topic, number) for topic, numbers in request.topics for number in numbers]
        if not error and None in found:
            error = codes.UNKNOWN_TOPIC_OR_PARTITION
        elif not error:
            partitions = [each for each in found if each is not None]
            error = self.transactions.add(
                request.transactional_id, request.producer_id, request.producer_epoch, partitions
            )
        return 0, [(topic, [(number, error) for number in numbers]) for topic, numbers in request.topics]

    def _end_transaction(self, request: Any, node: int) -> tuple[Any, ...]:
        error = self._misdirected(request.transactional_id, node) or self.transactions.end(
            request.transactional_id,
            request.producer_id,
            request.producer_epoch,
            commit=bool(request.transaction_result),
        )
        return 0, error


def _refused(number: int, error: int) -> tuple[Any, ...]:
    return number, error, -1, -1, [], b""


async def _later(request: Any, answer: Coroutine[Any, Any, tuple[Any, ...]]) -> Any:
    return request.RESPONSE_TYPE(*await answer)
