"""Asking the brokers about topics."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import DescribeConfigsRequest

from messaging.kafka.client import client_options
from messaging.kafka.settings import KafkaSettings

_CONNECTED_WITHIN = 5.0
_ANSWERED_WITHIN = 5.0
_APPEARS_WITHIN = 2.0
_LOOK_AGAIN = 0.05
_NOT_THERE = UnknownTopicOrPartitionError.errno
_NOT_OURS = TopicAuthorizationFailedError.errno
_LISTENER: ContextVar[list[str] | None] = ContextVar("listener", default=None)
_LATER = (_NOT_THERE, LeaderNotAvailableError.errno)


class KafkaRefused(Exception):
    """Kafka cannot do what was asked. The text says why."""


@dataclass(frozen=True, slots=True)
class DescribedTopic:
    """A topic as the broker describes it. `config` is None when this user may not read its settings."""

    partitions: int
    replicas: int
    config: Mapping[str, str] | None

    def number(self, setting: str) -> int | None:
        """A setting that is a number. None when this user may not read it, or when the broker does not have it."""
        value = (self.config or {}).get(setting)
        return None if value is None else int(value)


@asynccontextmanager
async def open_admin(settings: KafkaSettings) -> AsyncIterator[Any]:
    """An admin client of aiokafka. Raises KafkaConnectionError with the reason when no broker answers or accepts us."""
    admin = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=int(_ANSWERED_WITHIN * 1000))
    try:
        with _heard() as reasons:
            try:
                async with asyncio.timeout(_CONNECTED_WITHIN):
                    await admin.start()
            except (KafkaError, OSError, UnicodeError) as error:  # UnicodeError: a name that no host can have
                reason = "; ".join(dict.fromkeys(reasons)) or f"nobody answers within {_CONNECTED_WITHIN:.0f} s"
                raise KafkaConnectionError(reason) from error
        yield admin
    finally:
        await admin.close()


@contextmanager
def _heard() -> Iterator[list[str]]:
    """The warnings of aiokafka in the block and in the tasks that it starts. They say why it cannot connect, which its
    exceptions do not. They do not go to the log, and those of other clients do."""
    logger = logging.getLogger("aiokafka")
    said: list[str] = []

    def hear(record: logging.LogRecord) -> bool:
        if _LISTENER.get() is not said:
            return True
        if record.levelno >= logging.WARNING:
            said.append(record.getMessage())
        return False

    listening = _LISTENER.set(said)
    logger.addFilter(hear)
    try:
        yield said
    finally:
        _LISTENER.reset(listening)
        logger.removeFilter(hear)


@contextmanager
def as_kafka_refused(settings: KafkaSettings) -> Iterator[None]:
    """Raise KafkaRefused for every error of Kafka or of the connection to it."""
    try:
        yield
    except KafkaConnectionError as error:
        raise KafkaRefused(
            f"Kafka at {settings.bootstrap_servers} does not answer us: {error.args[0]}; look at "
            "KAFKA_BOOTSTRAP_SERVERS and the other KAFKA_ variables"
        ) from error
    except TimeoutError as error:
        raise KafkaRefused(
            f"Kafka at {settings.bootstrap_servers} does not answer in time: a broker may hang"
        ) from error
    except (KafkaError, OSError) as error:
        reason = error.args[0] if isinstance(error, KafkaError) and error.args else error
        raise KafkaRefused(f"Kafka at {settings.bootstrap_servers} says {type(error).__name__}: {reason}") from error


async def describe(admin: Any, names: Sequence[str]) -> dict[str, DescribedTopic | None]:
    """The topics by their names. A missing topic is None. A topic that this user may not see is left out.

    A topic that was created a moment ago is waited for. Raises KafkaError.
    """
    metadata = await _metadata(admin, names)
    there = [topic for topic in metadata if topic["error_code"] not in (_NOT_THERE, _NOT_OURS)]
    configs = await settings_of(admin._client, [topic["topic"] for topic in there])  # noqa: SLF001
    described: dict[str, DescribedTopic | None] = {
        topic["topic"]: None for topic in metadata if topic["error_code"] == _NOT_THERE
    }
    for topic in there:
        replicas = min((len(partition["replicas"]) for partition in topic["partitions"]), default=0)
        described[topic["topic"]] = DescribedTopic(len(topic["partitions"]), replicas, configs.get(topic["topic"]))
    return described


async def until_known(admin: Any, names: Sequence[str], within: float) -> Sequence[Mapping[str, Any]]:
    """The broker's metadata of the topics, once it knows them all or after `within` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        metadata: Sequence[Mapping[str, Any]] = await admin.describe_topics(list(names)) if names else []
        if loop.time() > deadline or not any(topic["error_code"] in _LATER for topic in metadata):
            return metadata
        await asyncio.sleep(_LOOK_AGAIN)


async def _metadata(admin: Any, names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    metadata = await until_known(admin, names, _APPEARS_WITHIN)
    for topic in metadata:
        if topic["error_code"] not in (0, _NOT_THERE, _NOT_OURS):
            raise for_code(topic["error_code"])(f"topic {topic['topic']}")
    return metadata


async def settings_of(
    client: Any, names: Sequence[str], settings: Sequence[str] | None = None
) -> dict[str, dict[str, str] | None]:
    """The settings of topics, all of them unless some are named. None for a topic whose settings may not be looked at,
    and nothing for one that is not there. Raises KafkaError."""
    if not names:
        return {}
    resources = [(ConfigResourceType.TOPIC, name, settings) for name in names]
    response = await client.send(client.get_random_node(), DescribeConfigsRequest(resources, include_synonyms=False))
    return {
        name: None if error else {entry[0]: entry[1] for entry in entries}
        for error, _, _, name, entries in response.resources
        if error != _NOT_THERE
    }
