"""Checks of topics for relays and consumers. Each problem is named with the command that solves it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from messaging.kafka.admin import DescribedTopic, describe, open_admin
from messaging.kafka.settings import KafkaSettings, SecurityProtocol
from messaging.kafka.topics import (
    LARGEST_MESSAGE,
    RETENTION,
    SEGMENT,
    TOPIC_TAKES,
    Topic,
    in_sync_replicas,
    milliseconds,
)

_LONGEST = 10**15  # milliseconds that a timedelta can hold; Kafka's limit is higher
MARGIN = timedelta(days=1)
"""A message may wait this long in an outbox, and consumers still remember it for longer than its topic keeps it."""
KEPT_AT_LEAST = timedelta(days=1)
"""A consumer may be stopped this long and loses nothing."""


async def problems_with(
    settings: KafkaSettings, topics: Sequence[Topic], remembered: timedelta, *, replication: int = 1
) -> list[str]:
    """The problems of the topics, a sentence each. `remembered` is how long consumers remember the messages that they
    handled, and `replication` how many copies of each partition there must be at least. Settings that this user may not
    read are not checked. Raises KafkaError, and TimeoutError when no broker answers."""
    async with open_admin(settings) as admin:
        found = await describe(admin, [settings.prefix + topic.name for topic in topics])
    checks = TopicChecks(settings, remembered, replication)
    return [
        sentence
        for topic in topics
        if (name := settings.prefix + topic.name) in found
        for sentence in checks.problems(topic, name, found[name])
    ]


class TopicChecks:
    """The checks of a topic on this cluster."""

    def __init__(self, settings: KafkaSettings, remembered: timedelta, replication: int = 1) -> None:
        self._remembered = remembered
        self._replication = replication
        self._cluster = f"--bootstrap-server {settings.bootstrap_servers}"
        if settings.security_protocol is not SecurityProtocol.PLAINTEXT:
            self._cluster += " --command-config client.properties"

    def problems(self, topic: Topic, name: str, found: DescribedTopic | None) -> Iterator[str]:
        """A sentence for each problem."""
        if found is None:
            yield f"topic {name} is not there: oms topics create"
            return
        yield from self._partitions(topic, name, found)
        yield from self._cleanup_policy(topic, name, found)
        if not topic.compacted:
            yield from self._retention(name, found)
            yield from self._size(name, found)
        yield from self._copies(name, found)
        yield from self._in_sync_replicas(name, found)
        yield from self._message_size(name, found)

    def _partitions(self, topic: Topic, name: str, found: DescribedTopic) -> Iterator[str]:
        if found.partitions == topic.partitions:
            return
        tool = f"kafka-topics.sh {self._cluster}"
        mend = (
            f"{tool} --alter --topic {name} --partitions {topic.partitions}"
            if found.partitions < topic.partitions
            else f"{tool} --delete --topic {name} && oms topics create"
        )
        yield (
            f"topic {name} has {found.partitions} partitions instead of {topic.partitions}, and keys lose their order "
            f"where that changes: stop the services when everything on it is read, and then: {mend}"
        )

    def _cleanup_policy(self, topic: Topic, name: str, found: DescribedTopic) -> Iterator[str]:
        policy = (found.config or {}).get("cleanup.policy", topic.cleanup_policy)
        if policy != topic.cleanup_policy:
            lost = "forgets what is published already" if topic.compacted else "loses messages that have the same key"
            yield (
                f"topic {name} has cleanup.policy={policy} instead of {topic.cleanup_policy} and {lost}: "
                f"{self._set(name, {'cleanup.policy': topic.cleanup_policy})}"
            )

    def _retention(self, name: str, found: DescribedTopic) -> Iterator[str]:
        retention, segment = found.number("retention.ms"), found.number("segment.ms")
        if retention is None or segment is None:
            return
        mended = {"retention.ms": milliseconds(RETENTION), "segment.ms": milliseconds(SEGMENT)}
        if 0 <= retention < int(milliseconds(KEPT_AT_LEAST)):
            yield (
                f"topic {name} keeps records for retention.ms={retention}, which is less than {KEPT_AT_LEAST.days} "
                f"day, and a consumer that is stopped loses what it has not read: {self._set(name, mended)}"
            )
        # A record is deleted with its segment, and the segment grows for segment.ms.
        kept = timedelta.max if retention < 0 else timedelta(milliseconds=min(retention + segment, _LONGEST))
        if kept > self._remembered - MARGIN:
            yield (
                f"topic {name} keeps records for retention.ms={retention} and segment.ms={segment}, which together is "
                f"more than {(self._remembered - MARGIN).days} days, and consumers may have forgotten by then that "
                f"they handled them: {self._set(name, mended)}"
            )

    def _size(self, name: str, found: DescribedTopic) -> Iterator[str]:
        size = found.number("retention.bytes")
        if size is not None and size >= 0:
            yield (
                f"topic {name} has retention.bytes={size} instead of -1, and a consumer that is behind loses what it "
                f"has not read: {self._set(name, {'retention.bytes': '-1'})}"
            )

    def _copies(self, name: str, found: DescribedTopic) -> Iterator[str]:
        if found.replicas < self._replication:
            settings = {"min.insync.replicas": str(in_sync_replicas(self._replication))}
            yield (
                f"topic {name} has {found.replicas} of the {self._replication} copies that are asked for: add copies "
                f"with kafka-reassign-partitions.sh, and then: {self._set(name, settings)}"
            )

    def _in_sync_replicas(self, name: str, found: DescribedTopic) -> Iterator[str]:
        given, best = found.number("min.insync.replicas"), in_sync_replicas(found.replicas)
        if given is None or best <= given <= max(found.replicas - 1, 1):
            return
        means = "one broker loses what it acknowledged" if given < best else "one broker that is away stops all writing"
        yield (
            f"topic {name} has min.insync.replicas={given} and {found.replicas} copies of each partition, and {means}: "
            f"{self._set(name, {'min.insync.replicas': str(best)})}"
        )

    def _message_size(self, name: str, found: DescribedTopic) -> Iterator[str]:
        largest = found.number("max.message.bytes")
        if largest is not None and largest < LARGEST_MESSAGE:
            yield (
                f"topic {name} takes max.message.bytes={largest}, and a message of ours may have {LARGEST_MESSAGE}: "
                f"{self._set(name, {'max.message.bytes': str(TOPIC_TAKES)})}"
            )

    def _set(self, name: str, config: Mapping[str, str]) -> str:
        added = ",".join(f"{setting}={value}" for setting, value in config.items())
        return (
            f"kafka-configs.sh {self._cluster} --alter --entity-type topics --entity-name {name} --add-config {added}"
        )
