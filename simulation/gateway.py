"""A model of the payment gateway, with its own books."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Final
from uuid import UUID

from payment_service.application.ports import Captured, Declined, GatewayUnavailable
from shared_kernel.money import Money
from simulation.event_loop import MACHINE, Machine, SimulatedLoop
from simulation.network import Network, give

_LIMIT: Final = Decimal("1000.00")
_WORK: Final = 0.02
_PATIENCE: Final = 5.0


class Gateway:
    """Charges and refunds once for each key. `failing` is the share of calls whose answers are lost, and of as many
    more that never arrive. `failed` counts both. `moved` counts how often money moved for each key."""

    def __init__(self, loop: SimulatedLoop, network: Network, rng: Random, trace: Callable[..., None]) -> None:
        self.machine = Machine("gateway")
        self.failing = 0.0
        self.failed = 0
        self.balances: dict[UUID, Decimal] = {}
        self._answers: dict[str, Captured | Declined | None] = {}
        self._loop = loop
        self._network = network
        self._rng = rng
        self._trace = trace
        self.moved: Counter[str] = Counter()

    async def charge(self, key: str, order_id: UUID, amount: Money) -> Captured | Declined:
        """See PaymentGateway."""
        answer = await self._call(key, order_id, amount, 1)
        if answer is None:
            raise AssertionError(f"the key {key} was used for a refund before")
        return answer

    async def refund(self, key: str, order_id: UUID, amount: Money) -> None:
        """See PaymentGateway."""
        await self._call(key, order_id, amount, -1)

    async def _call(self, key: str, order_id: UUID, amount: Money, sign: int) -> Captured | Declined | None:
        client, chance = MACHINE.get(), self._rng.random()
        answer: asyncio.Future[Captured | Declined | None] = self._loop.create_future()
        self._loop.create_task(
            self._serve(client, key, order_id, amount, sign, chance, answer),
            context=self._network.context_of(self.machine),
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                return await answer
        except TimeoutError:
            raise GatewayUnavailable("no answer from the gateway") from None

    async def _serve(
        self,
        client: Machine,
        key: str,
        order_id: UUID,
        amount: Money,
        sign: int,
        chance: float,
        answer: asyncio.Future[Captured | Declined | None],
    ) -> None:
        await self._network.transit(client.name, self.machine.name)
        failing = self.failing
        self.failed += chance < 2 * failing
        if chance < failing:
            return
        await asyncio.sleep(self._rng.expovariate(1 / _WORK))
        if key not in self._answers:
            self._answers[key] = self._book(key, order_id, Decimal(amount.amount), sign)
        self._trace("gateway", client.name, key, sign)
        await self._network.transit(self.machine.name, client.name)
        if chance >= 2 * failing:
            self._loop.call_soon(give, answer, self._answers[key], context=self._network.context_of(client))

    def _book(self, key: str, order_id: UUID, amount: Decimal, sign: int) -> Captured | Declined | None:
        if sign > 0 and amount > _LIMIT:
            return Declined(f"{amount} is over the limit")
        self.moved[key] += 1
        self.balances[order_id] = self.balances.get(order_id, Decimal()) + sign * amount
        return Captured(f"charge-{order_id}") if sign > 0 else None

    @asynccontextmanager
    async def opened(self, _settings: object) -> AsyncIterator["Gateway"]:
        """See the payment service's bootstrap."""
        yield self
