"""Small disks of a server's own, which can be filled. They are files with a file system in them, so an fsync is one."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MEGABYTES = 2048
_STEP = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system."""

    path: Path

    def fill(self) -> None:
        """Leave no room."""
        with self._balloon.open("wb", buffering=0) as file:
            for step in (_STEP, 4096):
                try:
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def clear(self) -> None:
        """Give the room back."""
        self._balloon.unlink(missing_ok=True)

    @property
    def _balloon(self) -> Path:
        return self.path / "balloon"


def missing() -> str | None:
    """What keeps this machine from making disks, or None."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "a disk of a server's own needs root"
    if absent := [program for program in ("mkfs.ext4", "mount", "umount") if shutil.which(program) is None]:
        return f"a disk of a server's own needs the programs {', '.join(absent)}"
    return None


@contextmanager
def disk(path: Path) -> Iterator[Disk]:
    """A disk that is mounted there; gone afterwards."""
    image = path.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(_MEGABYTES * 1024 * 1024)
    path.mkdir()
    _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,root_owner=0:0", str(image))
    _run("mount", "-o", "loop", str(image), str(path))
    try:
        yield Disk(path)
    finally:
        _run("umount", "--lazy", str(path))
        image.unlink()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
