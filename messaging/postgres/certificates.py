"""The certificates of a database's address. asyncpg reads their files for each session, so changed ones are used by new
sessions. Here they are only checked at the start, so that a mistake is a sentence.
"""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

_STANDARD_AUTHORITIES = Path(".postgresql") / "root.crt"


def problem_with_certificates(options: Mapping[str, str]) -> str | None:
    """What is wrong when a certificate or key cannot be used, or when there is nothing to verify the server with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    mode, authorities, certificate = (options.get(name) for name in ("sslmode", "sslrootcert", "sslcert"))
    if mode in ("verify-ca", "verify-full") and authorities is None and not _has_standard():
        return f"has sslmode={mode}: name the file of the server's authorities in sslrootcert"
    try:
        if authorities is not None:
            context.load_verify_locations(authorities)
    except OSError as error:
        return f"has sslrootcert={authorities}, which has no certificates: {error}"
    try:
        if certificate is not None:
            password = options.get("sslpassword", "")
            context.load_cert_chain(certificate, options.get("sslkey"), lambda: password)
    except OSError as error:
        return f"has sslcert={certificate}, which is no certificate of the key in sslkey: {error}"
    return None


def _has_standard() -> bool:
    """True where asyncpg looks without `sslrootcert`, as libpq does."""
    if "PGSSLROOTCERT" in os.environ:
        return True
    try:
        return (Path.home() / _STANDARD_AUTHORITIES).exists()
    except RuntimeError:  # there is no home
        return False


def not_accepted(error: ssl.SSLCertVerificationError) -> str:
    """A sentence about a server whose certificate is not accepted."""
    return (
        f"the certificate of the database is not accepted ({error.verify_message.rstrip('.')}): sslrootcert must be "
        "its authority, and the host of the address must be one of its names"
    )
