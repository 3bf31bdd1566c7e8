"""One connection to a broker: aiokafka's, with credentials that are renewed, an end before its session's, an error that
aiokafka overlooks, and a pause that it forgets.

With `connections.max.reauth.ms`, and with tokens, a broker ends the session of a connection after a time. It tells that
time at the login, and from then on it cuts the connection off at the next request. aiokafka does not authenticate again
(KIP-368). So a connection retires early: it takes no more requests, the next request opens another connection with the
credentials of that moment, and the last answer closes the old one. No request is cut off.

A broker that does not coordinate a group any more refuses the whole question for its offsets, and names no partition.
aiokafka looks for errors of partitions alone. So a group would look as if it had committed nothing, and its members
would begin with the oldest records.

A broker refuses to read out what it does not lead any more. aiokafka asks it again at once, and goes on until somebody
tells it of the new leader. Where that answer is lost, these are forty seconds, and thousands of requests in each.
"""

import asyncio
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import for_code
from aiokafka.protocol.admin import SaslAuthenticateRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from pydantic import SecretStr

_RETIRES_AFTER: Final = 0.5
"""Of the session. A request that was sent before that has the other half to arrive."""
_ASKED_AGAIN_AFTER: Final = 0.1
"""Seconds, as after every other failure of aiokafka's."""


class Connection(AIOKafkaConnection):  # type: ignore[misc]  # aiokafka has no types
    """A connection that retires before its session ends. Its password is a SecretStr, which is read at the login."""

    _is_retired = False
    _retires_at = float("inf")
    _next_step: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, sasl_plain_password: SecretStr | None = None, **kwargs: Any) -> None:
        password = None if sasl_plain_password is None else sasl_plain_password.get_secret_value()
        super().__init__(*args, sasl_plain_password=password, **kwargs)

    def connected(self) -> bool:
        """False also for a connection whose time is over: its client then opens another one, and forgets this one. A
        loop that has hung may ask before it retires the connection, so the clock answers."""
        return self._loop.time() < self._retires_at and bool(super().connected())

    def close(self, reason: CloseReason | None = None, exc: BaseException | None = None) -> Any:
        """See AIOKafkaConnection."""
        if self._next_step is not None:
            self._next_step.cancel()
        return super().close(reason, exc)

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """See AIOKafkaConnection."""
        answer = self._sent(request, expect_response)
        match request:
            case SaslAuthenticateRequest():
                return self._logged_in(answer)
            case OffsetFetchRequest():
                return _not_refused(answer)
            case FetchRequest():
                return _not_at_once(answer)
            case _:
                return answer

    def _sent(self, request: Any, expect_response: bool) -> Any:
        return super().send(request, expect_response)

    async def _logged_in(self, answer: Any) -> Any:
        asked_at = self._loop.time()  # the session begins later
        response = await answer
        lifetime = getattr(response, "session_lifetime_ms", 0)  # 0: for ever; brokers before Kafka 2.2 do not tell it
        if lifetime > 0:
            self._retires_at = asked_at + _RETIRES_AFTER * lifetime / 1000
            self._next_step = self._loop.call_at(self._retires_at, self._retire)
        return response

    def _retire(self) -> None:
        self._is_retired = True
        # aiokafka refers to a connection only weakly while it reads answers. The timer keeps it until the last one.
        self._next_step = self._loop.call_later(self._request_timeout, self.close, CloseReason.CONNECTION_TIMEOUT)
        self._close_when_answered()

    def _handle_frame(self, resp: Any) -> None:
        super()._handle_frame(resp)
        self._close_when_answered()

    def _close_when_answered(self) -> None:
        if self._is_retired and not self._requests:
            self.close(CloseReason.IDLE_DROP)


async def _not_refused(answer: Any) -> Any:
    """The response, unless all of it is an error. Raises the KafkaError of its code, after which a member asks for the
    coordinator, and asks again."""
    response = await answer
    if code := getattr(response, "error_code", 0):  # before version 2 each partition has it
        raise for_code(code)(f"the committed offsets are not told: error {code}")
    return response


async def _not_at_once(answer: Any) -> Any:
    """The response, a little later if it refuses a partition."""
    response = await answer
    if any(error for _, partitions in response.topics for _, error, *_ in partitions):
        await asyncio.sleep(_ASKED_AGAIN_AFTER)
    return response
