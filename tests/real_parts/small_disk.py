"""A disk of its own that can be full: a file system in memory, for a tablespace."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_BLOCK = bytes(1 << 16)


class NoDisk(Exception):
    """Nothing can be mounted here."""


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted file system. `folder` on it belongs to the owner of `like`."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder.parent / "ballast"

    def fill(self) -> None:
        """Take all the room that is left."""
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while ballast.write(_BLOCK):
                    pass
            except OSError:
                return

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(megabytes: int, like: Path) -> Iterator[SmallDisk]:
    """Raises NoDisk with a sentence where it cannot be mounted; unmounted afterwards."""
    with tempfile.TemporaryDirectory(prefix="oms-test-disk-", dir="/tmp") as mounted:
        Path(mounted).chmod(0o755)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "oms-test-disk", mounted]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NoDisk("a small disk is needed, and only root may mount one: run the tests as root") from error
        try:
            folder, owner = Path(mounted) / "tablespace", like.stat()
            folder.mkdir(mode=0o700)
            os.chown(folder, owner.st_uid, owner.st_gid)
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", "-l", mounted], check=True, capture_output=True)
