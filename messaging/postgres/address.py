"""The address of a database: a `postgresql://` URL, which is checked before a connection is opened.

The `file://` URL of a file with such a URL is an address, too. The file is read again after it has changed.

libpq has more options than asyncpg. Options that asyncpg lacks are implemented here, or are accepted with the value
that describes asyncpg's behaviour. Every other option is named and refused, because an option such as `require_auth`
must not be ignored silently.
"""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from messaging.engine.addresses import NO_NAME, NO_PORT, can_be_a_name, is_port, is_this_machine
from messaging.engine.renewed import Renewed
from messaging.engine.secret_files import read_secret
from messaging.postgres.certificates import problem_with_certificates
from messaging.postgres.pinned import FREE, PINNED

FORM = "postgresql://user:password@host:port/database"

# Options that asyncpg reads from a URL as libpq does.
_ASYNCPGS = {
    *("host", "port", "dbname", "database", "user", "password", "passfile", "target_session_attrs"),
    *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib"),
}
_NUMBERS = {"connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
_OURS = _NUMBERS | {"application_name", "fallback_application_name", "options", "keepalives"}
# asyncpg has no such options, and behaves as these values say.
_AS_IT_IS = {
    "channel_binding": ("prefer", "disable"),
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8"),
    "gssencmode": ("prefer", "disable"),
    "load_balance_hosts": ("disable",),
    "sslcompression": ("0",),
    "sslsni": ("1",),
}
_VALUES = _AS_IT_IS | {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("read-write", "primary", "any"),  # every process must be able to write
    "keepalives": ("0", "1"),
}
# Variables that asyncpg reads where the URL does not have the option.
_VARIABLES = {"sslmode": "PGSSLMODE", "sslnegotiation": "PGSSLNEGOTIATION"}
_PERHAPS_PLAIN = ("disable", "allow", "prefer")
_FILES = ("passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl")

_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(\d{1,5}))?")
_SETTING = re.compile(r"(?:-c|--)([A-Za-z_][\w.]*)=(.*)", re.DOTALL)


