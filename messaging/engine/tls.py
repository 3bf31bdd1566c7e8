"""TLS contexts whose certificates and keys are files."""

import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from messaging.engine.renewed import Renewed


class RenewedContext(ssl.SSLContext):
    """A context that is made again after one of its files has changed. New connections use the new certificates, and
    connections that are open stay as they are.

    The event loop asks a context for nothing but `wrap_bio`. So this one has no certificates of its own. It hands every
    new connection to the context of the files as they are now.
    """

    _current: Renewed[ssl.SSLContext]

    def __new__(cls, make: Callable[[], ssl.SSLContext], files: Sequence[Path]) -> "RenewedContext":
        """Raises OSError when the files are no certificates or keys."""
        current = Renewed(make, files)
        self = super().__new__(cls, current().protocol)
        self._current = current
        return self

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See ssl.SSLContext."""
        return self._current().wrap_bio(*args, **kwargs)


@lru_cache(maxsize=16)
def client_context(ca: Path | None = None, certificate: Path | None = None, key: Path | None = None) -> RenewedContext:
    """The context of a client, which verifies the server's certificate and name. Without `ca` the system's authorities
    are trusted. Raises OSError."""

    def make() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            _load(context, certificate, key)
        return context

    return RenewedContext(make, [each for each in (ca, certificate, key) if each is not None])


def server_context(certificate: Path, key: Path | None = None, client_ca: Path | None = None) -> RenewedContext:
    """The context of a server. With `client_ca` a client needs a certificate of that authority. Raises OSError."""

    def make() -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
        _load(context, certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.num_tickets = 0  # a resumed session would not show its certificate again
            context.options |= ssl.OP_NO_TICKET
        return context

    return RenewedContext(make, [each for each in (certificate, key, client_ca) if each is not None])


def _load(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    # Without a callback OpenSSL asks for the passphrase of an encrypted key on the terminal, and waits.
    context.load_cert_chain(certificate, key, password=lambda: "")
