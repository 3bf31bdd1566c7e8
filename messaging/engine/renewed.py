"""Values that come from files, and are read again after a file has changed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

import structlog

T = TypeVar("T")
_Seen: TypeAlias = tuple[int, int, int] | None

log = structlog.get_logger("files")


class Renewed(Generic[T]):
    """The value that `read` makes of `files`. Each use looks whether a file has changed. If the new files cannot be
    used, the last value stays, and the log says so once for each change.

    The first reading may raise OSError or ValueError. So a start with wrong files fails, and a running process goes on.
    """

    def __init__(self, read: Callable[[], T], files: Sequence[Path]) -> None:
        self._read = read
        self._files = files
        self._seen = self._look()
        self._value = read()

    def __call__(self) -> T:
        """The value of the files as they are now."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen  # before they are read: a change meanwhile is seen at the next use
            try:
                self._value = self._read()
            except (OSError, ValueError) as error:
                log.warning("the changed files are not used", files=[*map(str, self._files)], error=str(error))
            else:
                log.info("the changed files are used from now on", files=[*map(str, self._files)])
        return self._value

    def _look(self) -> tuple[_Seen, ...]:
        return tuple(map(_seen, self._files))


def _seen(file: Path) -> _Seen:
    """What changes with a file: its content's place, size and time. A link is followed, because orchestrators renew
    secrets by moving a link."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
