"""Processes that a test run started and did not end."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

MARK = "OMS_TEST_RUN"
"""The variable that every process of a test run has."""

_GONE_WITHIN = 20.0
# They belong to this interpreter and end with it.
_OURS = ("multiprocessing.forkserver", "multiprocessing.resource_tracker")


@contextmanager
def nothing_left_running() -> Iterator[None]:
    """Mark every process that is started meanwhile, however it is detached; raise AssertionError when one outlives us.

    What is found is killed, so that it cannot disturb the next run.
    """
    mark = os.environ[MARK] = uuid.uuid4().hex
    yield
    marked = [
        each for each in processes_with(MARK, mark) if not any(ours in " ".join(each.cmdline()) for ours in _OURS)
    ]
    _, left = psutil.wait_procs(marked, timeout=_GONE_WITHIN)
    named = [f"{process.pid}: {' '.join(process.cmdline())[:200]}" for process in left if process.is_running()]
    for process in left:
        process.kill()
    assert not named, "the tests left these processes running:\n" + "\n".join(named)


def processes_with(variable: str, value: str) -> list[psutil.Process]:
    """All other processes of this machine that were started with this variable."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(variable) == value:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
