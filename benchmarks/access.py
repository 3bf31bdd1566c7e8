"""What access costs: POST /orders with a remembered token. And what one caller's flood costs another caller."""

import asyncio
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.environment import Environment
from benchmarks.plan import TURN_SECONDS, in_turns
from benchmarks.processes import Service, order_service, running, uvicorn_service
from benchmarks.table import Aim, Figure, Samples
from benchmarks.wrk import Load, flood, load
from shared_kernel.caller import Scope

_ISSUER, _AUDIENCE = "https://issuer.bench", "orders"
_WARM_UP_SECONDS = 2
_SHOPS_PER_SECOND = 50
_FLOOD_PER_SECOND = 1000


async def measure(environment: Environment) -> list[Figure]:
    """Turns under load with AUTH=off and with a token, and of a quiet caller beside a flood and without one."""
    key = rsa.generate_private_key(65537, 2048)
    loads: dict[str, list[Load]] = defaultdict(list)
    times: dict[str, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        keys = await stack.enter_async_context(
            running(uvicorn_service("benchmarks.issuer", {"KEY_SET": _key_set(key)}))
        )
        parties: dict[str, tuple[Service, str | None]] = {}
        for name, rate in (("token", 1_000_000), ("limited", _FLOOD_PER_SECOND), ("off", None)):
            settings = environment.settings(await environment.database.fresh(f"access_{name}"))
            start = order_service("api", settings | (_required(keys.base_url, rate) if rate else {"AUTH": "off"}))
            parties[name] = await stack.enter_async_context(running(start)), _token(key, "flood") if rate else None
        parties["bare"] = await stack.enter_async_context(running(uvicorn_service("benchmarks.bare_service", {}))), None
        compared = [(name, *parties[name]) for name in ("token", "off", "bare")]
        for _, service, token in compared:
            await load(service.url, _WARM_UP_SECONDS, token=token)
        for number, (name, service, token) in in_turns(compared, environment.plan.turns):
            environment.say(f"access: turn {number} of {environment.plan.turns}, {name}")
            loads[name].append(await load(service.url, TURN_SECONDS, token=token))
        service, token = parties["limited"]
        for number in range(environment.plan.turns):
            for name in ("quiet", "flooded"):
                environment.say(f"access: turn {number + 1} of {environment.plan.turns}, a caller, {name}")
                with flood(service.url, token) if name == "flooded" else _nothing():
                    times[name] += await _times(service.url, _token(key, "shop"), 2 * TURN_SECONDS)
    return _figures(loads, times)


def _figures(loads: Mapping[str, list[Load]], times: Mapping[str, list[float]]) -> list[Figure]:
    def rate(party: str) -> Samples:
        return Samples(tuple(load.per_second for load in loads[party]), "/s")

    least, bare = Aim(0.97, at_least=True), Aim(1.15, at_least=True)
    quiet, flooded = (Samples((statistics.quantiles(times[name], n=100)[98],), " ms") for name in ("quiet", "flooded"))
    return [
        Figure("POST /orders with a remembered token", rate("token"), rate("off"), "AUTH=off:", (least,)),
        Figure("… the same", rate("token"), rate("bare"), "FastAPI, no I/O:", (bare,)),
        Figure("p99 of a caller beside another's flood", flooded, quiet, "alone:", (Aim(2, at_least=False),)),
    ]


async def _times(url: str, token: str, seconds: int) -> list[float]:
    """How long one caller's orders take at a fixed rate, in milliseconds from the time when each was due."""
    taken: list[float] = []

    async def place(client: httpx.AsyncClient, due: float) -> None:
        answer = await client.post(url, json={"items": [{"productId": "p1", "quantity": 2}]})
        taken.append((time.perf_counter() - due) * 1000)
        if answer.status_code != httpx.codes.CREATED:
            raise RuntimeError(f"an order was not accepted: {answer.status_code} {answer.text}")

    began = time.perf_counter()
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client,
        asyncio.TaskGroup() as placing,
    ):
        for number in range(seconds * _SHOPS_PER_SECOND):
            due = began + number / _SHOPS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            placing.create_task(place(client, due))
    return taken


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _required(issuer_url: str, per_second: int) -> dict[str, str]:
    return {
        "AUTH": "required",
        "AUTH_ISSUER": _ISSUER,
        "AUTH_AUDIENCE": _AUDIENCE,
        "AUTH_JWKS_URL": f"{issuer_url}/keys",
        "RATE_LIMIT_PER_SECOND": str(per_second),
    }


def _token(key: rsa.RSAPrivateKey, name: str) -> str:
    now = int(time.time())
    claims = {
        "iss": _ISSUER,
        "aud": _AUDIENCE,
        "sub": name,
        "iat": now,
        "exp": now + 3600,
        "scope": f"{Scope.ORDERS_WRITE} {Scope.ORDERS_READ}",
    }
    return jwt.encode(claims, key, "RS256", {"kid": "bench", "typ": "at+jwt"})


def _key_set(key: rsa.RSAPrivateKey) -> str:
    public: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return json.dumps({"keys": [public | {"kid": "bench", "use": "sig", "alg": "RS256"}]})
