"""When no other transaction may begin in the epoch of a producer."""

import asyncio
import uuid
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, RequestTimedOutError
from aiokafka.protocol.transaction import EndTxnRequest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from messaging.kafka.epoch import Epoch, EpochOver

COMMIT = EndTxnRequest("oms-outbox-order-0", 1, 0, 1)
IN_DOUBT = [
    RequestTimedOutError(),
    KafkaConnectionError("broken"),
    NodeNotReadyError("not sent"),
    asyncio.CancelledError(),
]


class _Client:
    """aiokafka's, as far as it matters: its requests are answered, or raise."""

    def __init__(self) -> None:
        self.outcome: Any = "an answer"

    async def send(self, node: int, request: Any, *, group: int = 0) -> Any:  # noqa: ARG002
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.mark.parametrize("error", IN_DOUBT, ids=lambda error: type(error).__name__)
async def test_after_a_request_without_an_answer_the_transaction_at_hand_may_end_and_no_other_begins(
    error: BaseException,
) -> None:
    client, service = _Client(), uuid.uuid4().hex
    epoch = Epoch(client, service, 0)

    async with epoch.transaction():
        client.outcome = error
        with pytest.raises(type(error)), capture_logs() as lines:
            await client.send(1, COMMIT, group=1)
        client.outcome = "an answer to the repeated request"
        assert await client.send(1, COMMIT, group=1) == client.outcome

    with pytest.raises(EpochOver, match="EndTxn got no answer and may arrive late"):
        async with epoch.transaction():
            pass
    assert REGISTRY.get_sample_value("oms_publisher_unanswered_total", {"service": service, "request": "EndTxn"}) == 1
    assert [(line["event"], line["request"]) for line in lines] == [("a request got no answer", "EndTxn")]


async def test_after_a_transaction_that_failed_no_other_begins() -> None:
    epoch = Epoch(_Client(), "order", 0)
    with pytest.raises(TimeoutError):
        async with epoch.transaction():
            raise TimeoutError

    with pytest.raises(EpochOver, match="the transaction before has failed"):
        async with epoch.transaction():
            pass


async def test_while_every_request_is_answered_one_transaction_follows_the_other() -> None:
    client = _Client()
    epoch = Epoch(client, "order", 0)

    for client.outcome in ("an answer", "an answer that is an error"):
        async with epoch.transaction():
            assert await client.send(1, COMMIT) == client.outcome
