"""The folder with the data. It must be complete and of the right version before a server uses it."""

import asyncio
import os
import shutil
from pathlib import Path

from messaging.runtime.embedded_postgres.programs import VERSION, EmbeddedPostgresUnavailable, Programs

_MADE_WITHIN = 60.0
_SHELL_READS = '"$`\\'
_ELSEWHERE = "set DATA_DIR to another folder"
# The same on every machine, with any languages. An upgrade of the C library cannot change an index.
_INITDB = (
    *("--username=postgres", "--auth=trust", "--encoding=UTF8"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)


async def prepare(data: Path, programs: Programs) -> None:
    """Create the data if there are none, and repair their permissions. Only one process may call this at a time. Raises
    EmbeddedPostgresUnavailable, OSError."""
    if is_unfinished(data):
        shutil.rmtree(data)
    if not data.exists() or not any(data.iterdir()):
        await _make(data, programs)
    elif not (data / "PG_VERSION").exists():
        raise EmbeddedPostgresUnavailable(
            f"{data} is where the embedded PostgreSQL keeps its data, but something else is in it",
            f"move that away, {_ELSEWHERE}",
        )
    version = (data / "PG_VERSION").read_text(errors="replace").strip()
    if version != str(VERSION):
        raise EmbeddedPostgresUnavailable(
            f"the data in {data} are of PostgreSQL {version[:20]!r}, and this is PostgreSQL {VERSION}",
            f"upgrade them with pg_upgrade, {_ELSEWHERE}",
        )
    _make_it_ours(data, programs)


def is_unfinished(data: Path) -> bool:
    """True when the creation of the data was interrupted and no server ever ran on them, so nothing can be lost.
    `base/5` is created last, and the first server writes its options."""
    begun = (data / "PG_VERSION").exists() and not (data / "postmaster.opts").exists()
    made = (data / "global" / "pg_control").exists() and (data / "base" / "5" / "PG_VERSION").exists()
    return begun and not made


async def _make(data: Path, programs: Programs) -> None:
    """Create the data beside their place and then move them, so that a killed process leaves no half of them there."""
    if set(str(programs.folder)) & set(_SHELL_READS):  # initdb starts its server through a shell
        raise EmbeddedPostgresUnavailable(
            f"PostgreSQL cannot be used from {programs.folder}, because of the special characters in its path",
            "move it to a folder with a plainer name",
        )
    unfinished = data.with_name(f"{data.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    _make_it_ours(unfinished, programs)
    initdb = programs.launch("initdb", f"--pgdata={unfinished}", *_INITDB)
    try:
        async with asyncio.timeout(_MADE_WITHIN):
            while not initdb.has_ended:  # noqa: ASYNC110  it is a process
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise _not_made(data, f"it takes longer than {_MADE_WITHIN:.0f} s", programs) from None
    finally:
        if not initdb.has_ended:
            initdb.process.kill()
            initdb.process.wait()
    if initdb.process.returncode:
        raise _not_made(data, initdb.last_words() or f"it ended with {initdb.process.returncode}", programs)
    unfinished.replace(data)


def _not_made(data: Path, why: str, programs: Programs) -> EmbeddedPostgresUnavailable:
    return EmbeddedPostgresUnavailable(
        f"the embedded PostgreSQL could not make its data in {data}: {why}",
        f"its log is {programs.log}; mend that, {_ELSEWHERE}",
    )


def _make_it_ours(data: Path, programs: Programs) -> None:
    """Set owner and permissions. A copied folder may have others, or belong to root if we are root."""
    if programs.user and data.stat().st_uid == 0:
        for path in (data, *data.rglob("*")):
            os.chown(path, *programs.user, follow_symlinks=False)
    if data.stat().st_mode & 0o077 and data.stat().st_uid in (os.geteuid(), (programs.user or (0,))[0]):
        data.chmod(0o700)
