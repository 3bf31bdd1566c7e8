"""Locks on files. The system releases a lock when its process ends in any way, and never before the file is closed."""

from typing import IO


def lock(file: IO[bytes], *, shared: bool = False) -> bool:
    """Lock the file until it is closed. True when that succeeded, and False when another one has it. Raises OSError."""
    import fcntl  # not there on Windows

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
