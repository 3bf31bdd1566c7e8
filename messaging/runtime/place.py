"""Places of this machine. A place has one process at a time, so whoever has it knows that the earlier ones are dead.

A place is a locked file. The system releases the lock when the process ends, and at no other event: no stopped process,
no broken connection and no restart of a database looks like a death.
"""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import structlog

from messaging.runtime.file_lock import lock

_MOST = 64
_BOOT = Path("/proc/sys/kernel/random/boot_id")

log = structlog.get_logger("place")


@contextmanager
def place_in(folder: Path, name: str) -> Iterator[str]:
    """Hold the first free place of this `name` during the block. Yields a text that identifies it.

    Without a folder to write to, this yields a place that no other process had or will have.
    """
    file = None
    try:
        file = _first_free(folder.expanduser(), name)
    except (OSError, RuntimeError, ImportError) as error:  # RuntimeError: an unknown home; ImportError: Windows
        log.warning("no place: what a killed process leaves waits for its time", folder=str(folder), error=str(error))
    try:
        yield _identity(file) if file else str(uuid4())
    finally:
        if file:
            file.close()


def _first_free(folder: Path, name: str) -> IO[bytes] | None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(_MOST):
        file = (folder / f"{name}-{number}.lock").open("ab")
        try:
            if lock(file):
                return file
        except BaseException:
            file.close()
            raise
        file.close()
    return None


def _identity(file: IO[bytes]) -> str:
    """The file as the running kernel knows it. A copy of the file, on this machine or another one, is another place,
    and so is the same file after a restart of the machine."""
    boot = _BOOT.read_text().strip() if _BOOT.exists() else platform.node()
    status = os.fstat(file.fileno())
    return f"{boot}:{status.st_dev:x}:{status.st_ino:x}"
