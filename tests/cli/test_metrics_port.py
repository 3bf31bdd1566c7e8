"""METRICS_PORT: health and metrics have a port of their own, and the public port shows orders only."""

import socket
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import oms
from tests.real_parts.kafka import free_port
from tests.real_parts.order_process import ORDER, OrderProcess

IN_MEMORY = {
    **{f"{service}_DATABASE_URL": "memory" for service in ("ORDER", "INVENTORY", "PAYMENT")},
    "EVENT_PUBLISHER": "logging",
}
FOR_OPERATORS = ("/health/live", "/health/ready", "/metrics")


@pytest.mark.parametrize(
    ("command", "takes_orders"),
    [
        ("serve order --roles api", True),
        ("serve order --roles relay", False),
        ("serve payment --roles consumer", False),
        ("serve inventory", False),
        ("up --quiet", True),
    ],
)
async def test_with_a_metrics_port_the_public_port_shows_orders_only(
    tmp_path: Path, command: str, takes_orders: bool
) -> None:
    metrics = f"http://127.0.0.1:{(port := free_port())}"
    with OrderProcess(tmp_path, IN_MEMORY | {"METRICS_PORT": str(port)}, *command.split()) as service:
        async with httpx.AsyncClient() as client:
            public = {path: (await client.get(service.url + path)).status_code for path in FOR_OPERATORS}
            private = {path: (await client.get(metrics + path)).status_code for path in FOR_OPERATORS}
            orders = [(await client.post(url + "/orders", json=ORDER)).status_code for url in (service.url, metrics)]
            described = (await client.get(service.url + "/openapi.json")).json()["paths"]
            pages = [(await client.get(metrics + path)).status_code for path in ("/", "/docs", "/openapi.json")]

    assert public == dict.fromkeys(FOR_OPERATORS, 404)
    assert private == dict.fromkeys(FOR_OPERATORS, 200)
    assert orders == [201 if takes_orders else 404, 404]
    assert not described.keys() & set(FOR_OPERATORS)
    assert pages == [404, 404, 404], "nothing else is on the port for operators"
    assert f"health and metrics on {metrics}" in service.log


async def test_a_wrong_path_on_the_metrics_port_is_answered_in_the_shape_of_every_error(tmp_path: Path) -> None:
    port = free_port()
    with OrderProcess(tmp_path, IN_MEMORY | {"METRICS_PORT": str(port)}, "serve", "order", "--roles", "api"):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answer = await client.get("/orders")

    assert answer.status_code == 404
    assert answer.json().keys() == {"status", "message", "errors", "timestamp"}


@pytest.mark.parametrize("whose", ["another process's", "its own"])
async def test_a_metrics_port_that_is_taken_ends_the_start_with_a_sentence_that_names_it(
    tmp_path: Path, whose: str
) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if whose == "another process's":
            taken.bind(("127.0.0.1", port))
            taken.listen()
        own = free_port() if whose == "another process's" else port
        ended = await oms(
            tmp_path, "serve", "order", "--roles", "api", "--port", str(own), **IN_MEMORY, METRICS_PORT=str(port)
        )

    assert (ended.code, ended.output) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another METRICS_PORT" in ended.errors
