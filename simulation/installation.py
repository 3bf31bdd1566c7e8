"""The three services as processes, between the models of a database server each, a Kafka cluster and a gateway."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from unittest.mock import patch

from inventory_service.domain import Product
from inventory_service.settings import InventorySettings
from messaging.kafka.settings import Compression, KafkaSettings
from messaging.runtime.settings import Role, ServiceSettings
from messaging.runtime.transport import KafkaTransport
from oms.services import SERVICES, TOPICS
from order_service.api.http_part import OrderUseCases
from order_service.settings import OrderSettings
from payment_service.settings import PaymentSettings
from shared_kernel.money import Money
from shared_kernel.product import ProductId
from simulation.chance import Chance
from simulation.event_loop import MACHINE, Machine, SimulatedLoop
from simulation.gateway import Gateway
from simulation.kafka.cluster import BOOTSTRAP_SERVERS, Cluster, host_of
from simulation.kafka.connection import WIRE, Wire, simulated_connections
from simulation.network import Network
from simulation.postgres.server import Server
from simulation.postgres.stores import Database, open_simulated_store

STEP_TIMEOUT: Final = 20.0
"""STEP_TIMEOUT_SECONDS of the simulated order service."""
_RESTARTED_AFTER: Final = 0.5
_ALL_ROLES: Final = frozenset(Role)


@dataclass(frozen=True, slots=True)
class _Http:
    """Where the product has its HTTP application, the simulation has the use cases."""

    use_cases: Any


@dataclass(eq=False, slots=True)
class Process:
    """A process of a service, under a supervisor that starts it again."""

    service: str
    name: str
    roles: frozenset[Role]
    machine: Machine
    starts: int = 0
    use_cases: OrderUseCases | None = None
    main: asyncio.Task[None] | None = None
    is_held_down: bool = False


class Installation:
    """Everything that is simulated. `broken` has the assertions that processes have failed with."""

    def __init__(self, loop: SimulatedLoop, rng: Random, chance: Chance, trace: Callable[..., None]) -> None:
        self.loop = loop
        self.trace = trace
        self.chance = chance
        self._rng = rng
        self.network = Network(Random(rng.random()))
        self.cluster = Cluster(loop, Random(rng.random()), TOPICS)
        self.wire = Wire(loop, self.cluster, self.network, Random(rng.random()), trace)
        self.gateway = Gateway(loop, self.network, Random(rng.random()), trace)
        self.databases: Mapping[str, Database] = {
            name: Database(name, Server(f"{name}-db", loop, self.network, Random(rng.random()), trace), loop)
            for name in SERVICES
        }
        self.processes: list[Process] = []
        self.broken: list[str] = []
        self._supervisor = Machine("supervisor")

    def add_process(self, service: str, number: int, roles: frozenset[Role] = _ALL_ROLES) -> None:
        """Start a process, and start it again whenever it ends."""
        name = f"{service}-{number}"
        process = Process(service, name, roles, Machine(name))
        self.processes.append(process)
        self._start(process)

    def put_products(self, products: Mapping[str, tuple[str, int]]) -> None:
        """Put products on sale, with their prices and stock."""
        stock = self.databases["inventory"].store
        for name, (price, on_hand) in products.items():
            product = ProductId(name)
            stock._products[product] = Product(id=product, price=Money.of(price, "EUR"), on_hand=on_hand)

    def kill(self, process: Process) -> None:
        """As kill -9. Its supervisor starts it again after a while."""
        self.trace("kill", process.name)
        self.loop.kill(process.machine)
        process.use_cases = None
        later = self._rng.uniform(0.2, 3.0)
        self.loop.call_later(later, self._start, process, context=self.network.context_of(self._supervisor))

    async def hold_down(self, service: str, until: Awaitable[object]) -> None:
        """All processes of a service are killed, and nobody starts them until then."""
        processes = [process for process in self.processes if process.service == service]
        for process in processes:
            process.is_held_down = True
            self.kill(process)
        await until
        for process in processes:
            process.is_held_down = False
            self._start(process)

    def stop(self, process: Process) -> None:
        """As SIGTERM: it ends in order, and is started again."""
        self.trace("stop", process.name)
        if process.main is not None and not process.main.done():
            self.loop.call_soon(process.main.cancel, context=self.network.context_of(process.machine))

    async def crash_broker(self, node: int, seconds: float) -> None:
        """A broker is away for a while."""
        host, away = host_of(node), self.cluster.leadership.away
        away.add(node)
        self.network.away.add(host)
        self.wire.break_all(host)
        await asyncio.sleep(seconds)
        self.network.away.discard(host)
        away.discard(node)

    async def move_leaders(self, node: int, seconds: float) -> None:
        """For a while other brokers lead and coordinate what one would."""
        self.trace("passed over", node)
        passed_over = self.cluster.leadership.passed_over
        passed_over.add(node)
        await asyncio.sleep(seconds)
        passed_over.discard(node)

    def _start(self, process: Process) -> None:
        if process.is_held_down or (process.starts and process.machine.is_alive):
            return
        process.starts += 1
        if process.starts > 1:
            offset = process.machine.clock_offset
            process.machine = Machine(process.name, clock_offset=offset)
        self.trace("start", process.name)
        context = self.network.context_of(process.machine)
        process.main = self.loop.create_task(self._run(process, process.machine), context=context)

    async def _run(self, process: Process, machine: Machine) -> None:
        service = SERVICES[process.service]
        kafka = KafkaSettings(
            bootstrap_servers=BOOTSTRAP_SERVERS,
            compression=Compression.NONE,
            group_instance_id=process.name,
        )
        try:
            async with service.start(_SETTINGS[process.service], KafkaTransport(kafka), process.roles) as running:
                process.use_cases = running.http.use_cases
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.trace("stopped", process.name)
        except AssertionError as error:
            self.broken.append(f"{process.name}: {error}")
        except Exception as error:  # noqa: BLE001  a supervisor starts it again, whatever it was
            self.trace("ended", process.name, f"{type(error).__name__}: {error}")
        finally:
            process.use_cases = None
        if machine.is_alive:
            machine.is_alive = False
            self.loop.call_later(
                _RESTARTED_AFTER, self._start, process, context=self.network.context_of(self._supervisor)
            )


_SETTINGS: Final[Mapping[str, ServiceSettings]] = {
    "order": OrderSettings(order_database_url="embedded", step_timeout_seconds=STEP_TIMEOUT),
    "inventory": InventorySettings(inventory_database_url="embedded"),
    "payment": PaymentSettings(payment_database_url="embedded"),
}


@contextmanager
def simulated(installation: Installation) -> Iterator[None]:
    """Within the block the services open what is simulated, where they would open what is real."""
    chance = installation.chance
    token = WIRE.set(installation.wire)

    def open_store(service: Any, settings: Any, _roles: Any, **_: Any) -> Any:
        return open_simulated_store(installation.databases, service, settings)

    def http(_checks: Any, use_cases: Any) -> Any:
        return _Http(use_cases)

    def place(_folder: Any, _service: str) -> Any:
        return nullcontext(MACHINE.get().name)

    replaced: dict[str, dict[str, object]] = {
        "order_service.bootstrap": {"orders_http": http},
        "inventory_service.bootstrap": {"inventory_http": http},
        "payment_service.bootstrap": {
            "payments_http": http,
            "place_in": place,
            "uuid4": chance.uuid4,
            "_open_gateway": installation.gateway.opened,
        },
    }
    everywhere: dict[str, object] = {"open_store": open_store, "now": chance.now, "uuid7": chance.uuid7}
    with ExitStack() as stack:
        stack.enter_context(simulated_connections())
        stack.enter_context(patch("messaging.kafka.joint.uuid4", chance.uuid4))
        for module, names in replaced.items():
            for name, by in (names | everywhere).items():
                stack.enter_context(patch(f"{module}.{name}", by))
        try:
            yield
        finally:
            WIRE.reset(token)
