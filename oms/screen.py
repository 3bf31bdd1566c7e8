"""What a person sees of the events. Showing them is no part of delivering them: a terminal that is slow, or a reader
that has gone, holds up nobody."""

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
    """Tell a person, on standard error, if there is somebody."""
    with suppress(OSError):
        click.echo(sentence, err=True)


def have_standard_streams() -> None:
    """Where a standard stream was closed (`2>&-`), something else must not become it by its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def forget_standard_output() -> None:
    """Nobody reads it any more: what is left in its buffer goes nowhere, without a word."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Screen:
    """Writes lines to standard output, from a thread of its own. What the reader is too slow for is left out, and
    counted."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[bytes] = queue.Queue(_MOST_WAITING)
        self._left_out = 0
        self._descriptor = -1
        self._coloured, self._encoding = False, "utf-8"
        try:
            self._descriptor = sys.stdout.fileno()
        except (AttributeError, OSError, ValueError):
            return  # closed, or no file: what is shown stays in the queue, and then is left out
        self._coloured = os.isatty(self._descriptor)
        self._encoding = sys.stdout.encoding
        threading.Thread(target=self._write, name="screen", daemon=True).start()

    def show(self, line: str) -> None:
        """Show a line, in a moment. Never waits."""
        text = line if self._coloured else click.unstyle(line)
        try:
            self._waiting.put_nowait(f"{text}\n".encode(self._encoding, errors="backslashreplace"))
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Give what is still waiting a second to be seen."""
        give_up = time.monotonic() + _SHOWN_WITHIN
        while self._waiting.unfinished_tasks and time.monotonic() < give_up:
            time.sleep(0.01)

    def _write(self) -> None:
        with suppress(OSError):  # nobody reads any more, and what is not read is left out
            while True:
                self._put(self._waiting.get())
                self._waiting.task_done()
                if self._left_out and self._waiting.empty():
                    left_out, self._left_out = self._left_out, 0
                    self._put(f"… {left_out} events more\n".encode(self._encoding, errors="replace"))

    def _put(self, line: bytes) -> None:
        # Not through sys.stdout: a thread that hangs in its lock would keep the process from ending.
        while line:
            line = line[os.write(self._descriptor, line) :]
