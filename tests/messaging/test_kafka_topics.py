"""The topics that we make, and those that somebody has made or changed: what is wrong is named with what mends it."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest
import pytest_asyncio
from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.metadata import MetadataRequest

from messaging.kafka.admin import DescribedTopic, describe, open_admin, until_known
from messaging.kafka.settings import KafkaSettings, SecurityProtocol
from messaging.kafka.topic_check import MARGIN, TopicChecks, problems_with
from messaging.kafka.topics import (
    RETENTION,
    SEGMENT,
    Topic,
    configuration,
    create_topics,
    in_sync_replicas,
    positions_of,
)
from messaging.postgres.inbox import KEEP_DAYS
from oms.services import TOPICS
from tests.messaging.consumers import DEADLINE
from tests.real_parts.kafka import Broker

REMEMBERED = timedelta(days=KEEP_DAYS)
DELETED, COMPACTED = Topic("some-events", 4), positions_of("some")


@pytest_asyncio.fixture
async def ours(kafka: KafkaSettings) -> AsyncIterator[KafkaSettings]:
    """Topics of this test's own, with a prefix."""
    settings = kafka.model_copy(update={"prefix": f"test-{uuid.uuid4().hex}."})
    yield settings
    async with open_admin(settings) as admin:
        if there := [name for name in await admin.list_topics() if name.startswith(settings.prefix)]:
            await admin.delete_topics(there)


async def _set(settings: KafkaSettings, topic: str, **config: str) -> None:
    async with open_admin(settings) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, settings.prefix + topic, config)])


async def _problems(settings: KafkaSettings, topic: Topic, *, expected: int) -> list[str]:
    """What is wrong. A change takes a moment until the broker tells of it, so this waits for the number that is
    expected."""
    problems: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE):
            while len(problems := await problems_with(settings, [topic], REMEMBERED)) != expected:
                pass
    return problems


async def test_the_topics_of_all_services_are_as_they_should_be_when_we_have_made_them(ours: KafkaSettings) -> None:
    assert await create_topics(ours, TOPICS) == [topic.name for topic in TOPICS]

    assert await problems_with(ours, TOPICS, REMEMBERED) == []
    assert await create_topics(ours, TOPICS) == [], "they are there"


async def test_positions_are_kept_for_ever_and_messages_for_less_than_the_inbox_remembers(ours: KafkaSettings) -> None:
    await create_topics(ours, TOPICS)
    async with open_admin(ours) as admin:
        found = await describe(admin, [ours.prefix + topic.name for topic in TOPICS])

    policies = {
        name.removeprefix(ours.prefix): (topic.config or {})["cleanup.policy"] for name, topic in found.items() if topic
    }
    assert policies == {
        topic.name: "compact" if topic.name.endswith("-outbox-positions") else "delete" for topic in TOPICS
    }
    for name, topic in found.items():
        if topic and policies[name.removeprefix(ours.prefix)] == "delete":
            kept = timedelta(milliseconds=(topic.number("retention.ms") or 0) + (topic.number("segment.ms") or 0))
            assert timedelta(0) < kept < timedelta(days=KEEP_DAYS) - MARGIN, name


def test_topics_do_not_get_the_size_that_brokers_may_give_by_default() -> None:
    assert configuration(DELETED, 1)["retention.bytes"] == "-1"


async def test_missing_topics_are_named_and_not_made(ours: KafkaSettings) -> None:
    problems = await problems_with(ours, [DELETED], REMEMBERED)

    assert problems == [f"topic {ours.prefix}some-events is not there: oms topics create"]
    async with open_admin(ours) as admin:
        assert f"{ours.prefix}some-events" not in await admin.list_topics()


async def test_this_broker_would_make_a_topic_that_is_asked_for(broker: Broker, ours: KafkaSettings) -> None:
    """As Kafka does by default: what the tests about topics that are not made rest upon."""
    if broker.stop is None:
        pytest.skip("what this broker does by default is not ours to say: unset KAFKA_BOOTSTRAP_SERVERS")
    name = f"{ours.prefix}asked-for"
    async with open_admin(ours) as admin:
        await admin._send_request(MetadataRequest([name], allow_auto_topic_creation=True))
        await until_known(admin, [name], within=10.0)

        assert name in await admin.list_topics()


