"""Disks of a server's own that can be full: file systems in memory, or in a file, where an fsync is one."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LARGE, _SMALL = 1 << 20, 1 << 12


class NoDisk(Exception):
    """Nothing can be mounted here."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that is mounted at `path`. `folder` on it is for the server's files."""

    path: Path
    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Take all the room that is left."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for step in (_LARGE, _SMALL):
                try:
                    while True:
                        os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), step)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    @contextmanager
    def full(self) -> Iterator[None]:
        """A disk without room for the block. What its server frees meanwhile is room, until `fill` takes it, too."""
        try:
            self.fill()
            yield
        finally:
            self.free()


@contextmanager
def disk_in_memory(megabytes: int, like: Path) -> Iterator[Disk]:
    """A disk whose `folder` belongs to the owner of `like`. Raises NoDisk."""
    with tempfile.TemporaryDirectory(prefix="oms-test-disk-", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        with _mounted(path, "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "oms-test-disk"):
            folder, owner = path / "tablespace", like.stat()
            folder.mkdir(mode=0o700)
            os.chown(folder, owner.st_uid, owner.st_gid)
            yield Disk(path, folder)


@contextmanager
def disk_in_a_file(megabytes: int, path: Path) -> Iterator[Disk]:
    """A disk that is mounted at `path`. Raises NoDisk."""
    image = path.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    path.mkdir()
    _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,root_owner=0:0", str(image))
    try:
        with _mounted(path, "-o", "loop", str(image)):
            yield Disk(path, path)
    finally:
        image.unlink()


@contextmanager
def _mounted(path: Path, *what: str) -> Iterator[None]:
    _run("mount", *what, str(path))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, capture_output=True)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoDisk("a small disk is needed, and only root may mount one: run this as root") from error
