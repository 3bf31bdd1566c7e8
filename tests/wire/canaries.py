"""Secrets that can be told from everything else, in every setting that is a secret."""

import base64
import importlib
from collections.abc import Iterator, Mapping

from pydantic_settings import BaseSettings

from messaging.engine.secret_files import SECRET
from oms.cli import app
from oms.services import SERVICES

assert app, "it has loaded everything but what one command needs"
importlib.import_module("oms.load")
CANARY = "canary-"


def _all_below(kind: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for each in kind.__subclasses__():
        yield each
        yield from _all_below(each)


OURS = tuple(f"{package}." for package in ("http_api", "messaging", "oms", *map("{}_service".format, SERVICES)))
KINDS = [
    kind for kind in dict.fromkeys(_all_below(BaseSettings)) if kind.__module__.startswith(OURS) and kind.model_fields
]
"""Every kind of settings that the command line has."""

SECRETS: Mapping[str, str] = {
    "ORDER_DATABASE_URL": "postgresql://oms:canary-orders@127.0.0.1:1/orders",
    "INVENTORY_DATABASE_URL": "postgresql://oms:canary-inventory@127.0.0.1:1/inventory?sslpassword=canary-key",
    "PAYMENT_DATABASE_URL": "postgresql://oms:canary-payments@127.0.0.1:1/payments",
    "KAFKA_SASL_PASSWORD": "canary-kafka",
    "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "canary-client",
    "PAYMENT_GATEWAY_KEY": "canary-gateway",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer canary-collector",
    "OMS_TOKEN": "canary-token",
}
"""A working value of each secret."""

ADDRESSES: Mapping[str, str] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://oms:canary-collector-user@127.0.0.1:1",
    "PGPASSWORD": "canary-environment",
}
"""Settings that are no secrets, and may have one in them."""


def secret_settings() -> set[str]:
    """The names of all settings that are marked as secrets."""
    return {
        f"{kind.model_config.get('env_prefix', '')}{field}".upper()
        for kind in KINDS
        for field, described in kind.model_fields.items()
        if SECRET in described.metadata
    }


def leaks(text: str) -> list[str]:
    """The lines with a canary, in plain text or in base64."""
    traces = [CANARY, *(_base64(CANARY, before) for before in range(3))]
    return [line for line in text.splitlines() if any(trace in line for trace in traces)]


def _base64(text: str, before: int) -> str:
    """What stays of a text in base64 when so many bytes come before it, and any after it."""
    encoded = base64.b64encode(b"\0" * before + text.encode()).decode().rstrip("=")
    return encoded[-(-8 * before // 6) : 4 * ((before + len(text)) // 3)]
