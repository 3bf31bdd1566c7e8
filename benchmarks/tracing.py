"""What traces cost: CPU an order of the three services, and the latency of POST while the collector hangs."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from benchmarks.environment import Environment
from benchmarks.fulfilment import sustained
from benchmarks.installation import Installation, confirm_one_order, plan_three_services, started
from benchmarks.plan import in_turns
from benchmarks.processes import order_service, running, uvicorn_service
from benchmarks.table import Aim, Figure, Samples
from benchmarks.wrk import Load, load

_WARM_UP_SECONDS = 2
_OURS = ("order service", "inventory service", "payment service", "PostgreSQL", "broker")


async def measure(environment: Environment) -> list[Figure]:
    """Rounds in which every share of recorded traces has a turn; the order of the turns rotates."""
    cpu: dict[str, list[float]] = defaultdict(list)
    loads: dict[str, list[Load]] = defaultdict(list)
    rounds = environment.plan.rounds
    async with running(uvicorn_service("benchmarks.collector", {})) as answering:
        shares = [("off", {}), ("1 %", _recording(0.01, answering.port)), ("all", _recording(1, answering.port))]
        for number, (name, settings) in in_turns(shares, rounds):
            environment.say(f"tracing: round {number} of {rounds}, {name}")
            turn = await sustained(environment, _three_services(environment, settings))
            cpu[name].append(sum(turn.cpu_ms[process] for process in _OURS))
        async with running(uvicorn_service("benchmarks.collector", {"HANGS": "1"})) as hanging:
            await _post(environment, {"answers": answering.port, "hangs": hanging.port}, loads)
    off = _samples(cpu["off"], " ms")
    p99 = {name: _samples([one.p99_ms for one in turns], " ms") for name, turns in loads.items()}
    return [
        Figure("CPU an order, 1 % of the traces recorded", _samples(cpu["1 %"], " ms"), off, "off:", (_at_most(1.02),)),
        Figure("… all of them", _samples(cpu["all"], " ms"), off, "off:", (_at_most(1.25),)),
        Figure(
            "p99 of POST, 1 % recorded, the collector hangs",
            p99["hangs"],
            p99["answers"],
            "it answers:",
            (_at_most(1.1),),
        ),
    ]


async def _post(environment: Environment, collectors: Mapping[str, int], loads: dict[str, list[Load]]) -> None:
    """Turns under load of two order services, whose collectors answer and hang."""
    async with AsyncExitStack() as stack:
        services = {}
        for name, port in collectors.items():
            settings = environment.settings(await environment.database.fresh(f"tracing_{name}"))
            start = order_service("api", settings | _recording(0.01, port))
            services[name] = await stack.enter_async_context(running(start))
            await load(services[name].url, _WARM_UP_SECONDS)
        for number in range(2 * environment.plan.rounds):
            for name in sorted(services, reverse=number % 2 == 1):
                environment.say(
                    f"tracing: POST, turn {number + 1} of {2 * environment.plan.rounds}, the collector {name}"
                )
                loads[name].append(await load(services[name].url, environment.plan.seconds))


@asynccontextmanager
async def _three_services(environment: Environment, settings: Mapping[str, str]) -> AsyncIterator[Installation]:
    async with started(await plan_three_services(environment, more=settings)) as installation:
        await confirm_one_order(installation)
        yield installation


def _recording(share: float, port: int) -> dict[str, str]:
    return {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_TRACES_SAMPLER_ARG": str(share),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
    }


def _at_most(limit: float) -> Aim:
    return Aim(limit, at_least=False)


def _samples(values: list[float], unit: str) -> Samples:
    return Samples(tuple(values), unit)
