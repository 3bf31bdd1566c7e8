"""A process that speaks HTTPS."""

import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import httpx

from tests.real_parts.authority import Authority, Files
from tests.real_parts.kafka import free_port
from tests.real_parts.order_process import OrderProcess


class HttpsProcess(OrderProcess):
    """`oms serve order`, or another command, with HTTP_TLS_* and METRICS_PORT."""

    def __init__(self, folder: Path, server: Files, environment: Mapping[str, str], *command: str) -> None:
        self.metrics_port = free_port()
        tls = {"HTTP_TLS_CERTFILE": str(server.certificate), "HTTP_TLS_KEYFILE": str(server.key)}
        super().__init__(folder, tls | {"METRICS_PORT": str(self.metrics_port)} | dict(environment), *command)
        self.url = f"https://localhost:{self.port}"
        self.metrics_url = f"https://localhost:{self.metrics_port}"

    def connection(self) -> HTTPConnection:
        """See OrderProcess. Whose certificate it is, is for the tests."""
        return HTTPSConnection("127.0.0.1", self.metrics_port, timeout=5, context=_trusting_everybody())


def _trusting_everybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def https_client(authority: Authority, certificate: Files | None = None) -> httpx.AsyncClient:
    """A client that trusts the authority, and shows a certificate if it has one."""
    context = ssl.create_default_context(cafile=authority.ca)
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return httpx.AsyncClient(verify=context, timeout=30)
