"""The attacks. Each returns how often it tried, and a sentence for whatever should not have happened."""

import asyncio
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from http_api.access.api_keys import new_key
from oms.http_protocol import REQUEST_SECONDS
from tests.access.refused_tokens import REFUSED
from tests.campaigns.attack.decoders import TARGETS
from tests.campaigns.attack.target import Target
from tests.http.ambiguous import AMBIGUOUS, EVIL
from tests.real_parts.order_process import ORDER

WRONG_KEYS = 10_000
SLOW_CONNECTIONS = 300
_AT_ONCE = 16
_CLOSED_WITHIN = REQUEST_SECONDS + 15
_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@dataclass(frozen=True, slots=True)
class Result:
    """`tried` is in the unit of `what`."""

    attack: str
    tried: int
    what: str
    findings: Sequence[str]
    measured: str = ""


async def invented_requests(on: Target, examples: int, folder: Path, *, token: bool) -> Result:
    """Requests that schemathesis derives from /openapi.json, valid and invalid. It keeps what it found in `folder`."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{on.url}/openapi.json", "--checks", _CHECKS]
    command += ["--max-examples", str(examples), "--no-color", "--phases", "examples,coverage,fuzzing"]
    command += ["--header", f"Authorization: Bearer {on.token}"] if token else []
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode(errors="replace")
    generated = re.search(r"(\d+) generated", output)
    findings = [] if process.returncode == 0 and generated else [output[-4000:]]
    name = "invented requests, with a token" if token else "invented requests, without credentials"
    return Result(name, int(generated[1]) if generated else 0, "requests", findings)


async def forged_tokens(on: Target) -> Result:
    """Every token of the corpus, on every route that needs one."""
    findings, tried = [], 0
    async with httpx.AsyncClient(base_url=on.url, timeout=30) as client:
        for kind, token in REFUSED.items():
            for method, path in (("GET", "/orders"), ("POST", "/orders"), ("GET", "/products"), ("GET", "/metrics")):
                answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}"}, json=ORDER)
                tried += 1
                if answer.status_code != httpx.codes.UNAUTHORIZED:
                    findings.append(f"{method} {path} with a token {kind}: {answer.status_code} {answer.text[:200]}")
    return Result("forged tokens", tried, "requests", findings)


async def wrong_keys(on: Target) -> Result:
    """Keys with a wrong secret of a known id and of unknown ids. The two must take equally long."""
    findings: list[str] = []
    known = on.key.split("_")[1]
    taken: dict[str, list[float]] = {"known": [], "unknown": []}

    async def guess(client: httpx.AsyncClient, number: int) -> None:
        kind = "known" if number % 2 else "unknown"
        key_id = bytes.fromhex(known) if number % 2 else secrets.token_bytes(8)
        key = new_key(key_id, secrets.token_urlsafe(32))
        began = time.perf_counter()
        answer = await client.get("/orders", headers={"Authorization": f"Bearer {key}"})
        taken[kind].append(time.perf_counter() - began)
        if answer.status_code != httpx.codes.UNAUTHORIZED:
            findings.append(f"a wrong key: {answer.status_code} {answer.text[:200]}")

    async with httpx.AsyncClient(base_url=on.url, timeout=30) as client:
        for start in range(0, WRONG_KEYS, _AT_ONCE):
            await asyncio.gather(*(guess(client, number) for number in range(start, min(start + _AT_ONCE, WRONG_KEYS))))
        good = await client.get("/orders", headers={"Authorization": f"Bearer {on.key}"})
    if good.status_code != httpx.codes.OK:
        findings.append(f"the right key, afterwards: {good.status_code}")
    known_ms, unknown_ms = (sorted(times)[len(times) // 2] * 1000 for times in (taken["known"], taken["unknown"]))
    measured = f"median {known_ms:.2f} ms with a known id, {unknown_ms:.2f} ms with an unknown one"
    return Result("wrong API keys", WRONG_KEYS, "guesses", findings, measured)


async def smuggled_requests(on: Target) -> Result:
    """Requests that two readers understand differently, each with another one behind it."""
    findings = []
    for request in AMBIGUOUS:
        reader, writer = await asyncio.open_connection("127.0.0.1", on.process.port)
        writer.write(request + EVIL)
        async with asyncio.timeout(_CLOSED_WITHIN):
            answer = await reader.read(-1)
        writer.close()
        if answer.count(b"HTTP/1.1 ") != 1 or not answer.startswith(b"HTTP/1.1 400 "):
            findings.append(f"{request[:80]!r} was answered {answer[:200]!r}")
    return Result("smuggled requests", len(AMBIGUOUS), "requests", findings)


async def slow_clients(on: Target) -> Result:
    """Connections that send a byte a second, half of them in the head and half in the body. Others are served
    meanwhile, and the slow ones are closed."""
    findings: list[str] = []
    in_body = b"POST /orders HTTP/1.1\r\nHost: oms\r\nContent-Length: 60000\r\n\r\n{"
    closed = 0

    async def trickle(begin: bytes) -> None:
        nonlocal closed
        reader, writer = await asyncio.open_connection("127.0.0.1", on.process.port)
        writer.write(begin)
        ended = asyncio.create_task(reader.read(-1))
        give_up_at = time.monotonic() + _CLOSED_WITHIN
        while not ended.done() and time.monotonic() < give_up_at:
            await asyncio.wait({ended}, timeout=1)
            if not ended.done():
                writer.write(b"x")
        closed += ended.done()
        ended.cancel()
        writer.close()

    async with httpx.AsyncClient(base_url=on.url, timeout=30) as client:
        beginnings = (b"GET /orders HTTP/1.1\r\nX-Slow: ", in_body)
        slow = [asyncio.create_task(trickle(beginnings[number % 2])) for number in range(SLOW_CONNECTIONS)]
        served = []
        for _ in range(50):
            began = time.perf_counter()
            answer = await client.post("/orders", json=ORDER, headers={"Authorization": f"Bearer {on.token}"})
            served.append(time.perf_counter() - began)
            if answer.status_code != httpx.codes.CREATED:
                findings.append(f"an order beside slow clients: {answer.status_code} {answer.text[:200]}")
            await asyncio.sleep(0.1)
        await asyncio.gather(*slow, return_exceptions=True)
    if closed != SLOW_CONNECTIONS:
        findings.append(f"{SLOW_CONNECTIONS - closed} slow connections were still open after {_CLOSED_WITHIN:.0f} s")
    measured = f"orders beside them: at most {max(served) * 1000:.0f} ms"
    return Result("slow clients", SLOW_CONNECTIONS, "connections", findings, measured)


async def fuzzed(name: str, seconds: int, seed: int, folder: Path) -> Result:
    """A decoder of foreign bytes, fuzzed by coverage."""
    corpus = folder / f"corpus-{name}"
    corpus.mkdir()
    command = [sys.executable, "-m", "tests.campaigns.attack.fuzz", name, str(corpus)]
    command += [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-timeout=10",
        "-rss_limit_mb=1024",
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = (await process.communicate())[0].decode(errors="replace")
    executed = [line.split()[-1] for line in output.splitlines() if "number_of_executed_units" in line]
    findings = [] if process.returncode == 0 else [output[-4000:]]
    return Result(f"fuzzed {name}: {TARGETS[name].__doc__}", int(executed[0]) if executed else 0, "inputs", findings)
