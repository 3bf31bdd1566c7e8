"""`oms load` counts a request's time from when it was due, follows orders to the end and fails when none gets there."""

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result
from uuid_utils.compat import uuid7

from oms.cli import app
from oms.load_report import LoadReport, _progress, percentiles


@dataclass
class FakeShop:
    """What an order service answers: `post` by the number of the request, `get` to every look at an order."""

    post: Callable[[int], tuple[int, Any]] = lambda _: (201, {"orderId": str(uuid7())})
    get: Callable[[], tuple[int, Any]] = lambda: (200, {"status": "CONFIRMED"})
    posted: int = 0
    callers: set[str | None] = field(default_factory=set)
    turn: threading.Lock = field(default_factory=threading.Lock)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""


@contextmanager
def serving(shop: FakeShop) -> Iterator[str]:
    """The address of the shop."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with shop.turn:
                number, shop.posted = shop.posted, shop.posted + 1
                shop.callers.add(self.headers["Authorization"])
            self._answer(*shop.post(number))

        def do_GET(self) -> None:
            with shop.turn:
                shop.callers.add(self.headers["Authorization"])
            self._answer(*shop.get())

        def _answer(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def loaded(shop: FakeShop, *options: str) -> tuple[Result, dict[str, Any]]:
    """How a load of the shop ended, and its report."""
    with serving(shop) as url:
        ended = CliRunner().invoke(app, ["load", "--url", url, "--json", *options])
    assert "Traceback" not in ended.stderr
    return ended, json.loads(ended.stdout)


def stalls_at_first(number: int) -> tuple[int, Any]:
    if number == 0:
        time.sleep(1.0)
    return 201, {"orderId": str(uuid7())}


def test_in_an_open_loop_those_that_were_due_during_a_stall_have_waited() -> None:
    ended, report = loaded(FakeShop(stalls_at_first), "-n", "50", "-c", "1", "--rate", "100")

    assert ended.exit_code == 0, ended.stderr
    assert report["rate"] == 100
    assert report["postSeconds"]["p50"] >= 0.5, "the last of them was due half a second after the first"
    assert report["confirmedSeconds"]["p50"] >= report["postSeconds"]["p50"]


def test_orders_are_due_at_fixed_times_and_not_earlier() -> None:
    began = time.monotonic()
    ended, report = loaded(FakeShop(), "-n", "11", "-c", "4", "--rate", "10")

    assert ended.exit_code == 0, ended.stderr
    assert time.monotonic() - began >= 1.0
    assert report["acceptedPerSecond"] <= 11


def test_every_order_is_followed_to_its_end() -> None:
    outcomes = iter(["PENDING", "CONFIRMED", "CANCELLING", "CANCELLED", "REJECTED", "CONFIRMED", "CONFIRMED"])
    turn = threading.Lock()

    def next_one() -> tuple[int, Any]:
        with turn:
            return 200, {"status": next(outcomes)}

    ended, report = loaded(FakeShop(get=next_one), "-n", "5", "-c", "1")

    assert ended.exit_code == 0, ended.stderr
    assert report["outcomes"] == {"CONFIRMED": 3, "CANCELLED": 1, "REJECTED": 1}
    assert report["notSettled"] == 0


def test_orders_that_are_accepted_and_never_confirmed_are_no_success() -> None:
    rejecting = FakeShop(get=lambda: (200, {"status": "REJECTED"}))
    ended, report = loaded(rejecting, "-n", "5")
    assert (ended.exit_code, report["accepted"]) == (1, 5)
    assert ended.stderr.endswith(" took 5 orders and confirmed none: 5 REJECTED\n")

    hanging = FakeShop(get=lambda: (503, {}))
    ended, report = loaded(hanging, "-n", "5", "--settle-within", "0.1")
    assert (ended.exit_code, report["accepted"], report["notSettled"]) == (1, 5, 5)
    assert ended.stderr.endswith(" took 5 orders and confirmed none: none is settled\n")


def test_a_system_that_stops_taking_orders_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[asyncio.AbstractEventLoop, asyncio.Timeout]] = []
    monkeypatch.setattr(asyncio, "timeout", partial(_noting, limits, asyncio.timeout))

    def three_only(number: int) -> tuple[int, Any]:
        if number == 4:
            loop, limit = limits[0]
            loop.call_soon_threadsafe(limit.reschedule, 0.0)  # the time is over
        return (201, {"orderId": str(uuid7())}) if number < 3 else (503, {})

    ended, report = loaded(FakeShop(three_only), "-n", "100000", "-c", "1")

    assert (ended.exit_code, report["accepted"]) == (1, 3)
    assert report["refused"]["503"] > 0
    assert ended.stderr.endswith(" took 3 of 100000 orders, and then none for some time\n")


def _noting(limits: list[Any], timeout: Callable[[float], asyncio.Timeout], seconds: float) -> asyncio.Timeout:
    limit = timeout(seconds)
    limits.append((asyncio.get_running_loop(), limit))
    return limit


@pytest.mark.parametrize("answer", [(201, {}), (201, ["order"]), (200, {"orderId": "x"}), (422, {})])
def test_an_answer_that_is_no_order_is_refused(answer: tuple[int, Any]) -> None:
    ended, report = loaded(FakeShop(lambda _: answer), "-n", "3")

    assert (ended.exit_code, report["accepted"]) == (1, 0)
    assert sum(report["refused"].values()) == 3
    assert "took none of the orders, but answered " in ended.stderr


@pytest.mark.parametrize("option", ["--rate=0", "--rate=-1", "--rate=x", "--orders=0", "--settle-within=-1", "--url=x"])
def test_wrong_options_are_refused(option: str) -> None:
    assert CliRunner().invoke(app, ["load", option]).exit_code == 2


def test_percentiles_are_times_that_were_measured() -> None:
    assert percentiles([]) == {}
    assert percentiles([7.0]) == dict.fromkeys(("p50", "p90", "p99", "p99.9", "max"), 7.0)
    assert percentiles([float(each) for each in range(1000, 0, -1)]) == {
        "p50": 500, "p90": 900, "p99": 990, "p99.9": 999, "max": 1000,
    }  # fmt: skip


def test_the_live_view_has_counts_and_recent_times_on_a_narrow_terminal() -> None:
    report = LoadReport(10, 2.0)
    screen = Console(file=io.StringIO(), width=44)
    screen.print(_progress(report, lambda: 1.0))
    report.posted("201", 0.25, 2.0)
    report.settled("CONFIRMED", 0.5, 2.0)
    screen.print(_progress(report, lambda: 2.0))

    assert isinstance(screen.file, io.StringIO)
    lines = screen.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 44
    assert any("1 of 10" in line and "250 ms" in line for line in lines)
    assert any("settled" in line and "500 ms" in line for line in lines)


def test_orders_are_placed_and_read_by_the_caller_whose_token_a_file_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("oms_1_secret\n")
    monkeypatch.setenv("OMS_TOKEN_FILE", str(tmp_path / "token"))
    shop = FakeShop()
    ended, _ = loaded(shop, "-n", "3")
    assert ended.exit_code == 0
    assert shop.callers == {"Bearer oms_1_secret"}


def test_what_is_no_token_is_not_sent_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_TOKEN", "canary-\nnext line")
    shop = FakeShop()
    with serving(shop) as url:
        ended = CliRunner().invoke(app, ["load", "--url", url, "-n", "3"])
    assert (ended.exit_code, shop.posted) == (1, 0)
    assert "OMS_TOKEN is neither an access token nor an API key" in ended.stderr
    assert "canary-" not in ended.output