class InvalidAddress(ValueError):
    """The URL is not a valid address of a database. The text says why, and never contains the password."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The keep-alive of TCP. It probes a silent connection after `idle` seconds, then every `interval` seconds, and
    gives up after `count` probes without an answer. This also keeps firewalls from dropping the connection."""

    enabled: bool = True
    idle: int = 60
    interval: int = 10
    count: int = 3
    user_timeout: int = 0
    """Milliseconds that sent data may stay unacknowledged. 0 means the default of the system."""


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address. `hosts` has a DSN for asyncpg for each host, in the order of the URL."""

    hosts: tuple[str, ...] = field(repr=False)
    application_name: str = "oms"
    connect_timeout: float = 5.0
    """Seconds for each host."""
    keep_alive: KeepAlive = KeepAlive()
    settings: Mapping[str, str] = field(default_factory=dict)
    """The settings in `options`, which each session gets."""
    is_readable: bool = False
    """True when somebody on the way to another machine may read what is sent, because TLS is not insisted on."""


def file_url(path: Path) -> str:
    """The URL of a file that holds an address. It is not a secret."""
    return path.absolute().as_uri()


def address_of(url: str) -> Address:
    """Read a URL. Raises InvalidAddress, and OSError for a file that cannot be read the first time."""
    return _in_file(url)() if url.startswith("file://") else _address_of(url)


@lru_cache(maxsize=16)
def _in_file(url: str) -> Renewed[Address]:
    path = Path(unquote(urlsplit(url).path))
    return Renewed(lambda: _address_of(read_secret(path)), [path])


@lru_cache(maxsize=64)
def _address_of(url: str) -> Address:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidAddress(f"must be {FORM}") from None
    if not url.startswith(("postgresql://", "postgres://")):
        raise InvalidAddress(f"must be {FORM}")
    if parts.fragment or parts.netloc.count("@") > 1:
        raise InvalidAddress("must have @ and # in a user or a password written as %40 and %23")
    options = _options(parts.query)
    asyncpgs = {name: value for name, value in options.items() if name in _ASYNCPGS}
    names = [options[name] for name in ("application_name", "fallback_application_name") if options.get(name)]
    numbers = {name: int(options[name]) for name in _NUMBERS & options.keys() if int(options[name])}
    standard = KeepAlive()
    hosts = _hosts(parts, asyncpgs)
    return Address(
        hosts=hosts,
        application_name=names[0] if names else "oms",
        connect_timeout=float(numbers.get("connect_timeout", 5 if len(hosts) == 1 else 2)),
        keep_alive=KeepAlive(
            enabled=options.get("keepalives") != "0",
            idle=numbers.get("keepalives_idle", standard.idle),
            interval=numbers.get("keepalives_interval", standard.interval),
            count=numbers.get("keepalives_count", standard.count),
            user_timeout=numbers.get("tcp_user_timeout", standard.user_timeout),
        ),
        settings=_settings(options.get("options", "")),
        is_readable=_sslmode(options) in _PERHAPS_PLAIN and any(map(_is_elsewhere, hosts)),
    )


def _sslmode(options: Mapping[str, str]) -> str:
    return options.get("sslmode") or os.environ.get(_VARIABLES["sslmode"], "prefer")


def _is_elsewhere(dsn: str) -> bool:
    parts = urlsplit(dsn)
    host = unquote(parts.hostname or dict(parse_qsl(parts.query)).get("host") or os.environ.get("PGHOST", "/"))
    return not host.startswith("/") and not is_this_machine(host)


def _options(query: str) -> dict[str, str]:
    try:
        return _checked_options(query)
    except InvalidAddress:
        if "@" in query:  # it is the rest of a password, and is not repeated
            raise InvalidAddress("must have ? in a user or a password written as %3F") from None
        raise


def _checked_options(query: str) -> dict[str, str]:
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    except ValueError:
        raise InvalidAddress("must have its options written as name=value, with & between them") from None
    for name, value in options.items():
        if name not in _ASYNCPGS and name not in _OURS and name not in _AS_IT_IS:
            raise InvalidAddress(
                f"has the option {name}, which is not supported: leave it out "
                "(a setting of PostgreSQL is written as options=-c%20name%3Dvalue)"
            )
        if name in _VALUES and value not in _VALUES[name]:
            raise InvalidAddress(f"has {name}={value}, which is not supported: use {' or '.join(_VALUES[name])}")
        if name in _NUMBERS and not (value.isascii() and value.isdecimal() and len(value) <= 9):
            raise InvalidAddress(f"has {name}={value}, which is not a whole number")
        if name in _FILES and not Path(value).is_file():
            raise InvalidAddress(f"has {name}={value}, which is not a file that can be read")
    _check_variables(options)
    if (passfile := options.get("passfile")) and Path(passfile).stat().st_mode & 0o077:
        # asyncpg, as libpq, would read no password from it, and say only that the login failed.
        raise InvalidAddress(f"has passfile={passfile}, which others than its owner may read: chmod 600 {passfile}")
    if problem := problem_with_certificates(options):
        raise InvalidAddress(problem)
    return options


def _check_variables(options: Mapping[str, str]) -> None:
    for name, variable in _VARIABLES.items():
        found = os.environ.get(variable)
        if name not in options and found is not None and found not in _VALUES[name]:
            raise InvalidAddress(
                f"has no {name}, and {variable}={found} is not supported: use {' or '.join(_VALUES[name])}"
            )


def _hosts(parts: SplitResult, options: Mapping[str, str]) -> tuple[str, ...]:
    user, at, specs = parts.netloc.rpartition("@")
    each = [(spec, options) for spec in specs.split(",")] if specs else _hosts_in_options(options)
    for spec, own in each:
        matched = _HOST.fullmatch(spec)
        ports = [port for port in (matched[2], own.get("port")) if port] if matched else [""]
        if not all(map(is_port, ports)):
            raise InvalidAddress(NO_PORT)
        if not ports and not is_port(os.environ.get("PGPORT") or "5432"):
            raise InvalidAddress("leaves the port to PGPORT, which is not a number from 1 to 65535")
        host = unquote(matched[1]) if matched and matched[1] else own.get("host", "")
        if not host.startswith(("/", "[")) and not can_be_a_name(host):
            raise InvalidAddress(NO_NAME)
    # A server that takes writes is wanted. The name of a single host, too, may point to a standby for a moment, and a
    # session that was opened there would stay there.
    standard = {"target_session_attrs": "read-write"}
    return tuple(
        f"{parts.scheme}://{user}{at}{spec}{parts.path}?{urlencode(standard | dict(own), quote_via=quote)}"
        for spec, own in each
    )


def _hosts_in_options(options: Mapping[str, str]) -> list[tuple[str, Mapping[str, str]]]:
    hosts, ports = options.get("host", "").split(","), options.get("port", "").split(",")
    if len(ports) not in (1, len(hosts)):
        raise InvalidAddress(
            f"has {len(hosts)} hosts and {len(ports)} ports: give a port for each host, or one for all"
        )
    each = zip(hosts, ports if len(ports) == len(hosts) else ports * len(hosts), strict=True)
    others = {name: value for name, value in options.items() if name not in ("host", "port")}
    return [("", others | {k: v for k, v in (("host", host), ("port", port)) if v}) for host, port in each]


def _settings(options: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    try:
        words = iter(shlex.split(options))
    except ValueError:
        words = iter([""])
    for word in words:
        found = _SETTING.fullmatch(word + next(words, "") if word == "-c" else word)
        if found is None:
            raise InvalidAddress("has options that are not written as -c name=value")
        name, value = found[1], found[2]
        if name.lower() in {pinned.lower() for pinned in PINNED.keys() - FREE}:
            raise InvalidAddress(f"must not set {name} in its options: the service relies on a value of its own")
        settings[name] = value
    return settings
