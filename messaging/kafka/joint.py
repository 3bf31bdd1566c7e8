"""Joint transactions: the shards that a process owns publish together.

A transaction costs a broker nearly the same for one message as for a hundred: it adds partitions, writes markers, and
keeps a log of it all. Four shards with transactions of their own cost four times as much for the same messages. So what
the shards of a process want to publish while a transaction is under way is the next transaction. There is no timer, as
in group commit.

A shard publishes its first batch alone, by its own transactional id. The position in that transaction names the joint
transactions in which the shard is from then on, and so does every later one. Whoever takes the shard over fences the
shard's own id first, so that nobody can join any more, and then the joint transactions that the last position names.
So nothing of an earlier owner can still become visible, whichever way it was sent.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from uuid import uuid4

import structlog
from aiokafka.errors import KafkaError, TransactionalIdAuthorizationFailed

from messaging.kafka.positions import Joint
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.transactions import Content, Transactions, open_transactions

log = structlog.get_logger("kafka")


def joint_ids(service: str) -> str:
    """What the ids of a service's joint transactions begin with. Each process has one of its own."""
    return f"oms-outbox-{service}-joint-"


class JointTransactions:
    """What waits together is committed together. After a failure every member has to begin again."""

    def __init__(self, transactions: Transactions, name: Joint) -> None:
        self.name = name
        self._transactions = transactions
        self._waiting: list[tuple[Content, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._error: BaseException | None = None

    @property
    def failed(self) -> bool:
        """True when no transaction will follow."""
        return self._error is not None

    async def commit(self, content: Content) -> None:
        """Return when a transaction with this content is committed. See Transactions for failures."""
        if self._error is not None:
            raise KafkaError(f"the joint transactions have failed: {self._error}")
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((content, committed))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all(), name="joint transactions")
        await committed

    async def _commit_all(self) -> None:
        taken: list[tuple[Content, asyncio.Future[None]]] = []
        try:
            while taken := self._take():
                await self._transactions.commit([content for content, _ in taken])
                for _, committed in taken:
                    if not committed.done():
                        committed.set_result(None)
        except BaseException as error:
            self._error = error
            reason = error if isinstance(error, Exception) else KafkaError("the joint transaction was cut off")
            for _, committed in taken + self._waiting:
                if not committed.done():
                    committed.set_exception(reason)
            if not isinstance(error, Exception):
                raise
        finally:
            self._committing = None

    def _take(self) -> list[tuple[Content, asyncio.Future[None]]]:
        waiting, self._waiting = self._waiting, []
        return [(content, committed) for content, committed in waiting if not committed.done()]

    def end(self) -> None:
        """Their producer is fenced: nobody may join."""
        self._error = self._error or KafkaError("they were fenced")

    async def close(self) -> None:
        """Commit nothing more."""
        if self._committing is not None:
            self._committing.cancel()
            await asyncio.wait({self._committing})


class JointPublishing:
    """The joint transactions of a service's shards in this process, by one transactional id. They are opened when the
    first shard joins, and closed with the last publisher."""

    def __init__(self, settings: KafkaSettings, service: str, *, allowed: bool = True) -> None:
        self._settings = settings
        self._service = service
        self._changing = asyncio.Lock()
        self._publishers = 0
        self._current: JointTransactions | None = None
        self._open = AsyncExitStack()
        self._allowed = allowed
        self._fenced: set[Joint] = set()
        self.id = f"{joint_ids(service)}{uuid4().hex}"

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[None]:
        """Count a publisher during the block."""
        self._publishers += 1
        try:
            yield
        finally:
            self._publishers -= 1
            if not self._publishers:
                async with self._changing:
                    await self._close()

    async def join(self, shard: int) -> JointTransactions | None:
        """The current ones, or new ones. None where the broker does not allow their id: then each shard goes on alone.
        `shard` is what metrics and the log call new ones by."""
        async with self._changing:
            if self._current is None or self._current.failed:
                await self._close()
                if self._allowed:
                    await self._begin(shard)
            return self._current

    async def _begin(self, shard: int) -> None:
        try:
            transactions = await self._open.enter_async_context(self._transactions_of(self.id, shard))
        except TransactionalIdAuthorizationFailed:
            self._allowed = False
            log.warning("shards publish alone, until `oms topics acls` is followed", id=self._settings.prefix + self.id)
        else:
            self._current = JointTransactions(transactions, Joint(self.id, *transactions.epoch))
            self._open.push_async_callback(self._current.close)

    async def _close(self) -> None:
        self._current = None
        await self._open.aclose()

    async def fence(self, joint: Joint, shard: int) -> None:
        """End these joint transactions, whichever process they are of."""
        async with self._changing:
            current = self._current
            if joint in self._fenced or (current is not None and current.name.id == joint.id and current.name != joint):
                return  # a producer ends only once, and ours has ended those before it
            async with self._transactions_of(joint.id, shard):
                self._fenced.add(joint)
            if current is not None and current.name == joint:
                current.end()

    def _transactions_of(self, name: str, shard: int) -> AbstractAsyncContextManager[Transactions]:
        return open_transactions(self._settings, self._settings.prefix + name, self._service, shard)
