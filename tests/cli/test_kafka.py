"""Commands and processes that need Kafka, where it is away or its topics are wrong: a sentence, status 1, no more."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from messaging.engine.background import WorkEnded
from messaging.kafka.admin import open_admin
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics
from oms import topics as oms_topics
from oms.services import TOPICS
from tests.cli.commands import Ended, oms
from tests.messaging.raw_batches import batch_of, send_raw
from tests.real_parts.kafka import free_port

IN_MEMORY = {f"{service}_DATABASE_URL": "memory" for service in ("ORDER", "INVENTORY", "PAYMENT")}


def _assert_one_sentence(ended: Ended, *parts: str) -> None:
    (sentence,) = ended.errors.splitlines()
    assert (ended.code, ended.output) == (1, ""), ended
    for part in parts:
        assert part in sentence


async def test_a_broker_that_is_away_is_said_in_one_sentence(tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    settings = {"KAFKA_BOOTSTRAP_SERVERS": away, "EVENT_PUBLISHER": "kafka"} | IN_MEMORY
    commands = [["topics", "create"], ["events", "tail"], ["up", "--port", str(free_port())]]

    all_ended = await asyncio.gather(*(oms(tmp_path, *command, **settings) for command in commands))

    for ended in all_ended:
        _assert_one_sentence(ended, f"Kafka at {away} does not answer us: ", "refused", "KAFKA_BOOTSTRAP_SERVERS")
    assert list(tmp_path.iterdir()) == [], "and nothing is made"


async def test_a_name_that_no_host_can_have_is_an_error_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(_: AIOKafkaAdminClient) -> None:
        "x..y".encode("idna")

    monkeypatch.setattr(AIOKafkaAdminClient, "start", start)  # a broker may give such a name of another

    with pytest.raises(KafkaConnectionError):
        async with open_admin(KafkaSettings()):
            pass


async def test_a_program_that_listens_and_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        ended = await oms(tmp_path, "events", "tail", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}")
        server.close_clients() if hasattr(server, "close_clients") else None

    _assert_one_sentence(ended, "does not answer us: nobody answers within 5 s")


async def test_credentials_that_the_broker_does_not_want_are_named(tmp_path: Path, kafka: KafkaSettings) -> None:
    credentials = {
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_USERNAME": "u",
        "KAFKA_SASL_PASSWORD": "geheim",
    }

    ended = await oms(tmp_path, "topics", "create", KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, **credentials)

    _assert_one_sentence(ended, "does not answer us", "Sasl")
    assert "geheim" not in ended.errors


async def test_more_copies_than_there_are_brokers_are_refused_in_the_words_of_the_broker(
    tmp_path: Path, kafka: KafkaSettings
) -> None:
    settings = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA_PREFIX": f"test-{uuid.uuid4().hex}."}

    ended = await oms(tmp_path, "topics", "create", "--replication", "77", **settings)

    _assert_one_sentence(ended, "InvalidReplicationFactorError", "77")


async def test_topics_that_are_there_with_fewer_copies_than_are_asked_for_are_named(
    tmp_path: Path, kafka: KafkaSettings
) -> None:
    settings = kafka.model_copy(update={"prefix": f"test-{uuid.uuid4().hex}."})
    await create_topics(settings, TOPICS)

    ended = await oms(
        tmp_path, "topics", "create", "--replication", "3",
        KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers, KAFKA_PREFIX=settings.prefix,
    )  # fmt: skip
    async with open_admin(kafka) as admin:
        await admin.delete_topics([settings.prefix + topic.name for topic in TOPICS])

    assert ended.code == 1, ended
    for topic, sentence in zip(TOPICS, ended.errors.splitlines(), strict=True):
        assert f"topic {settings.prefix}{topic.name} has 1 of the 3 copies that are asked for: " in sentence
        assert sentence.endswith("--add-config min.insync.replicas=2")


async def test_the_tail_of_a_topic_that_is_not_there_makes_none(tmp_path: Path, kafka: KafkaSettings) -> None:
    topics = ["no-such-topic", "no such topic"]

    all_ended = await asyncio.gather(
        *(oms(tmp_path, "events", "tail", topic, KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers) for topic in topics)
    )

    for ended, topic in zip(all_ended, topics, strict=True):
        _assert_one_sentence(ended, topic)
    async with open_admin(kafka) as admin:
        assert not {*topics} & {*await admin.list_topics()}


async def test_the_tail_shows_what_cannot_be_read_and_obeys_no_bytes_of_others(
    tmp_path: Path, kafka: KafkaSettings
) -> None:
    topic = f"test-{uuid.uuid4().hex}"
    await create_topics(kafka, [Topic(topic, partitions=1)])
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        await send_raw(producer, topic, batch_of([b"{}"], odd=[0]))
        await producer.send_and_wait(topic, b"\x1b[2J\x07\xff", headers=[("ce_type", b"\x1b]0;evil\x07")])
        await producer.send_and_wait(topic, None, b"key", headers=[("ce_type", b"Tombstone")])

    ended = await oms(
        tmp_path, "events", "tail", topic, "--from-beginning", "-n", "3",
        KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
    )  # fmt: skip
    async with open_admin(kafka) as admin:
        await admin.delete_topics([topic])

    assert ended.code == 0, ended.errors
    unreadable, evil, tombstone = ended.output.splitlines()
    assert unreadable.startswith(f"{topic}[0]@0  the record at offset 0 cannot be read: UnicodeDecodeError")
    assert evil == rf"{topic}[0]@1 \x1b]0;evil\x07 \x1b[2J\x07\xff"
    assert tombstone == f"{topic}[0]@2 Tombstone "


async def test_topics_that_are_wrong_or_missing_end_a_process_with_a_sentence_for_each(
    tmp_path: Path, kafka: KafkaSettings
) -> None:
    settings = kafka.model_copy(update={"prefix": f"test-{uuid.uuid4().hex}."})
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_PREFIX": settings.prefix,
        "EVENT_PUBLISHER": "kafka",
    } | IN_MEMORY
    wrong = Topic(TOPICS[0].name, 3, options={"retention.ms": "-1"})
    await create_topics(settings, [wrong, *TOPICS[2:]])
    sentences = [
        f"topic {settings.prefix}{wrong.name} has 3 partitions instead of 4",
        f"topic {settings.prefix}{wrong.name} keeps records for retention.ms=-1",
    ]

    port = str(free_port())
    served = await oms(tmp_path, "serve", "inventory", "--port", port, "--roles", "relay", **environment)
    created = await oms(tmp_path, "topics", "create", **environment)
    async with open_admin(settings) as admin:
        there = [name for name in await admin.list_topics() if name.startswith(settings.prefix)]
        await admin.delete_topics(there)

    missing = f"topic {settings.prefix}{TOPICS[1].name} is not there: oms topics create"
    assert (served.code, served.output) == (1, "")
    assert (created.code, created.output.splitlines()[1]) == (1, f"{TOPICS[1].name}: created")
    assert set(there) == {settings.prefix + topic.name for topic in TOPICS}
    for errors, expected in ((served.errors, [*sentences, missing]), (created.errors, sentences)):
        lines = errors.splitlines()
        assert len(lines) == len(expected)
        assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True)), errors


async def test_without_a_broker_a_process_starts_and_its_topics_are_looked_at_when_one_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Exception | list[str]] = [
        KafkaConnectionError("away"),
        KafkaConnectionError("away"),
        ["one is wrong"],
    ]

    async def problems_with(
        _settings: KafkaSettings, topics: Sequence[Topic], remembered: timedelta, *, replication: int
    ) -> list[str]:
        assert (list(topics), remembered, replication) == (TOPICS, timedelta(days=15), 1)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(oms_topics, "problems_with", problems_with)
    monkeypatch.setattr(oms_topics, "_LOOK_AGAIN_AFTER", 0.0)
    served = asyncio.Event()

    async def serve() -> None:
        async with oms_topics.topics_required(KafkaSettings()):
            served.set()
            await asyncio.Event().wait()

    with capture_logs() as lines, pytest.raises(WorkEnded, match=r"looking at the topics .*one is wrong"):
        await serve()

    assert served.is_set()
    assert answers == []
    assert lines[0]["event"] == "the topics are looked at later"
