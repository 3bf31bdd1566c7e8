"""A real PostgreSQL that takes sessions over TLS only. The wheel's has no TLS, so it is the system's."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from messaging.runtime.embedded_postgres.programs import find_programs
from tests.real_parts.authority import Authority, Files
from tests.real_parts.kafka import free_port
from tests.real_parts.postgres_cluster import Node, run

USER, PASSWORD = "oms", "canary-database :/@?#&%="
_SETTINGS: Final = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 16MB
ssl = on
ssl_cert_file = 'server.crt'
ssl_key_file = 'server.key'
"""
_WHO_COMES_IN: Final = """
hostssl all oms 127.0.0.1/32 scram-sha-256
hostnossl all postgres 127.0.0.1/32 trust
"""


def system_postgres() -> Path | None:
    """The folder of the newest PostgreSQL of this system."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(folders, key=lambda folder: int(folder.parent.name), default=None)


@dataclass(frozen=True, slots=True)
class TlsServer:
    """The server, whose certificate is for `localhost` alone. USER comes in over TLS, with PASSWORD."""

    node: Node
    authority: Authority

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the superuser."""
        return self.node.execute(statement, database)

    def show(self, certificate: Files) -> None:
        """Show another certificate from now on."""
        _install(self.node, certificate)
        self.execute("select pg_reload_conf()")


@contextmanager
def tls_server(system: Path) -> Iterator[TlsServer]:
    """The server; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="oms-test-tls-postgres-"))
    programs = replace(find_programs(folder, folder / "data"), folder=system)
    if programs.user:
        shutil.chown(folder, *programs.user)
    node = Node(programs, folder / "data", free_port())
    certificates = folder / "certificates"
    certificates.mkdir()
    certificates.chmod(0o755)
    authority = Authority(certificates)
    try:
        run(programs, "initdb", "-D", str(node.data), "-U", "postgres", "-A", "trust", "-N")
        with (node.data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        (node.data / "pg_hba.conf").write_text(_WHO_COMES_IN)
        _install(node, authority.issue("localhost"))
        node.start()
        node.execute(f"create role {USER} login password '{PASSWORD}'")
        yield TlsServer(node, authority)
    finally:
        node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _install(node: Node, files: Files) -> None:
    for source, name in ((files.certificate, "server.crt"), (files.key, "server.key")):
        fresh = node.data / f"{name}.new"
        shutil.copy(source, fresh)
        fresh.chmod(0o600)
        if node.programs.user:
            shutil.chown(fresh, *node.programs.user)
        fresh.replace(node.data / name)
