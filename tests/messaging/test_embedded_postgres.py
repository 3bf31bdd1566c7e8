"""The embedded PostgreSQL starts wherever it can, and says in a sentence where it cannot."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import asyncpg
import pytest

from messaging.runtime.embedded_postgres import EmbeddedPostgresUnavailable, open_database, server

DEADLINE = 120.0
INSTEAD = "or set ORDER_DATABASE_URL, INVENTORY_DATABASE_URL and PAYMENT_DATABASE_URL to a PostgreSQL of yours"


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[str]:
    """The DSN of a database in this folder; its server is stopped afterwards."""
    try:
        async with asyncio.timeout(DEADLINE):
            yield await open_database(folder, "orders")
    finally:
        server.stop(folder.expanduser().resolve() / "postgres")


async def ask(dsn: str, question: str) -> object:
    """The answer of a database to a query."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def places() -> Iterator[Callable[[], Path]]:
    """Makes folders. Not pytest's own: where tests run as root, PostgreSQL does not, and pytest locks it out."""
    with tempfile.TemporaryDirectory(prefix="oms-test-embedded-") as folder:
        yield lambda: Path(tempfile.mkdtemp(dir=folder))


@pytest.fixture
def place(places: Callable[[], Path]) -> Path:
    """A folder for this test alone."""
    return places()


@pytest.fixture(scope="module")
def made(places: Callable[[], Path]) -> Path:
    """A folder with data in it, whose server has stopped in order."""
    folder = places()

    async def make() -> None:
        async with opened(folder) as dsn:
            await ask(dsn, "create table kept as select 7 as number")

    asyncio.run(make())
    return folder


@pytest.fixture
def folder(made: Path, place: Path) -> Path:
    """A copy of it, for this test alone."""
    shutil.copytree(made, place / "data")
    return place / "data"


async def test_any_path_will_do(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = place / "a folder, 'quoted' \"twice\" for $HOME & `ls` \\ ünïcödé 🧀 100%" / ("long" * 30)
    real.mkdir(parents=True)
    (place / "link").symlink_to(real)
    monkeypatch.chdir(place)

    async with opened(Path("./link/data/")) as dsn:
        await ask(dsn, "create table kept as select 7 as number")
    async with opened(real / "data") as dsn:
        assert await ask(dsn, "select number from kept") == 7


async def test_a_path_that_is_not_utf_8_will_do_and_nothing_of_it_is_left(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.fsdecode(os.fsencode(place) + b"/\xff"))
    folder.mkdir()
    sockets = place / "sockets"
    sockets.mkdir()
    sockets.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(sockets))

    async with opened(folder) as dsn:
        assert await ask(dsn, "select 7") == 7

    assert list(sockets.iterdir()) == []


async def test_a_server_that_does_not_start_leaves_no_folder_of_its_socket(
    folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = place / "sockets"
    sockets.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(sockets))
    monkeypatch.setattr(server, "_can_hold_sockets", lambda _: False)
    (folder / "postgres" / "postgresql.conf").write_text("nonsense = on\n")

    with pytest.raises(EmbeddedPostgresUnavailable):
        await open_database(folder, "orders")

    assert list(sockets.iterdir()) == []


