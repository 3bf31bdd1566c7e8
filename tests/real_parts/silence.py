"""A test run of which nothing is heard any more."""

import faulthandler
import os
import signal
import threading
import time
import uuid
from contextlib import suppress
from typing import Final

import psutil
import pytest

from tests.real_parts.leftovers import processes_with

_SILENT_FOR: Final = 600.0
"""Seconds. No test takes as long on a slow machine, and one that hangs is ended by pytest before that."""

_RUN: Final = "OMS_WHOLE_TEST_RUN"


class EndOfSilence:
    """Ends a run of which nothing is heard, and says which tests had begun and what each process does.

    pytest ends a worker that hangs inside a test (`faulthandler_timeout`). This is for one that was stopped from
    outside, or that waits between two tests. Every process of the run has its mark, however it was detached.
    `silent_for` counts from the first test on: a busy machine takes its time to start workers.
    """

    def __init__(self, silent_for: float = _SILENT_FOR) -> None:
        self._limit = _SILENT_FOR
        self._silent_for = silent_for
        self._heard = time.monotonic()
        self._begun: set[str] = set()
        self._finished = threading.Event()
        self._errors = os.fdopen(os.dup(2), "w")
        self._mark = os.environ[_RUN] = uuid.uuid4().hex

    def pytest_sessionstart(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def pytest_sessionfinish(self) -> None:
        self._finished.set()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._heard = time.monotonic()
        self._limit = self._silent_for
        self._begun.add(nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._heard = time.monotonic()
        self._begun.discard(nodeid)

    def _listen(self) -> None:
        clock = time.monotonic  # simulations put another one in its place while they run
        while not self._finished.wait(1.0):
            if clock() - self._heard > self._limit:
                self._end()

    def _end(self) -> None:
        try:
            self._explain()
        finally:
            for process in processes_with(_RUN, self._mark):
                with suppress(psutil.Error):
                    process.kill()
            os._exit(pytest.ExitCode.INTERNAL_ERROR)

    def _explain(self) -> None:
        print(f"\nnothing is heard of the tests for {self._limit:.0f} s; begun and not ended:", file=self._errors)
        print(*sorted(self._begun), sep="\n", file=self._errors, flush=True)
        for process in processes_with(_RUN, self._mark):
            with suppress(psutil.Error):
                what = f"{process.pid}, a child of {process.ppid()}, is {process.status()}: {process.cmdline()}"
                print(what[:300], file=self._errors, flush=True)
        faulthandler.dump_traceback(self._errors)
        for worker in psutil.Process().children():
            with suppress(psutil.Error):
                worker.send_signal(signal.SIGUSR1)
        self._finished.wait(2.0)


def show_stacks_when_asked() -> None:
    """A worker writes what each of its threads does when SIGUSR1 arrives."""
    faulthandler.register(signal.SIGUSR1, file=os.dup(2), all_threads=True)
