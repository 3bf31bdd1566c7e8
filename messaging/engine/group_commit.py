"""Group commit: writes that wait together are committed together.

There is no timer. An idle connection takes all waiting writes at once. While it commits them, the next writes gather.
So an idle service commits a single write immediately, and a busy one commits hundreds at the price of one. (The idea is
that of PostgreSQL's commit_delay, without the delay.)
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import structlog

from messaging.engine import tracing
from messaging.engine.message_spans import committed
from messaging.engine.metrics import COMMIT_BATCH_SIZE, COMMIT_SECONDS, COMMIT_WAITING
from messaging.engine.retry import retry_when_busy
from messaging.ports.changes import StoreOverloaded, StoreUnavailable
from messaging.ports.trace_context import TRACE, TraceContext

Write = TypeVar("Write")
Result = TypeVar("Result")

_CLOSE_WITHIN = 2.0
_CANCEL_WITHIN = 1.0
_STOPPING = "the service is stopping; try again in a moment"

log = structlog.get_logger("group-commit")

CommitBatch: TypeAlias = Callable[[Sequence[Write]], Awaitable[Sequence[Result | Exception]]]


class _Waiting(NamedTuple, Generic[Write, Result]):
    """A write, the future that its caller waits for, and the trace of the caller."""

    write: Write
    answer: asyncio.Future[Result]
    trace: TraceContext | None


class GroupCommitter(Generic[Write, Result]):
    """Commits writes in batches over `connections`, each a function that commits a batch in one transaction.

    Such a function returns one result for each write, or the exception with which that write alone failed. It raises
    StoreUnavailable when the store does not answer, StoreBusy when the same batch may be tried again at once, and any
    other exception when a write of the batch cannot be stored. After StoreBusy and other exceptions it must have stored
    nothing.
    """

    def __init__(
        self,
        connections: Sequence[CommitBatch[Write, Result]],
        *,
        name: str,
        max_batch: int,
        max_waiting: int,
        operation: str = "COMMIT",
    ) -> None:
        self._loop = asyncio.get_running_loop()  # to ask for it is a system call in Python 3.11
        self._what = (name, operation)
        self._idle = list(connections)
        self._connections = len(self._idle)
        self._waiting: deque[_Waiting[Write, Result]] = deque()
        self._flushing: set[asyncio.Task[None]] = set()
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._closed = False
        self._batch_size = COMMIT_BATCH_SIZE.labels(name)
        self._seconds = COMMIT_SECONDS.labels(name)
        COMMIT_WAITING.labels(name).set_function(lambda: len(self._waiting))

    @property
    def waiting(self) -> int:
        """How many writes wait for a connection."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """True when the next write would be refused."""
        return self._closed or len(self._waiting) >= self._max_waiting

    async def commit(self, write: Write) -> Result:
        """Return the store's result for this write once its transaction is on disk.

        Raises StoreOverloaded when too many writes wait or the service is stopping, StoreUnavailable, or the exception
        that the store raised for this write. Cancelling the caller affects no other write.
        """
        if self._closed:
            raise StoreOverloaded(_STOPPING)
        if self.is_full:
            raise StoreOverloaded("too many requests are waiting for the database; try again in a moment")
        answer: asyncio.Future[Result] = self._loop.create_future()
        self._waiting.append(_Waiting(write, answer, TRACE.get()))
        # Another connection joins only for a full batch. Two that shared the waiting writes would commit half of them
        # each.
        none_is_busy = len(self._idle) == self._connections
        if none_is_busy or (self._idle and len(self._waiting) >= self._max_batch):
            self._start_flush()
        return await answer

    async def close(self) -> None:
        """Refuse new writes, and return when all accepted writes are answered.

        After two seconds the writes of a commit that is under way get StoreUnavailable, and the waiting ones are
        refused.
        """
        self._closed = True
        if self._flushing:
            _, hanging = await asyncio.wait(self._flushing, timeout=_CLOSE_WITHIN)
            for flush in hanging:
                flush.cancel()
            if hanging:
                await asyncio.wait(hanging, timeout=_CANCEL_WITHIN)
        while self._waiting:
            _answer(self._waiting.popleft().answer, StoreOverloaded(_STOPPING))

    def _start_flush(self) -> None:
        task = asyncio.create_task(self._flush(self._idle.pop()), name="group commit")
        self._flushing.add(task)
        task.add_done_callback(self._flush_ended)

    def _flush_ended(self, task: asyncio.Task[None]) -> None:
        """Start another flush for the writes that wait, if this one was cut off. Its own batch is answered already."""
        self._flushing.discard(task)
        if not task.cancelled():
            task.exception()  # it was logged where it was raised
        if not self._closed and self._waiting and self._idle:
            self._start_flush()

    async def _flush(self, connection: CommitBatch[Write, Result]) -> None:
        batch: list[_Waiting[Write, Result]] = []
        try:
            while batch := self._take():
                await self._commit(connection, batch)
        except BaseException as error:
            log.warning("a commit was cut off", writes=len(batch), error=f"{type(error).__name__}: {error}")
            for each in batch:
                _answer(each.answer, StoreUnavailable("the commit was cut off; it may or may not be stored"))
            raise
        finally:
            self._idle.append(connection)

    def _take(self) -> list[_Waiting[Write, Result]]:
        batch: list[_Waiting[Write, Result]] = []
        while self._waiting and len(batch) < self._max_batch:
            each = self._waiting.popleft()
            if not each.answer.done():  # its caller went away
                batch.append(each)
        return batch

    async def _commit(self, connection: CommitBatch[Write, Result], batch: list[_Waiting[Write, Result]]) -> None:
        started, began = time.perf_counter(), time.time_ns()
        try:
            results = await retry_when_busy(lambda: connection([each.write for each in batch]))
        except StoreUnavailable as error:
            self._record(batch, began, error)
            for each in batch:
                _answer(each.answer, type(error)(str(error)))
        except Exception as error:  # noqa: BLE001  the write that caused it gets it
            # One write made the whole batch fail. Halving finds it in a few more statements, so that it fails alone.
            if len(batch) == 1:
                _answer(batch[0].answer, error)
                return
            middle = len(batch) // 2
            await self._commit(connection, batch[:middle])
            await self._commit(connection, batch[middle:])
        else:
            self._batch_size.observe(len(batch))
            self._seconds.observe(time.perf_counter() - started)
            self._record(batch, began)
            for each, result in list(zip(batch, results, strict=True)):  # one result for each write
                _answer(each.answer, result)

    def _record(self, batch: Sequence[_Waiting[Write, Result]], began: int, error: Exception | None = None) -> None:
        if tracing.is_on():
            waiting = [each.trace for each in batch]
            committed(*self._what, len(batch), waiting, began, type(error).__name__ if error else None)


def _answer(answer: asyncio.Future[Result], result: Result | Exception) -> None:
    if answer.done():  # its caller went away
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