def test_any_surroundings_will_do(place: Path) -> None:
    nowhere = dict.fromkeys(("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "PGDATA", "PGHOST", "PGSERVICEFILE"), "/nowhere")
    wrong = {"LC_ALL": "xx_YY.UTF-16", "LANG": "de_DE.ISO-8859-1", "PGPORT": "1", "PGUSER": "me", "PGOPTIONS": "-x"}
    wrong |= {"PGSSLMODE": "verify-full", "PGDATABASE": "none", "TZ": "Mars/Olympus", "PGSERVER_POSTGRES_VERSION": "9"}

    ended = subprocess.run(
        [sys.executable, "-m", "oms", "migrate", "payment"],
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(place / "data")} | nowhere | wrong,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (0, b"payment: the schema is up to date\n"), ended.stderr.decode()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the environment of a process is read from /proc")
async def test_it_is_told_none_of_our_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENT_GATEWAY_KEY", "a secret")

    async with opened(folder):
        postmaster = (folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]
        assert b"a secret" not in Path(f"/proc/{postmaster}/environ").read_bytes()


async def test_data_are_the_same_on_every_machine(folder: Path) -> None:
    async with opened(folder) as dsn:
        query = "select datlocprovider::text || datcollate || datlocale from pg_database where datname = 'orders'"
        assert await ask(dsn, query) == "bCC.UTF-8"
        assert await ask(dsn, "show fsync") == "on"


@pytest.fixture
def somebody_else(folder: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts a process of the same user as the server, that is no server."""
    others: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        user = (folder / "postgres").stat().st_uid if os.geteuid() == 0 else None
        others.append(subprocess.Popen(["sleep", "1000"], user=user))
        return others[-1]

    yield start
    for other in others:
        other.kill()
        other.wait()


async def test_a_server_that_was_killed_is_started_again_also_when_another_process_has_its_id_now(
    folder: Path, somebody_else: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    pid_file = folder / "postgres" / "postmaster.pid"
    async with opened(folder):
        written = pid_file.read_text()
        os.kill(int(written.splitlines()[0]), signal.SIGKILL)
        other = somebody_else()
        pid_file.write_text(written.replace(written.splitlines()[0], str(other.pid), 1))

        dsn = await open_database(folder, "orders")
        assert await ask(dsn, "select number from kept") == 7
        assert other.poll() is None


@pytest.mark.parametrize(
    "text", ["", "garbage\n", "1\n", "99999999\n/nowhere\n1\n5432\n/nowhere\n\n  1  2\nready   \n"]
)
async def test_a_pid_file_that_makes_no_sense_is_no_obstacle(folder: Path, text: str) -> None:
    (folder / "postgres" / "postmaster.pid").write_text(text)

    async with opened(folder) as dsn:
        assert await ask(dsn, "select number from kept") == 7


async def test_data_that_were_never_finished_are_made_anew(folder: Path) -> None:
    data = folder / "postgres"
    shutil.copytree(data, folder / "postgres.new")
    (data / "postmaster.opts").unlink()
    shutil.rmtree(data / "base" / "5")

    async with opened(folder) as dsn:
        assert await ask(dsn, "select to_regclass('kept')::text") is None
    assert not (folder / "postgres.new").exists()


async def test_data_that_came_out_of_a_backup_are_kept(folder: Path) -> None:
    (folder / "postgres" / "postmaster.opts").unlink()
    (folder / "postgres").chmod(0o755)

    async with opened(folder) as dsn:
        assert await ask(dsn, "select number from kept") == 7


def _file_in_its_place(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file")


def _something_else(folder: Path) -> None:
    (folder / "postgres" / "PG_VERSION").unlink()


def _older(folder: Path) -> None:
    (folder / "postgres" / "PG_VERSION").write_text("16\n")


def _damaged(folder: Path) -> None:
    (folder / "postgres" / "global" / "pg_control").write_bytes(b"\0" * 100)


def _misconfigured(folder: Path) -> None:
    (folder / "postgres" / "postgresql.auto.conf").write_text("shared_buffers = 'a lot'\n")


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a file in its place": (_file_in_its_place, "cannot keep its data in"),
    "something else in it": (_something_else, "but something else is in it"),
    "data of an older version": (_older, "are of PostgreSQL '16', and this is PostgreSQL 18"),
    "damaged data": (_damaged, 'does not start: could not read file "global/pg_control"'),
    "a wrong configuration": (_misconfigured, "does not start: "),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_what_keeps_it_from_starting_is_said_in_a_sentence_and_nothing_is_lost(folder: Path, how: str) -> None:
    spoil, sentence = BROKEN[how]
    spoil(folder)
    before = sorted(folder.rglob("*"))

    with pytest.raises(EmbeddedPostgresUnavailable) as said:
        async with opened(folder):
            pass

    text = str(said.value)
    assert sentence in text
    assert text.endswith(INSTEAD)
    assert len(text.splitlines()) == 1
    assert set(before) <= set(folder.rglob("*"))


@pytest.mark.parametrize("path", ["/proc/nowhere", "~nobody-of-that-name/data", "/dev/null/data", "x" * 5000])
async def test_a_folder_that_cannot_be_is_said_in_a_sentence(path: str) -> None:
    with pytest.raises(EmbeddedPostgresUnavailable, match="cannot keep its data in"):
        await open_database(Path(path), "orders")


async def test_nothing_is_made_for_somebody_who_only_wants_to_look(place: Path) -> None:
    with pytest.raises(EmbeddedPostgresUnavailable, match=r"there is no database in .* yet; start the services"):
        await open_database(place / "data", "orders", create=False)

    assert not (place / "data").exists()


USE = """
import asyncio, sys
from pathlib import Path
from messaging.runtime.embedded_postgres import open_database
print(asyncio.run(open_database(Path(sys.argv[1]), "orders")), flush=True)
sys.stdin.read()
"""


def _using(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", USE, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _file(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


async def test_it_outlives_whoever_is_killed_and_stops_with_the_last_who_uses_it(folder: Path) -> None:
    killed, first, last = [_using(folder) for _ in range(3)]
    dsns = [await asyncio.to_thread(_file(process.stdout).readline) for process in (killed, first, last)]
    assert len(set(dsns)) == 1, "they share one server"
    dsn = dsns[0].strip()

    killed.kill()
    killed.communicate()
    first.communicate(timeout=DEADLINE)
    assert await ask(dsn, "select number from kept") == 7

    last.communicate(timeout=DEADLINE)
    assert not (folder / "postgres" / "postmaster.pid").exists()
