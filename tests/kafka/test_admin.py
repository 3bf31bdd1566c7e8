"""What a broker that does not accept us, or hangs, is called, and who is told."""

import asyncio
import logging
from asyncio import StreamReader, StreamWriter

import pytest
from aiokafka.errors import KafkaConnectionError

from messaging.kafka import admin
from messaging.kafka.admin import KafkaRefused, as_kafka_refused, open_admin
from messaging.kafka.settings import KafkaSettings

NOBODY = KafkaSettings(bootstrap_servers="127.0.0.1:1")


async def test_warnings_of_other_clients_stay_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def another_client() -> None:
        logging.getLogger("aiokafka").warning("of another client")

    async def open_ours() -> None:
        with pytest.raises(KafkaConnectionError) as refused:
            async with open_admin(NOBODY):
                raise AssertionError("nobody is there")
        assert "of another client" not in str(refused.value)
        assert "127.0.0.1:1" in str(refused.value)

    with caplog.at_level(logging.WARNING):
        ours = asyncio.create_task(open_ours())
        while not ours.done():
            await another_client()
            await asyncio.sleep(0)

    assert "of another client" in {record.getMessage() for record in caplog.records}
    assert {record.getMessage() for record in caplog.records} == {"of another client"}


async def _ask_in_time(settings: KafkaSettings) -> None:
    with as_kafka_refused(settings):
        async with asyncio.timeout(0.1), open_admin(settings):
            raise AssertionError("it hangs")


async def test_a_broker_that_hangs_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "_CONNECTED_WITHIN", 0.2)

    async def hang(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")
        with pytest.raises(KafkaRefused, match=f"Kafka at 127.0.0.1:{port} does not answer in time"):
            await _ask_in_time(settings)