@pytest.mark.parametrize(
    ("topic", "config", "says"),
    [
        (DELETED, {"cleanup.policy": "compact"}, "cleanup.policy=compact instead of delete"),
        (DELETED, {"cleanup.policy": "compact,delete"}, "cleanup.policy=compact,delete instead of delete"),
        (COMPACTED, {"cleanup.policy": "delete"}, "cleanup.policy=delete instead of compact"),
        (COMPACTED, {"cleanup.policy": "compact,delete"}, "cleanup.policy=compact,delete instead of compact"),
        (DELETED, {"retention.ms": "-1"}, "keeps records for retention.ms=-1"),
        (DELETED, {"retention.ms": str(2**63 - 1)}, f"keeps records for retention.ms={2**63 - 1}"),
        (DELETED, {"retention.ms": str(15 * 86_400_000)}, "more than 14 days"),
        (DELETED, {"segment.ms": str(8 * 86_400_000)}, "segment.ms=691200000"),
        (DELETED, {"retention.ms": "0"}, "retention.ms=0, which is less than 1 day"),
        (DELETED, {"retention.ms": "86399999"}, "retention.ms=86399999, which is less than 1 day"),
        (DELETED, {"retention.bytes": "1000"}, "retention.bytes=1000 instead of -1"),
        (DELETED, {"min.insync.replicas": "2"}, "one broker that is away stops all writing"),
        (
            DELETED,
            {"max.message.bytes": "60000"},
            "takes max.message.bytes=60000, and a message of ours may have 65536",
        ),
        (COMPACTED, {"max.message.bytes": "60000"}, "takes max.message.bytes=60000"),
    ],
    ids=lambda value: str(getattr(value, "name", value)),
)
async def test_a_setting_that_is_wrong_is_named_with_the_command_that_mends_it(
    ours: KafkaSettings, topic: Topic, config: dict[str, str], says: str
) -> None:
    await create_topics(ours, [topic])
    await _set(
        ours,
        topic.name,
        **{"retention.ms": "604800000", "segment.ms": "86400000", "cleanup.policy": topic.cleanup_policy} | config,
    )

    (problem,) = await _problems(ours, topic, expected=1)

    assert says in problem
    name = f"{ours.prefix}{topic.name}"
    where = f"--bootstrap-server {ours.bootstrap_servers} --alter --entity-type topics --entity-name {name}"
    assert problem.startswith(f"topic {name} ")
    mending = re.search(f": kafka-configs.sh {re.escape(where)} --add-config (\\S+)$", problem)
    assert mending, problem
    changes = dict(change.split("=") for change in mending[1].split(","))
    await _set(ours, topic.name, **{"cleanup.policy": topic.cleanup_policy} | config | changes)
    assert await _problems(ours, topic, expected=0) == []


async def test_too_few_and_too_many_partitions_are_named_with_what_mends_them(ours: KafkaSettings) -> None:
    few, many = Topic("few", 2), Topic("many", 2)
    await create_topics(ours, [Topic("few", 1), Topic("many", 3)])

    too_few, too_many = await problems_with(ours, [few, many], REMEMBERED)

    tool = f"kafka-topics.sh --bootstrap-server {ours.bootstrap_servers}"
    assert "few has 1 partitions instead of 2" in too_few
    assert too_few.endswith(f"{tool} --alter --topic {ours.prefix}few --partitions 2")
    assert "many has 3 partitions instead of 2" in too_many
    assert too_many.endswith(f"{tool} --delete --topic {ours.prefix}many && oms topics create")
    async with open_admin(ours) as admin:
        await admin.create_partitions({f"{ours.prefix}few": NewPartitions(2)})
    assert await _problems(ours, few, expected=0) == []


@pytest.mark.parametrize(
    ("replicas", "in_sync", "says"),
    [
        (1, 1, None),
        (2, 1, None),
        (2, 2, "stops all writing"),
        (3, 1, "one broker loses what it acknowledged"),
        (3, 2, None),
        (3, 3, "stops all writing"),
        (5, 1, "one broker loses"),
        (5, 4, None),
    ],
)
def test_records_count_when_more_than_one_copy_has_them_and_one_copy_may_be_away(
    replicas: int, in_sync: int, says: str | None
) -> None:
    found = DescribedTopic(4, replicas, {"min.insync.replicas": str(in_sync)})

    problems = list(TopicChecks(KafkaSettings(), REMEMBERED).problems(DELETED, "some-events", found))

    assert len(problems) == (1 if says else 0)
    assert (says or "") in "".join(problems)
    assert 1 <= in_sync_replicas(replicas) <= max(replicas - 1, 1)


def test_a_day_is_enough_and_a_compacted_topic_deletes_nothing_by_age_or_size() -> None:
    checks = TopicChecks(KafkaSettings(), REMEMBERED)
    a_day = DescribedTopic(4, 1, {"retention.ms": "86400000", "segment.ms": "86400000", "retention.bytes": "-1"})
    short = DescribedTopic(
        COMPACTED.partitions, 1, {"cleanup.policy": "compact", "retention.ms": "0", "retention.bytes": "9"}
    )

    assert list(checks.problems(DELETED, "some-events", a_day)) == []
    assert list(checks.problems(COMPACTED, "positions", short)) == []


def test_what_may_not_be_looked_at_or_is_not_known_to_the_broker_is_not_judged() -> None:
    checks = TopicChecks(KafkaSettings(), REMEMBERED)

    assert list(checks.problems(DELETED, "some-events", DescribedTopic(4, 3, None))) == []
    assert list(checks.problems(DELETED, "some-events", DescribedTopic(4, 3, {}))) == []


def test_commands_for_a_cluster_with_access_control_name_the_file_with_the_credentials() -> None:
    settings = KafkaSettings(bootstrap_servers="broker:9093", security_protocol=SecurityProtocol.SSL)

    (problem,) = TopicChecks(settings, REMEMBERED).problems(
        DELETED, "some-events", DescribedTopic(4, 1, {"max.message.bytes": "9"})
    )

    assert "--bootstrap-server broker:9093 --command-config client.properties --alter" in problem


def test_what_is_kept_and_what_may_wait_in_an_outbox_is_remembered() -> None:
    assert RETENTION + SEGMENT + MARGIN < REMEMBERED


async def test_records_of_producers_whose_clocks_are_wrong_are_kept_as_long_as_the_others(ours: KafkaSettings) -> None:
    await create_topics(ours, [DELETED])
    async with open_admin(ours) as admin:
        (found,) = (await describe(admin, [f"{ours.prefix}{DELETED.name}"])).values()

    assert found is not None
    assert (found.config or {})["message.timestamp.type"] == "LogAppendTime"
