"""POST /orders under 64 connections: the order service against a handler that stores nothing and the naive design."""

from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.database import until_drained
from benchmarks.environment import Environment
from benchmarks.plan import TURN_SECONDS, in_turns
from benchmarks.processes import Service, Start, order_service, running, uvicorn_service
from benchmarks.table import Aim, Figure, Samples
from benchmarks.wrk import Load, load

_WARM_UP_SECONDS = 2


@dataclass(frozen=True, slots=True)
class _Party:
    name: str
    start: Start
    idempotency_keys: bool = False
    outbox_to_drain: str | None = None


async def measure(environment: Environment) -> list[Figure]:
    """Rounds of turns, one of each party; their order rotates."""
    parties = await _parties(environment)
    loads: dict[str, list[Load]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        services = [(party, await stack.enter_async_context(running(party.start))) for party in parties]
        for party, service in services:
            environment.say(f"write path: warming up {party.name}")
            await _turn(party, service, _WARM_UP_SECONDS)
        for number, (party, service) in in_turns(services, environment.plan.turns):
            environment.say(f"write path: turn {number} of {environment.plan.turns}, {party.name}")
            loads[party.name].append(await _turn(party, service, TURN_SECONDS))
    return _figures(loads)


async def _parties(environment: Environment) -> list[_Party]:
    await environment.create_topics()
    api, keys, both, naive = [
        await environment.database.fresh(name) for name in ("api", "api_keys", "api_relay", "naive")
    ]
    return [
        _Party("api", order_service("api", environment.settings(api))),
        _Party("api with keys", order_service("api", environment.settings(keys)), idempotency_keys=True),
        _Party("api and relay", order_service("api,relay", environment.settings(both)), outbox_to_drain=both),
        _Party("bare", uvicorn_service("benchmarks.bare_service", {})),
        _Party("naive", uvicorn_service("benchmarks.naive_service", {"NAIVE_DATABASE_URL": naive})),
    ]


async def _turn(party: _Party, service: Service, seconds: int) -> Load:
    result = await load(service.url, seconds, idempotency_keys=party.idempotency_keys)
    if party.outbox_to_drain:
        # What one turn leaves behind must not burden the next.
        await until_drained(party.outbox_to_drain)
    return result


def _figures(loads: dict[str, list[Load]]) -> list[Figure]:
    def rate(party: str) -> Samples:
        return Samples(tuple(load.per_second for load in loads[party]), "/s")

    def p99(party: str) -> Samples:
        return Samples(tuple(load.p99_ms for load in loads[party]), " ms")

    bare, naive = "FastAPI, no I/O:", "naive:"
    return [
        Figure("POST /orders, durable", rate("api"), rate("bare"), bare, (Aim(1.3, at_least=True),)),
        Figure("… an Idempotency-Key on each", rate("api with keys"), rate("bare"), bare),
        Figure("… relaying to Kafka in the same process", rate("api and relay"), rate("bare"), bare),
        Figure("POST /orders, durable", rate("api"), rate("naive"), naive, (Aim(8, at_least=True),)),
        Figure("… relaying to Kafka in the same process", rate("api and relay"), rate("naive"), naive),
        Figure("p99 of POST /orders", p99("api"), p99("naive"), naive, (Aim(0.25, at_least=False),)),
    ]
