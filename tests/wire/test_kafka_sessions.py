"""Brokers that end sessions: after ten seconds (KIP-368), and with the token of the login."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import pytest
from structlog.testing import capture_logs

from messaging.engine.relay import Relay
from messaging.kafka.consumer import deliver_from_kafka
from messaging.kafka.publisher import open_kafka_publisher
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import Topic, create_topics, positions_of
from messaging.memory.outbox import MemoryOutbox
from messaging.ports.message import Message
from messaging.ports.record import Record
from tests.messaging.messages import key_in, message
from tests.real_parts.secured_kafka import REAUTHENTICATE_MS, SecuredBroker
from tests.real_parts.waiting import until

TOKEN_SECONDS = 4
SHARDS = 4


def by_password(secured: SecuredBroker) -> tuple[KafkaSettings, float]:
    return secured.by_password(bootstrap_servers=secured.short), REAUTHENTICATE_MS / 1000


def by_token(secured: SecuredBroker) -> tuple[KafkaSettings, float]:
    secured.tokens.lifetime = TOKEN_SECONDS
    # A path of its own, because tokens are shared by all clients with the same settings.
    return secured.by_token(sasl_oauthbearer_token_endpoint_url=f"{secured.tokens.url}/short"), TOKEN_SECONDS


@pytest.mark.parametrize("by", [by_password, by_token])
async def test_a_relay_and_a_consumer_outlive_their_sessions_under_load(
    secured: SecuredBroker, by: Callable[[SecuredBroker], tuple[KafkaSettings, float]]
) -> None:
    settings, session = by(secured)
    settings = settings.model_copy(update={"prefix": f"{uuid.uuid4().hex}."})
    await create_topics(settings, [Topic("order-events", 2), positions_of("order")])
    arrived: list[Record] = []
    outbox, sent = MemoryOutbox(), list[Message]()

    async def take(records: Sequence[Record]) -> None:
        arrived.extend(records)

    async def all_there() -> bool:
        return len({record.event_id for record in arrived}) == len(sent)

    relay = Relay("order", outbox, partial(open_kafka_publisher, settings, "order"))
    with capture_logs() as lines:
        async with deliver_from_kafka(settings, "sessions", ["order-events"], take):
            publishing = asyncio.create_task(relay.run())
            try:
                sent.extend(await _put_load_on(outbox, seconds=1.2 * session))
                await until(all_there, "every event arrives")
            finally:
                publishing.cancel()
                with suppress(asyncio.CancelledError):
                    await publishing
        refused = [line for line in lines if line["log_level"] in ("warning", "error")]

    times = Counter(record.event_id for record in arrived)
    assert times == dict.fromkeys((message.event_id for message in sent), 1), "each event comes once"
    assert not refused, "nothing had to begin again"


async def _put_load_on(outbox: MemoryOutbox, *, seconds: float) -> list[Message]:
    """Small commits for every shard, one after another, longer than a session."""
    keys = [key_in(shard) for shard in range(SHARDS)]
    sent: list[Message] = []
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        commit = [message(key, len(sent)) for key in keys]
        outbox.add(commit)
        sent += commit
        await asyncio.sleep(0.02)
    return sent
