"""The first order is placed by clients that nobody here wrote, each with its own idea of HTTP."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_parts.order_process import ORDER, OrderProcess

PROGRAMS = Path(__file__).parent / "programs"
DEADLINE = 600.0  # on a new machine Go compiles its net/http first
CLIENTS = {
    "the JDK's HttpClient": ["java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", str(PROGRAMS / "PlaceOrder.java")],
    "Node's fetch": ["node", str(PROGRAMS / "place_order.mjs")],
    "Go's net/http": ["go", "run", str(PROGRAMS / "place_order.go")],
    "Python's urllib": [sys.executable, str(PROGRAMS / "place_order.py")],
    "curl": ["sh", str(PROGRAMS / "place_order.sh")],
    "curl --http2": ["sh", str(PROGRAMS / "place_order.sh")],
    "curl that waits to be told to send its body": ["sh", str(PROGRAMS / "place_order.sh")],
}
OPTIONS = {
    "curl --http2": ["--http2"],
    "curl that waits to be told to send its body": ["-H", "Expect: 100-continue"],
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderProcess]:
    """One server for all of them."""
    environment = {"ORDER_DATABASE_URL": "memory", "EVENT_PUBLISHER": "logging"}
    with OrderProcess(tmp_path_factory.mktemp("service"), environment) as running:
        yield running


def _skip_without(client: str) -> None:
    tool = "curl" if client.startswith("curl") else CLIENTS[client][0]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed here, so {client} cannot be tried")
    if client == "curl --http2" and b"HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True).stdout:
        pytest.skip("curl was built without HTTP/2 here, so it cannot offer it")


@pytest.mark.parametrize("client", CLIENTS)
def test_an_order_is_placed_and_read(service: OrderProcess, tmp_path: Path, client: str) -> None:
    _skip_without(client)
    command = [*CLIENTS[client], service.url, json.dumps(ORDER), *OPTIONS.get(client, [])]
    offline = {"GOPROXY": "off", "GOFLAGS": "-mod=mod", "GO111MODULE": "off"}

    ended = subprocess.run(
        command, cwd=tmp_path, env=os.environ | offline, capture_output=True, text=True, timeout=DEADLINE
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    placed, read, body = ended.stdout.splitlines()
    assert (placed, read) == ("201", "200"), ended.stdout + ended.stderr
    order = json.loads(body)
    assert order["status"] == "PENDING"
    assert [{name: item[name] for name in ORDER["items"][0]} for item in order["items"]] == ORDER["items"]
