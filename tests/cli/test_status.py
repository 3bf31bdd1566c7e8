"""`oms status` shows the whole system on one screen, and its exit status says how it is."""

import asyncio
import io
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from messaging.kafka.groups import GroupState
from messaging.ports.failures import Failure
from messaging.ports.figures import Figure
from messaging.ports.record import Record
from messaging.postgres.counting import COUNTED_TO
from messaging.postgres.failures import PostgresFailures
from messaging.postgres.pool import open_pool
from messaging.postgres.probe import Revisions
from messaging.postgres.queue_figures import QueueFigures
from oms.exit_status import ExitStatus
from oms.status import ProcessStatus, ServiceStatus, SystemStatus
from oms.status_screen import screen_of, status_document
from tests.cli.commands import oms
from tests.real_parts.kafka import free_port
from tests.real_parts.order_process import OURS
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.query import rows
from tests.real_parts.three_services import all_in_one

REVISIONS = Revisions(frozenset({"0001", "0002"}), "0002")
QUIET = QueueFigures("0002", outbox=0, outbox_age=0, relays=1, shards=4, parked=0, parked_age=0, dead=0)
AWAY = {f"{name}_DATABASE_URL": "postgresql://127.0.0.1:1/x" for name in ("ORDER", "INVENTORY", "PAYMENT")}


def system(broker_away: str | None = None, process_away: str | None = None, **changes: Any) -> SystemStatus:
    """A system of one service that is well, but for these changes of its queues or of its status."""
    own = {name: changes.pop(name) for name in ("figures", "consumers", "away") if name in changes}
    queues = None if own.get("away") else QueueFigures(**{**_fields(QUIET), **changes})
    status = ServiceStatus(REVISIONS, queues, **{"consumers": GroupState(1, 3), **own})
    processes = [ProcessStatus("http://here", process_away)]
    return SystemStatus(datetime.now(UTC), {"order": status}, True, broker_away, processes)


def _fields(queues: QueueFigures) -> dict[str, Any]:
    return {name: getattr(queues, name) for name in QueueFigures.__slots__}


def shown(status: SystemStatus, width: int = 80, **options: Any) -> str:
    """The screen as a console of this width prints it."""
    output = io.StringIO()
    Console(file=output, width=width, markup=False, highlight=False, **options).print(screen_of(status))
    return output.getvalue()


def test_a_quiet_system_needs_nobody() -> None:
    status = system()

    assert status.exit_status is ExitStatus.DONE
    assert "everything is well" in shown(status)
    assert status_document(status)["verdict"] == "well"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"revision": "0001"}, "order: its schema is 0001 instead of 0002: oms migrate order"),
        ({"outbox": 3, "outbox_age": 61.0}, "order: messages have waited in the outbox for 61 s"),
        ({"shards": 3}, "order: 3 of 4 shards are published: is a relay running?"),
        ({"consumers": GroupState(0, 7)}, "order: no consumer is in its group: is a consumer running?"),
        ({"consumers": GroupState(1, 1001)}, "order: its consumers are 1,001 records behind"),
        (
            {"consumers": GroupState(1, 3171, {"inventory-events": 3000, "payment-events": 171})},
            "order: an open transaction hides 3,171 records of inventory-events and payment-events from its consumers",
        ),
        ({"parked": 2, "parked_age": 11.0}, "order: parked records: 2, see oms parked list --service order"),
        ({"dead": 1}, "order: dead letters: 1, see oms dead-letters list --service order"),
        ({"figures": [Figure("orders stuck", 2, alarm="2 orders are stuck")]}, "order: 2 orders are stuck"),
    ],
)
def test_what_needs_a_person_is_a_sentence_and_a_status(change: dict[str, Any], sentence: str) -> None:
    status = system(**change)

    assert status.alarms == [sentence]
    assert status.exit_status is ExitStatus.ATTENTION
    assert sentence in " ".join(shown(status).split())


@pytest.mark.parametrize("which", ["away", "broker_away", "process_away"])
def test_what_does_not_answer_is_a_sentence_and_another_status(which: str) -> None:
    trouble: dict[str, Any] = {which: "it is away, and why"} | ({} if which == "away" else {"dead": 1})
    status = system(**trouble)

    assert status.outages == ["it is away, and why"]
    assert status.exit_status is ExitStatus.INCOMPLETE
    assert "it is away, and why" in shown(status)
    assert status_document(status)["outages"] == ["it is away, and why"]


def test_a_newer_schema_a_young_parked_record_and_a_short_queue_are_no_trouble() -> None:
    status = system(revision="0003", parked=1, parked_age=2.0, outbox=500, outbox_age=1.0)

    assert status.exit_status is ExitStatus.DONE
    assert "500, 1 s old" in shown(status)


def test_a_count_that_was_stopped_says_so() -> None:
    assert "10,000 or more" in shown(system(dead=COUNTED_TO))


@pytest.mark.parametrize("width", [24, 40, 80, 300])
def test_the_screen_fits_every_terminal(width: int) -> None:
    lines = shown(system(dead=1, process_away="http://here does not answer"), width).splitlines()

    assert max(map(len, lines)) <= width
    assert len(lines) < 24 or width < 80, "one screen"


