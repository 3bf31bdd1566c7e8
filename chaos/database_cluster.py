"""A PostgreSQL primary with two synchronous standbys, and what a failover manager does with them."""

import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from chaos.needs import missing
from tests.real_parts.postgres_cluster import Node, dsn_of_all, postgres_cluster
from tests.real_parts.query import rows
from tests.real_parts.small_disk import Disk, disk_in_a_file

_SETTLES_WITHIN = 60.0
_DISK_MEGABYTES = 2048


def no_disks() -> str | None:
    """What keeps this machine from making disks, or None."""
    return missing("a disk of a server's own", "mkfs.ext4", "mount", "umount")


@dataclass(slots=True)
class DatabaseCluster:
    """`nodes[0]` is the primary. A commit is answered when one of the standbys has it, too."""

    nodes: list[Node]
    disks: Sequence[Disk]

    @property
    def primary(self) -> Node:
        """The server that takes writes."""
        return self.nodes[0]

    @property
    def standbys(self) -> list[Node]:
        """The servers that follow it."""
        return self.nodes[1:]

    @property
    def group(self) -> int:
        """The group as which the servers run."""
        return self.primary.programs.user[1] if self.primary.programs.user else os.getegid()

    def url(self, database: str) -> str:
        """The address of a database with all hosts, as a service gets it."""
        return dsn_of_all(sorted(self.nodes, key=lambda node: node.port), database)

    async def rows(self, database: str, query: str, *arguments: Any) -> list[Any]:
        """Run a query on the primary."""
        return await rows(self.primary.dsn(database), query, *arguments, connected_within=10)

    @property
    def disk(self) -> Disk:
        """What the primary has its data on. Raises StopIteration where no disks can be made."""
        return next(disk for disk in self.disks if disk.folder == self.primary.data.parent)

    def fail_over(self) -> None:
        """The primary is gone: promote the standby that has received the most, let the other follow it, and bring the
        old primary back as a standby."""
        lost, *standbys = self.nodes
        standbys.sort(key=_received, reverse=True)
        new, *others = standbys
        new.promote()
        for other in others:
            other.execute(f"alter system set primary_conninfo = '{new.conninfo(other)}'")
            other.execute("select pg_reload_conf()")
        self.nodes[:] = [new, *others]
        lost.kill()
        shutil.rmtree(lost.data)
        new.stream_to(lost)
        self.nodes.append(lost)

    async def until_in_sync(self) -> None:
        """Wait until both standbys stream. A server that is not ready yet is asked again, and a primary that has ended
        is started, as a service manager would do. Raises TimeoutError."""
        query = "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = 'quorum'"
        async with asyncio.timeout(_SETTLES_WITHIN):
            in_sync = 0
            while in_sync < len(self.standbys):
                await asyncio.sleep(0.1)
                if not self.primary.is_running:
                    await asyncio.to_thread(self.primary.start)
                with suppress(asyncpg.PostgresError, OSError):
                    in_sync = (await self.rows("postgres", query))[0]["count"]


def _received(node: Node) -> int:
    return int(node.execute("select pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')"))


@contextmanager
def database_cluster(folder: Path) -> Iterator[DatabaseCluster]:
    """A primary and two standbys that acknowledge every commit; gone afterwards. Where disks can be made, each has one
    of its own in this folder."""
    folder.chmod(0o755)  # PostgreSQL runs as a user who is not root
    with ExitStack() as stack:
        names = [] if no_disks() else ["disk0", "disk1", "disk2"]
        made = [stack.enter_context(disk_in_a_file(_DISK_MEGABYTES, folder / name)) for name in names]
        nodes = stack.enter_context(postgres_cluster(standbys=2, disks=[disk.folder for disk in made]))
        for node in nodes:  # a standby that is promoted waits for its own standbys from its first commit on
            node.execute("alter system set synchronous_standby_names = 'ANY 1 (*)'")
            node.execute("alter system set wal_recycle = off")  # the log needs new room, so a full disk is noticed
            node.execute("select pg_reload_conf()")
        yield DatabaseCluster(nodes, made)
