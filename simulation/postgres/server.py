"""A server: it is there or away, it commits or it does not, and its clients may never learn which."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeVar

from messaging.ports.changes import StoreUnavailable
from simulation.event_loop import MACHINE, Machine, SimulatedLoop
from simulation.network import Network, give

_COMMIT: Final = 0.001
_STATEMENT: Final = 0.0002
_GIVEN_UP_AFTER: Final = 10.0
"""The statement_timeout of the product's sessions, and how long a session may be idle that holds a lock."""
_CONNECT_AGAIN: Final = 0.2

Answer = TypeVar("Answer")


class Server:
    """One database, as its clients reach it. Its state is what was committed, on the primary and on a standby. A crash
    or a failover takes the sessions and what they have not yet committed, and no more.

    `started` counts its starts: sessions of an earlier start are gone. `answers` is told of each answer to a client
    that is not a failure.
    """

    def __init__(
        self, name: str, loop: SimulatedLoop, network: Network, rng: Random, trace: Callable[..., None]
    ) -> None:
        self.machine = Machine(name)
        self.answers: Callable[[str, str, Any], None] = lambda _client, _what, _result: None
        self.started = 1
        self.is_up = True
        self._loop = loop
        self._network = network
        self._rng = rng
        self._trace = trace
        self._locks: dict[Hashable, Session] = {}
        self._rows: dict[Hashable, asyncio.Lock] = {}
        self._standby = asyncio.Event()
        self._standby.set()

    @property
    def name(self) -> str:
        """The server's name."""
        return self.machine.name

    def crash(self) -> None:
        """It is away until `start`."""
        self.is_up = False
        self._end_sessions()

    def start(self) -> None:
        """It is there again, with everything that was committed."""
        self.started += 1
        self.is_up = True

    @property
    def has_standby(self) -> bool:
        """False while no commit is confirmed by a standby."""
        return self._standby.is_set()

    def lose_standby(self) -> None:
        """Commits wait for a standby from now on, with their locks, and nobody sees them."""
        self._standby.clear()

    def find_standby(self) -> None:
        """The commits that wait are confirmed, also those whose clients have given up."""
        self._standby.set()

    def fail_over(self) -> None:
        """The standby is the primary now. The commits that it has not confirmed are lost."""
        self.started += 1
        self._end_sessions()

    def _end_sessions(self) -> None:
        self._locks.clear()
        self._rows.clear()
        self._standby.set()

    async def run(
        self,
        what: str,
        action: Callable[[], Awaitable[Answer]],
        rows: Iterable[Hashable] = (),
        begin: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Run a statement. With `rows` it is a change, which waits for those rows and takes the time of a commit.
        `begin` is called when it has them.

        `action` must not wait for anything: what it does is the commit. Raises StoreUnavailable, and then nobody knows
        whether the statement was committed.
        """
        try:
            async with asyncio.timeout(_GIVEN_UP_AFTER):
                return await self._run(what, action, sorted(rows, key=str), begin)
        except TimeoutError:
            raise StoreUnavailable(f"{self.name} did not answer in time") from None

    async def _run(
        self, what: str, action: Callable[[], Awaitable[Answer]], rows: list[Hashable], begin: Callable[[], None]
    ) -> Answer:
        client = MACHINE.get()
        if not self.is_up or not self._network.reaches(client.name, self.name):
            await asyncio.sleep(self._rng.uniform(0.01, _CONNECT_AGAIN))
            raise StoreUnavailable(f"{self.name} is away")
        answer: asyncio.Future[Answer] = self._loop.create_future()
        statement = _Statement(self, client, self.started, what, action, answer)
        if rows:
            here = self._network.context_of(self.machine)
            self._loop.create_task(self._change(statement, rows, begin), context=here)
        else:
            time = self._network.time(client.name, self.name) + self._rng.expovariate(1 / _STATEMENT)
            self._later(time, self.machine, statement.execute)
        return await answer

    async def _change(self, statement: "_Statement", rows: list[Hashable], begin: Callable[[], None]) -> None:
        """What happens at the server. It goes on when the client is gone."""
        await asyncio.sleep(self._network.time(statement.client.name, self.name))
        held: list[asyncio.Lock] = []
        try:
            if self.is_still(statement.started):
                for row in rows:
                    lock = self._rows.setdefault(row, asyncio.Lock())
                    await lock.acquire()
                    held.append(lock)
                begin()
                await asyncio.sleep(self._rng.expovariate(1 / _COMMIT))
                await self._standby.wait()
                if self.is_still(statement.started):
                    self._trace("commit", statement.client.name, self.name, statement.what)
            statement.execute()
        finally:
            for lock in held:
                lock.release()

    def is_still(self, started: int) -> bool:
        """True while the server runs that was started then."""
        return self.is_up and self.started == started

    def answer(self, statement: "_Statement", result: Any) -> None:
        """Send the result to the client. It never arrives when the network is cut, and then the client's time is up."""
        if self._network.reaches(self.name, statement.client.name):
            self._later(
                self._network.time(self.name, statement.client.name), statement.client, statement.arrived, result
            )

    def _later(self, seconds: float, machine: Machine, call: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_later(seconds, call, *arguments, context=self._network.context_of(machine))

    def try_lock(self, session: "Session", name: Hashable) -> bool:
        """Take an advisory lock for a session, unless another living session has it."""
        holder = self._locks.get(name)
        if holder is not None and holder is not session and holder.is_there():
            return False
        self._locks[name] = session
        return True

    def sessions_with(self, name: str) -> int:
        """How many living sessions hold a lock whose name begins like this."""
        return sum(
            isinstance(lock, tuple) and lock[0] == name and session.is_there() for lock, session in self._locks.items()
        )

    async def open_session(self) -> "Session":
        """A session of the machine whose code runs. Raises StoreUnavailable."""
        return await self.run("connect", _constant(Session(self, MACHINE.get(), self._loop)))

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Session"]:
        """The same for a block."""
        session = await self.open_session()
        try:
            yield session
        finally:
            session.is_closed = True


@dataclass(eq=False, slots=True)
class _Statement:
    """A statement on its way. Nothing of it is done when the server was started anew meanwhile."""

    server: Server
    client: Machine
    started: int
    what: str
    action: Callable[[], Awaitable[Any]]
    future: asyncio.Future[Any]

    def execute(self) -> None:
        """At the server: do it, and send the result."""
        result: Any = StoreUnavailable(f"{self.server.name} has closed the session")
        if self.server.is_still(self.started):
            result = _outcome(self.action)
            if not isinstance(result, BaseException):
                self.server.answers(self.client.name, self.what, result)
        self.server.answer(self, result)

    def arrived(self, result: Any) -> None:
        """At the client. A server that crashed after a commit has told nobody."""
        if not self.server.is_still(self.started):
            result = StoreUnavailable(f"{self.server.name} has closed the session")
        give(self.future, result)


class Session:
    """A session, with the advisory locks that it holds. The server ends it when its machine is dead, or when nothing
    was heard of it for too long."""

    def __init__(self, server: Server, client: Machine, loop: SimulatedLoop) -> None:
        self.is_closed = False
        self.number = loop.next_number()
        self._server = server
        self._client = client
        self._loop = loop
        self._started = server.started
        self._heard_at = loop.time()

    def is_there(self) -> bool:
        """False once the server has ended it, and then for ever."""
        is_silent = self._loop.time() - self._heard_at > _GIVEN_UP_AFTER
        if self._started != self._server.started or not self._client.is_alive or is_silent:
            self.is_closed = True
        return not self.is_closed

    async def run(self, what: str, action: Callable[[], Awaitable[Answer]], rows: Iterable[Hashable] = ()) -> Answer:
        """See Server.run. Raises StoreUnavailable also when the session is over, and then nothing was done."""

        async def if_there() -> Answer:
            if not self.is_there():
                raise StoreUnavailable(f"{self._server.name} has ended the session")
            self._heard_at = self._loop.time()
            return await action()

        return await self._server.run(what, if_there, rows)


def _constant(value: Answer) -> Callable[[], Awaitable[Answer]]:
    async def action() -> Answer:
        return value

    return action


def _outcome(action: Callable[[], Awaitable[Any]]) -> Any:
    """The result or the exception of an action that waits for nothing."""
    try:
        action().__await__().send(None)
    except StopIteration as done:
        return done.value
    except Exception as error:  # noqa: BLE001  whoever asked gets it
        return error
    raise AssertionError("a commit has waited for something, so it is not one step")
