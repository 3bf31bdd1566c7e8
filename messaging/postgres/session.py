"""Opening sessions. Every service session with PostgreSQL is opened here, with the settings of `pinned`."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import asyncpg

from messaging.ports.changes import StoreUnavailable
from messaging.postgres.address import Address, KeepAlive, address_of
from messaging.postgres.certificates import not_accepted
from messaging.postgres.durability import Session
from messaging.postgres.errors import DatabaseRefused, as_store_errors
from messaging.postgres.pinned import COMMAND_TIMEOUT, PINNED, SINCE
from messaging.postgres.pooler import refuse_transaction_pooling

NO_SETTINGS: Final[Mapping[str, str]] = {}

# By URL: the host to try first, which is the last one that accepted us. A host that does not answer is tried last.
_first_host: dict[str, str] = {}
# URLs that were checked for a transaction pooler and have none.
_looked_at: set[str] = set()


class NotWritable(StoreUnavailable):
    """The server is a standby, or it was made read-only."""

    def __init__(self, sentence: str = "the database takes no writes: it is a standby, or read-only") -> None:
        super().__init__(sentence)


async def connect(
    url: str,
    *,
    settings: Mapping[str, str] = NO_SETTINGS,
    suffix: str = "",
    within: float | None = None,
    command_timeout: float | None = COMMAND_TIMEOUT,
) -> Any:
    """A session on the first host that accepts us. `settings` override the pinned ones. `within` is the time for each
    host in seconds. `suffix` is added to the application's name.

    A session whose `settings` make it read-only is content with a host that takes no writes, if there is no other.

    Raises StoreUnavailable, which is NotWritable when no host takes writes, and DatabaseRefused for a pooler or an
    encoding that there is no working with.
    """
    address = address_of(url)
    within = min(within or address.connect_timeout, address.connect_timeout)
    open_at = partial(_open, address, suffix=suffix, within=within, command_timeout=command_timeout)
    try:
        host, connection = await _first_that_answers(url, address.hosts, open_at)
    except NotWritable:
        if settings.get("default_transaction_read_only") != "on":
            raise
        open_at = partial(open_at, target="any")
        host, connection = await _first_that_answers(url, address.hosts, open_at)
    try:
        _refuse_other_encodings(connection)
        if url not in _looked_at:
            await refuse_transaction_pooling(connection, partial(open_at, host))
            _looked_at.add(url)
        with as_store_errors():
            await connection.execute(_set(address.settings, settings, connection.get_server_version().major))
    except BaseException:
        connection.terminate()
        raise
    return connection


def _refuse_other_encodings(connection: Any) -> None:
    """The server says at the login how a database keeps text. SQL_ASCII keeps the bytes that it is given; any other
    encoding lacks most of the characters in customers' texts."""
    encoding = getattr(connection.get_settings(), "server_encoding", "UTF8")  # poolers need not pass it on
    if encoding not in ("UTF8", "SQL_ASCII"):
        raise DatabaseRefused(
            f"the database keeps text as {encoding}, which most names cannot be written in: "
            "make it anew with encoding 'UTF8' (create database … template template0 encoding 'UTF8')"
        )


async def _first_that_answers(
    url: str, hosts: Sequence[str], open_at: Callable[[str], Awaitable[Any]]
) -> tuple[str, Any]:
    first = _first_host.get(url)
    start = hosts.index(first) if first in hosts else 0  # a file may name other hosts by now
    failure: StoreUnavailable | None = None
    for place in range(start, start + len(hosts)):
        host = hosts[place % len(hosts)]
        _first_host[url] = hosts[(place + 1) % len(hosts)]  # for the next caller, if this call is cancelled
        try:
            connection = await open_at(host)
        except StoreUnavailable as error:
            # A host that takes no writes does not hide the failure of another.
            failure = error if failure is None or isinstance(failure, NotWritable) else failure
        else:
            _first_host[url] = host
            return host, connection
    raise failure or StoreUnavailable("the database has no address")


async def _open(
    address: Address,
    host: str,
    *,
    suffix: str,
    within: float,
    command_timeout: float | None,
    target: str | None = None,
) -> Any:
    try:
        with as_store_errors():
            try:
                connection = await asyncpg.connect(
                    host,
                    connection_class=Session,
                    timeout=within,
                    command_timeout=command_timeout,
                    target_session_attrs=target,
                    server_settings={"application_name": address.application_name + suffix},
                )
            except asyncpg.TargetServerAttributeNotMatched as error:
                raise NotWritable from error
    except StoreUnavailable as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise DatabaseRefused(not_accepted(error.__cause__)) from error
        raise
    except (asyncpg.PostgresError, UnicodeError) as error:  # no data is involved yet: it is the server, or its name
        raise StoreUnavailable(f"the database does not answer ({type(error).__name__})") from error
    _keep_alive(connection, address.keep_alive)
    return connection


def _set(own: Mapping[str, str], more: Mapping[str, str], version: int) -> str:
    """One statement with all settings. Poolers refuse some settings in the startup message, so it is not used for
    them."""
    pinned = {name: value for name, value in PINNED.items() if version >= SINCE.get(name, 0)}
    calls = (
        f"set_config({_literal(name)}, {_literal(value)}, false)" for name, value in {**pinned, **own, **more}.items()
    )
    return f"select {', '.join(calls)}"


def _literal(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _keep_alive(connection: Any, wanted: KeepAlive) -> None:
    """Set the keep-alive of the socket. asyncpg has no public access to it. If it is not found, the system's values
    stay."""
    transport: asyncio.Transport | None = getattr(connection, "_transport", None)
    found = transport.get_extra_info("socket") if transport else None
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(wanted.enabled))
    for option, value in (
        ("TCP_KEEPIDLE", wanted.idle),
        ("TCP_KEEPINTVL", wanted.interval),
        ("TCP_KEEPCNT", wanted.count),
        ("TCP_USER_TIMEOUT", wanted.user_timeout),
    ):
        if value and hasattr(socket, option):  # not every system has every option
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
