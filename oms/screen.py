"""Showing events on standard output. A slow terminal or a closed pipe does not delay the delivery of events."""

import os
import queue
import sys
import threading
import time
from contextlib import suppress

import click

_MOST_WAITING = 10_000
_SHOWN_WITHIN = 1.0


def say(sentence: str) -> None:
    """Write a sentence to standard error, if it is open."""
    with suppress(OSError):
        click.echo(sentence, err=True)


def have_standard_streams() -> None:
    """Open closed standard streams (`2>&-`), so that no other file gets their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def forget_standard_output() -> None:
    """Discard the rest of the output silently, because its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Screen:
    """Writes lines to standard output from its own thread. If the reader is too slow, lines are left out and
    counted."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[bytes] = queue.Queue(_MOST_WAITING)
        self._left_out = 0
        self._descriptor = -1
        self._coloured, self._encoding = False, "utf-8"
        try:
            self._descriptor = sys.stdout.fileno()
        except (AttributeError, OSError, ValueError):
            return  # it is closed or no file; lines fill the queue and are then left out
        self._coloured = os.isatty(self._descriptor) and not os.environ.get("NO_COLOR")
        self._encoding = sys.stdout.encoding
        threading.Thread(target=self._write, name="screen", daemon=True).start()

    def show(self, line: str) -> None:
        """Show a line soon. This never waits."""
        text = line if self._coloured else click.unstyle(line)
        try:
            self._waiting.put_nowait(f"{text}\n".encode(self._encoding, errors="backslashreplace"))
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Wait at most a second until the waiting lines are written."""
        give_up = time.monotonic() + _SHOWN_WITHIN
        while self._waiting.unfinished_tasks and time.monotonic() < give_up:
            time.sleep(0.01)

    def _write(self) -> None:
        with suppress(OSError):  # the reader has gone, and further lines are left out
            while True:
                self._put(self._waiting.get())
                self._waiting.task_done()
                if self._left_out and self._waiting.empty():
                    left_out, self._left_out = self._left_out, 0
                    self._put(f"… {left_out} lines more\n".encode(self._encoding, errors="replace"))

    def _put(self, line: bytes) -> None:
        # Not through sys.stdout: a thread that hangs in its lock would keep the process from ending.
        while line:
            line = line[os.write(self._descriptor, line) :]
