"""An asyncio event loop without I/O and without a clock of its own. A seed decides everything that is left to chance.

Each simulated machine has its own queue of callbacks and runs them in their order, as a real event loop does. Which
machine runs next is drawn. When no machine has anything to do, the time jumps to the next timer.
"""

import asyncio
import heapq
import itertools
from asyncio import events
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeVar

_CALLBACKS_AT_ONE_TIME: Final = 200_000
"""More callbacks than that without any time passing are a loop without an end."""

_RESOLUTION: Final = 1e-6

Result = TypeVar("Result")


class Stuck(Exception):
    """The simulation cannot go on. The text says why."""


@dataclass(eq=False, slots=True)
class Machine:
    """What runs on its own, and fails on its own: a process, a broker, a database, the clients.

    `clock_offset` is by how many seconds its clock is wrong. A frozen machine runs nothing until it is thawed. A dead
    one never runs anything again, and nothing that it had begun is cleaned up.
    """

    name: str
    clock_offset: float = 0.0
    is_alive: bool = True
    is_frozen: bool = False
    ready: deque["_Handle"] = field(default_factory=deque)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    tasks_at_last_purge: int = 100

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Refer to a task for as long as it runs."""
        self.tasks.append(task)
        if len(self.tasks) > 2 * self.tasks_at_last_purge:
            self.tasks = [each for each in self.tasks if not each.done()]
            self.tasks_at_last_purge = max(100, len(self.tasks))


MACHINE: ContextVar[Machine] = ContextVar("machine")
"""The machine whose code runs."""


@dataclass(eq=False, slots=True)
class _Handle:
    """A callback that waits for its turn. It is what asyncio's own handles are, at a third of their cost."""

    callback: Callable[..., object]
    args: tuple[Any, ...]
    context: Context
    machine: Machine
    is_cancelled: bool = False

    def cancel(self) -> None:
        """See asyncio.Handle. It stays where it is, and nothing happens when its turn comes."""
        self.is_cancelled = True


class _Numbered:
    """Sets of tasks and futures are walked through in the order of their hashes. A number makes that order the same in
    every run, where an address does not."""

    _number = 0

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _Future(_Numbered, asyncio.Future[Any]):
    __hash__ = _Numbered.__hash__


class _Task(_Numbered, asyncio.Task[Any]):
    __hash__ = _Numbered.__hash__

    def __init__(
        self, coro: Coroutine[Any, Any, Any], *, loop: "SimulatedLoop", name: str | None, context: Any
    ) -> None:
        self._number = loop.next_number()
        super().__init__(coro, loop=loop, name=name or f"task {self._number}", context=context)


_NoIO: Any = asyncio.AbstractEventLoop
"""Most methods of a loop are about I/O. To call one of them raises NotImplementedError."""


class SimulatedLoop(_NoIO):  # type: ignore[misc]  # so that the others need not be written
    """The loop. `errors` are the exceptions that nobody has handled, with how that was noticed."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._now = 0.0
        self._numbers = itertools.count(1)
        self._timers: list[tuple[float, int, _Handle]] = []
        self._busy: list[Machine] = []
        self._graveyard: list[asyncio.Task[Any]] = []
        self.errors: list[tuple[str, BaseException | None]] = []

    def next_number(self) -> int:
        """A number for each task and future."""
        return next(self._numbers)

    # What asyncio asks of a loop.

    def time(self) -> float:
        """The simulated seconds since the beginning."""
        return self._now

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """True inside of `run_until_complete`."""
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        """Never: it has nothing to close."""
        return False

    def create_future(self) -> asyncio.Future[Any]:
        """A future with a number for its hash."""
        future = _Future(loop=self)
        future._number = next(self._numbers)
        return future

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        """A task of the machine whose code runs, or of the one in `context`."""
        machine = MACHINE.get() if context is None else context[MACHINE]
        task = _Task(coro, loop=self, name=name, context=context or copy_context())
        machine.keep(task)
        return task

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> _Handle:
        """Queue a callback of the machine whose code runs, or of the one in `context`."""
        context = context or copy_context()
        handle = _Handle(callback, args, context, context[MACHINE])
        self._queue(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """See AbstractEventLoop."""
        # A pause that the clock cannot show would never end.
        return self.call_at(self._now + max(_RESOLUTION, delay), callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """See AbstractEventLoop."""
        context = context or copy_context()
        handle = _Handle(callback, args, context, context[MACHINE])
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note an exception that nobody has handled."""
        self.errors.append((str(context.get("message")), context.get("exception")))

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do."""

    def run_in_executor(self, *_: Any) -> Any:
        """There are no threads in a simulation."""
        raise Stuck("something wants to run in a thread")

    def run_until_complete(self, future: Awaitable[Result]) -> Result:
        """Run until the future is done, and return its result. Raises Stuck."""
        task = asyncio.ensure_future(future, loop=self)
        events._set_running_loop(self)
        try:
            at, callbacks = self._now, 0
            while not task.done():
                self._run_one()
                callbacks = callbacks + 1 if self._now == at else 0
                at = self._now
                if callbacks > _CALLBACKS_AT_ONE_TIME:
                    raise Stuck(f"{callbacks} callbacks have run at {at} s, and time does not go on")
        finally:
            events._set_running_loop(None)
        return task.result()

    # What the simulation asks of it.

    def kill(self, machine: Machine) -> None:
        """Nothing of the machine runs any more. Its tasks are kept, because their ends would clean up what a killed
        machine leaves behind."""
        machine.is_alive = False
        self._graveyard += machine.tasks
        machine.tasks.clear()
        machine.ready.clear()

    def freeze(self, machine: Machine) -> None:
        """The machine stops in the middle of what it does."""
        machine.is_frozen = True

    def thaw(self, machine: Machine) -> None:
        """The machine goes on. Its timers that were due meanwhile come at once."""
        machine.is_frozen = False
        if machine.ready and machine not in self._busy:
            self._busy.append(machine)

    def _queue(self, handle: _Handle) -> None:
        machine = handle.machine
        if not machine.is_alive:
            return
        if not machine.ready and not machine.is_frozen:
            self._busy.append(machine)
        machine.ready.append(handle)

    def _run_one(self) -> None:
        busy = self._busy
        while True:
            while not busy:
                self._advance()
            place = int(self._rng.random() * len(busy)) if len(busy) > 1 else 0
            machine = busy[place]
            if machine.ready and machine.is_alive and not machine.is_frozen:
                break
            del busy[place]
        handle = machine.ready.popleft()
        if not machine.ready:
            del busy[place]
        if handle.is_cancelled:
            return
        try:
            handle.context.run(handle.callback, *handle.args)
        except Exception as error:  # noqa: BLE001  as in a real loop, whoever looks at `errors` decides
            self.errors.append((f"exception in {handle.callback!r}", error))

    def _advance(self) -> None:
        """Let the time jump to the next timer, and queue what is due then."""
        timers = self._timers
        while timers and (timers[0][2].is_cancelled or not timers[0][2].machine.is_alive):
            heapq.heappop(timers)
        if not timers:
            raise Stuck("nothing will ever happen again")
        self._now = now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= now:
            handle = heapq.heappop(timers)[2]
            if not handle.is_cancelled:
                self._queue(handle)
