"""Clients of a shop: they place orders, ask again, read, cancel and complete, and write down every call."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import UUID

from chaos.history import Call, History, Operation
from messaging.ports.changes import StoreOverloaded, StoreUnavailable
from order_service.application.find_orders import OrderNotFound
from order_service.application.place_order import OrderRequest
from order_service.domain.order import Order, OrderId
from order_service.domain.order_line import OrderLine
from order_service.domain.order_status import IllegalTransition
from shared_kernel.caller import ANONYMOUS
from shared_kernel.product import ProductId, Quantity
from simulation.event_loop import Machine
from simulation.installation import Installation, Process
from tests.bad_days.fulfilment_load import BASKETS

_PATIENCE: Final = 8.0
_ATTEMPTS: Final = 12


def product(name: str) -> str:
    """The id of a product. The checks, which are those of the chaos campaign, know products by round and name."""
    return f"r0-{name}"


@dataclass(slots=True)
class Clients:
    """All clients of a history. `unexpected` are the answers that no fault may lead to."""

    installation: Installation
    rng: Random
    history: History = field(default_factory=History)
    unexpected: list[str] = field(default_factory=list)
    machine: Machine = field(default_factory=lambda: Machine("clients"))
    _placed: list[tuple[str, UUID]] = field(default_factory=list)
    _next: int = 0

    async def run(self, orders: int, within: float, clients: int, burst: int) -> None:
        """Return when so many orders were placed or given up. They are placed in bursts, each by one of the clients and
        at any moment within so many seconds."""
        moments = [self.rng.uniform(0.0, within) for _ in range(math.ceil(orders / burst))]
        context = self.installation.network.context_of(self.machine)
        loop = self.installation.loop
        await asyncio.gather(
            *(
                loop.create_task(self._client(number, orders, burst, moments[number::clients]), context=context.copy())
                for number in range(clients)
            )
        )

    async def read_again(self) -> None:
        """Read every order once more. The last call of the history sees their final states."""
        for key, order_id in self._placed:
            await self._read(-1, key, order_id)

    async def _client(self, number: int, orders: int, burst: int, moments: Sequence[float]) -> None:
        began = self.installation.loop.time()
        for moment in sorted(moments):
            await asyncio.sleep(began + moment - self.installation.loop.time())
            for _ in range(burst):
                if self._next >= orders:
                    return
                self._next += 1
                await self._place(number, f"order-{self._next}")
                for _ in range(self.rng.randint(0, 2)):
                    await self._look_at_one(number)

    async def _place(self, number: int, key: str) -> None:
        """Place one order. An unknown outcome is asked for again with the same key, and so is one success in ten."""
        lines = tuple(
            OrderLine(ProductId(product(str(item["productId"]))), Quantity(int(str(item["quantity"]))))
            for item in self.rng.choice(BASKETS)
        )
        request = OrderRequest(lines, idempotency_key=key)
        for _ in range(_ATTEMPTS):
            call = await self._call(number, Operation.PLACE, key, lambda it: it.place(request))
            if call.succeeded and call.order_id:
                self._placed.append((key, UUID(call.order_id)))
                if self.rng.random() > 0.1:
                    return
            await asyncio.sleep(self.rng.uniform(0.05, 2.0))

    async def _look_at_one(self, number: int) -> None:
        if not self._placed:
            return
        key, order_id = self.rng.choice(self._placed)
        chance = self.rng.random()
        if chance < 0.7:
            await self._read(number, key, order_id)
        elif chance < 0.85:
            await self._call(number, Operation.CANCEL, key, lambda it: it.cancel(OrderId(order_id), ANONYMOUS))
        else:
            await self._call(number, Operation.COMPLETE, key, lambda it: it.complete(OrderId(order_id), ANONYMOUS))

    async def _read(self, number: int, key: str, order_id: UUID) -> None:
        await self._call(number, Operation.READ, key, lambda it: it.find.one(OrderId(order_id), ANONYMOUS))

    async def _call(
        self, number: int, operation: Operation, key: str, ask: Callable[[Any], Awaitable[Order | OrderId]]
    ) -> Call:
        apis = [each for each in self.installation.processes if each.service == "order" and each.use_cases]
        with self.history.call(number, operation, key) as call:
            if not apis:
                await asyncio.sleep(0.05)
                return call
            await self._ask(self.rng.choice(apis), call, ask)
        self.installation.trace("call", number, operation.value, key, call.http_status, call.version)
        return call

    async def _ask(self, api: Process, call: Call, ask: Callable[[Any], Awaitable[Order | OrderId]]) -> None:
        """The request, on its way to a process and back. A process that dies meanwhile never answers."""
        network, loop = self.installation.network, self.installation.loop
        machine, use_cases = api.machine, api.use_cases
        await network.transit(self.machine.name, machine.name)
        if use_cases is None or not machine.is_alive:
            return
        answer: asyncio.Future[Order | OrderId | Exception] = loop.create_future()

        async def serve() -> None:
            result: Order | OrderId | Exception
            try:
                result = await ask(use_cases)
            except Exception as error:  # noqa: BLE001  it is the answer
                result = error
            loop.call_soon(_give, answer, result, context=network.context_of(self.machine))

        loop.create_task(serve(), context=network.context_of(machine))
        try:
            async with asyncio.timeout(_PATIENCE):
                result = await answer
        except TimeoutError:
            return
        await network.transit(machine.name, self.machine.name)
        self._write_down(call, result)

    def _write_down(self, call: Call, result: Order | OrderId | Exception) -> None:
        match result:
            case OrderId():
                call.http_status, call.order_id, call.version, call.status = 201, str(result.value), 1, "PENDING"
            case Order():
                call.http_status, call.order_id = 200, str(result.id.value)
                call.version, call.status = result.version, result.status.value
            case StoreUnavailable() | StoreOverloaded():
                call.http_status = 503
            case IllegalTransition():
                call.http_status = 409
            case OrderNotFound() if call.operation is not Operation.PLACE:
                call.http_status = 404
                self.unexpected.append(f"{call.operation} of {call.order} says that there is no such order")
            case _:
                call.http_status = 500
                self.unexpected.append(f"{call.operation} of {call.order}: {result!r}")


def _give(answer: asyncio.Future[Any], result: Any) -> None:
    if not answer.done():
        answer.set_result(result)