def test_no_colour_is_printed_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    troubled = system(dead=1, figures=[Figure("orders stuck", 2, alarm="2 orders are stuck")])
    assert "\x1b[1;33m" in shown(troubled, force_terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert ";33m" not in shown(troubled, force_terminal=True)
    assert "\x1b" not in shown(troubled)


def test_words_of_others_are_data() -> None:
    assert r"\x1b[2J [/red] gone" in shown(system(away="\x1b[2J [/red] gone"))


async def test_a_whole_system_is_shown_as_it_is(postgres: PostgresServer, tmp_path: Path) -> None:
    async with all_in_one(postgres, tmp_path) as services:
        databases = {f"{name.upper()}_DATABASE_URL": dsn for name, dsn in services.databases.items()}
        well = await oms(tmp_path, "status", "--url", services.url("order"), **databases)
        async with open_pool(services.databases["payment"]) as pool:
            record = Record("payment-commands", 0, 1, "key", {}, b"")
            await PostgresFailures(pool).bury(Failure(record, "it is not JSON", 1))
        attention = await oms(tmp_path, "status", "--json", **databases)
        partly = databases | {"INVENTORY_DATABASE_URL": AWAY["INVENTORY_DATABASE_URL"]}
        incomplete = await oms(tmp_path, "status", **partly)
        (sessions,) = await rows(
            services.databases["order"], "select count(*) as others from pg_stat_activity where state = 'active'"
        )

    assert (well.code, well.errors) == (0, ""), well.output
    assert "everything is well" in well.output
    assert f"{services.url('order')}  ready" in well.output
    assert attention.code == 4
    document = json.loads(attention.output)
    assert document["alarms"] == ["payment: dead letters: 1, see oms dead-letters list --service payment"]
    assert document["services"]["order"]["shardsPublished"] == 4
    assert document["services"]["order"]["figures"]["ordersUnderWay"] == 0
    assert incomplete.code == 3
    assert "AWAY" in incomplete.output
    assert "the database of INVENTORY_DATABASE_URL cannot be used" in incomplete.output
    assert sessions["others"] == 1, "the commands leave no work behind"


@pytest.mark.parametrize("url", ["here", "ftp://here", ""])
async def test_an_address_that_is_none_is_a_wrong_use(tmp_path: Path, url: str) -> None:
    ended = await oms(tmp_path, "status", "--url", url, **AWAY)

    assert (ended.code, ended.output) == (2, "")


@asynccontextmanager
async def watching(folder: Path, *options: str, stdout: int = asyncio.subprocess.PIPE) -> AsyncIterator[Any]:
    """`oms status --watch` of a system that is away; told to end afterwards."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith((*OURS, "LOG_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "oms", "status", "--watch", "--every", "0.5", *options),
        env=inherited | AWAY | {"DATA_DIR": str(folder / "data")},
        cwd=folder,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _lines(process: Any, count: int) -> Sequence[str]:
    async with asyncio.timeout(120):
        return [(await process.stdout.readline()).decode() for _ in range(count)]


async def test_watching_into_a_pipe_prints_document_after_document_until_ctrl_c(tmp_path: Path) -> None:
    async with watching(tmp_path, "--json") as process:
        first, second = await _lines(process, 2)
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()

    assert json.loads(first)["at"] < json.loads(second)["at"]
    assert json.loads(second)["verdict"] == "incomplete"
    assert "\x1b" not in first
    assert process.returncode == ExitStatus.INTERRUPTED
    assert errors == b""


async def test_a_reader_that_goes_away_ends_the_watch_quietly(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    async with watching(tmp_path, stdout=writing) as process:
        os.close(writing)
        assert b"a part does not answer" in await asyncio.to_thread(os.read, reading, 100)
        os.close(reading)
        _, errors = await process.communicate()

    assert (process.returncode, errors) == (ExitStatus.CANNOT, b"")


async def test_watching_on_a_terminal_gives_the_screen_back(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    seen = b""
    async with watching(tmp_path, stdout=its) as process:
        os.close(its)
        while b"a part does not answer" not in seen:
            seen += await asyncio.to_thread(os.read, ours, 4096)
        process.send_signal(signal.SIGINT)
        ending = asyncio.create_task(process.communicate())
        while b"\x1b[?1049l" not in seen:
            seen += await asyncio.to_thread(os.read, ours, 4096)
        await ending
    os.close(ours)

    assert seen.count(b"\x1b[?1049h") == 1
    assert process.returncode == ExitStatus.INTERRUPTED


async def test_nothing_at_all_that_answers_is_said_within_seconds(tmp_path: Path) -> None:
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}
    ended = await oms(tmp_path, "status", "--json", **AWAY, **kafka)

    document = json.loads(ended.output)
    assert ended.code == 3
    assert len(document["outages"]) == 4
    assert document["broker"]["away"].startswith("Kafka at 127.0.0.1:")
