"""A producer whose network, or whose broker, is bad once.

This meddles with connections, below aiokafka's client. Above them nobody knows more than that a connection broke or
that an answer was an error, and the broker is a real one.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection, CloseReason, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code

KINDS = ("InitProducerId", "AddPartitionsToTxn", "Produce", "EndTxn")

_OF_EACH_PARTITION = {"AddPartitionsToTxn": "errors", "Produce": "topics"}
_DELIVERED_WITHIN = 30.0

Send = Callable[[], Awaitable[Any]]


class BadNetwork:
    """Between the client of one producer and the broker. `sent` counts what the client sends, by kind."""

    def __init__(self, client_id: str, kind: str) -> None:
        self.sent: Counter[str] = Counter()
        self._client_id, self._kind = client_id, kind

    def meddle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Begin."""
        send = AIOKafkaConnection.send

        def send_badly(connection: Any, request: Any, expect_response: bool = True) -> Awaitable[Any]:
            kind = type(request).__name__.removesuffix("Request")
            answer: Send = partial(send, connection, request, expect_response)
            if connection._client_id != self._client_id or kind not in KINDS:
                return answer()
            self.sent[kind] += 1
            return self._pass_on(connection, kind, request, answer)

        monkeypatch.setattr(AIOKafkaConnection, "send", send_badly)

    def _pass_on(self, connection: Any, kind: str, request: Any, send: Send) -> Awaitable[Any]:
        """What becomes of a request that `send` would send."""
        raise NotImplementedError


class LateRequest(BadNetwork):
    """The first request of a kind is kept, and its connection breaks instead. Once a transaction has ended since then,
    what was kept is sent on a connection of its own, right before the client gets the answer to a Produce request:
    the one that comes `behind` others.

    `answered` are the errors that the broker answers it with, by name.
    """

    def __init__(self, client_id: str, kind: str, behind: int = 0) -> None:
        super().__init__(client_id, kind)
        self.answered: set[str] | None = None
        self._behind = behind
        self._kept: Any = None
        self._to = ("", 0)
        self._transaction_ended = False

    def _pass_on(self, connection: Any, kind: str, request: Any, send: Send) -> Awaitable[Any]:
        if self._kept is None and kind == self._kind:
            self._kept, self._to = request, (connection.host, connection.port)
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError("the network is bad")
        return self._answer(kind, send())

    async def _answer(self, kind: str, answer: Awaitable[Any]) -> Any:
        answered = await answer
        if self._kept is not None and kind == "EndTxn":
            self._transaction_ended = True
        if self._transaction_ended and kind == "Produce" and self.answered is None:
            if self._behind == 0:
                self.answered = await self._deliver()
            self._behind -= 1
        return answered

    async def _deliver(self) -> set[str]:
        async with asyncio.timeout(_DELIVERED_WITHIN):
            connection = await create_conn(*self._to, client_id="late")
            try:
                return _errors(self._kind, await connection.send(self._kept))
            finally:
                connection.close()


class LostAnswer(BadNetwork):
    """The broker gets the first request of a kind, and its answer is lost with the connection."""

    def _pass_on(self, connection: Any, kind: str, request: Any, send: Send) -> Awaitable[Any]:  # noqa: ARG002
        return self._lose(connection, send()) if kind == self._kind and self.sent[kind] == 1 else send()

    async def _lose(self, connection: Any, answer: Awaitable[Any]) -> Any:
        await answer
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError("the network is bad")


class AnsweredWithAnError(BadNetwork):
    """The client is told that the first request of a kind failed, in a way that lets it try again."""

    def __init__(self, client_id: str, kind: str, error: type[KafkaError]) -> None:
        super().__init__(client_id, kind)
        self.answered = False
        self._error = error.errno

    def _pass_on(self, connection: Any, kind: str, request: Any, send: Send) -> Awaitable[Any]:  # noqa: ARG002
        return self._spoil(send()) if kind == self._kind and self.sent[kind] == 1 else send()

    async def _spoil(self, answer: Awaitable[Any]) -> Any:
        answered = await answer
        if self._kind in _OF_EACH_PARTITION:
            name = _OF_EACH_PARTITION[self._kind]
            refused = [
                (topic, [(partition, self._error, *more) for partition, _, *more in partitions])
                for topic, partitions in getattr(answered, name)
            ]
            setattr(answered, name, refused)
        else:
            answered.error_code = self._error
        self.answered = True
        return answered


def _errors(kind: str, answer: Any) -> set[str]:
    if kind in _OF_EACH_PARTITION:
        by_topic = getattr(answer, _OF_EACH_PARTITION[kind])
        codes = [code for _, partitions in by_topic for _, code, *_ in partitions]
    else:
        codes = [answer.error_code]
    return {for_code(code).__name__ for code in codes}
