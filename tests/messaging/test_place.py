"""A place has one process at a time, and the system says when that process is dead."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from messaging.runtime import place
from messaging.runtime.place import place_in

_HOLD = """
import sys
from pathlib import Path
from messaging.runtime.place import place_in
with place_in(Path(sys.argv[1]), "till") as place:
    print(place, flush=True)
    sys.stdin.read()
"""


@contextmanager
def _process_at_a_place(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A process that holds a place, and the place."""
    command = [sys.executable, "-c", _HOLD, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, cwd=Path.cwd(), **pipes)  # type: ignore[call-overload]
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def _taken(folder: Path) -> str:
    with place_in(folder, "till") as taken:
        return taken


def test_a_process_that_starts_again_after_a_kill_gets_the_place_of_its_dead_self(tmp_path: Path) -> None:
    with _process_at_a_place(tmp_path) as (process, before):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert _taken(tmp_path) == before


def test_a_place_is_not_free_while_its_process_lives_even_if_it_is_stopped(tmp_path: Path) -> None:
    with _process_at_a_place(tmp_path) as (process, held):
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert _taken(tmp_path) != held


def test_places_are_free_again_at_the_end_of_their_block_the_first_one_first(tmp_path: Path) -> None:
    with place_in(tmp_path, "till") as first, place_in(tmp_path, "till") as second:
        assert len({first, second, _taken(tmp_path)}) == 3
    assert _taken(tmp_path) == first


def test_a_copy_of_a_place_and_one_that_was_made_anew_are_other_places(tmp_path: Path) -> None:
    """A folder that was copied, restored or cleaned says nothing about the processes that used it."""
    with place_in(tmp_path / "data", "till") as held:
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
        assert _taken(tmp_path / "copy") != held
        shutil.rmtree(tmp_path / "data")
        assert _taken(tmp_path / "data") != held


def test_after_a_restart_of_the_machine_a_place_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder on a volume may be on another machine by then, and nobody knows whether the first one is dead."""
    before = _taken(tmp_path)
    boot = tmp_path / "boot_id"
    boot.write_text("another boot")
    monkeypatch.setattr(place, "_BOOT", boot)
    assert _taken(tmp_path) != before


def test_without_a_folder_to_write_to_nobody_follows_anybody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _taken(tmp_path / "file") != _taken(tmp_path / "file")
