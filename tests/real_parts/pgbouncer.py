"""PgBouncer, where it is installed, before a database of the tests' own server."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.real_parts.kafka import free_port
from tests.real_parts.tcp import over_tcp

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")

_AS_NOBODY = ("-u", "nobody") if os.getuid() == 0 else ()
"""It does not run as root."""


@asynccontextmanager
async def pgbouncer(dsn: str, database: str, **settings: str) -> AsyncIterator[str]:
    """The URL of `database` through a PgBouncer with these settings."""
    assert PROGRAM is not None
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="oms-test-pgbouncer-"))
    folder.chmod(0o755)
    async with over_tcp(dsn) as (host, behind):
        lines = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "any",
            **settings,
        }
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n{database} = host={host} port={behind} dbname={database} user=postgres\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in lines.items())
        )
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "-q", *_AS_NOBODY, str(configuration), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _until_it_listens(port)
            yield f"postgresql://postgres@127.0.0.1:{port}/{database}"
        finally:
            process.kill()
            await process.wait()
            shutil.rmtree(folder, ignore_errors=True)


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
