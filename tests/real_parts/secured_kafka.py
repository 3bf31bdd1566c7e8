"""A real broker that lets nobody in without TLS: with a password, a token or a certificate."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from messaging.kafka.settings import KafkaSettings
from tests.real_parts.authority import LOOPBACK, Authority, Files
from tests.real_parts.kafka import ALONE
from tests.real_parts.kafka_node import FEW_THREADS, KafkaNode, NoBroker, free_port, java_there, new_cluster_id
from tests.real_parts.token_server import AUDIENCE, CLIENT, ISSUER, TokenServer

USER = "oms"
PASSWORD = "canary-kafka: ü %+&"
REAUTHENTICATE_MS = 10_000
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_OAUTH = "org.apache.kafka.common.security.oauthbearer"


@dataclass(frozen=True, slots=True)
class SecuredBroker:
    """The broker's addresses, by how clients authenticate, and what they need for it."""

    sasl: str
    """SCRAM-SHA-512 and OAUTHBEARER over TLS."""
    short: str
    """The same at localhost alone, with sessions of ten seconds (connections.max.reauth.ms)."""
    mutual: str
    """Certificates of clients."""
    authority: Authority
    client: Files
    tokens: TokenServer

    def by_password(self, **changed: Any) -> KafkaSettings:
        """Settings of a client with a password."""
        return _settings(
            {
                "bootstrap_servers": self.sasl,
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": USER,
                "sasl_password": PASSWORD,
                "ssl_cafile": self.authority.ca,
            }
            | changed
        )

    def by_token(self, **changed: Any) -> KafkaSettings:
        """Settings of a client with tokens."""
        return _settings(
            {
                "bootstrap_servers": self.sasl,
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauthbearer_token_endpoint_url": self.tokens.url,
                "sasl_oauthbearer_client_id": CLIENT,
                "sasl_oauthbearer_client_secret": self.tokens.secret,
                "ssl_cafile": self.authority.ca,
            }
            | changed
        )

    def by_certificate(self, **changed: Any) -> KafkaSettings:
        """Settings of a client with a certificate."""
        return _settings(
            {
                "bootstrap_servers": self.mutual,
                "security_protocol": "SSL",
                "ssl_cafile": self.authority.ca,
                "ssl_certfile": self.client.certificate,
                "ssl_keyfile": self.client.key,
            }
            | changed
        )


def _settings(values: dict[str, Any]) -> KafkaSettings:
    """None leaves a setting to the environment."""
    return KafkaSettings(**{name: value for name, value in values.items() if value is not None})


@contextmanager
def secured_kafka() -> Iterator[SecuredBroker]:
    """The broker and the OAuth server, whose tokens it takes; gone afterwards. Raises NoBroker."""
    if not java_there():
        raise NoBroker("a secured broker is needed: install a JDK and Maven")
    folder = Path(tempfile.mkdtemp(prefix="oms-test-secured-kafka-"))
    authority = Authority(folder)
    server, client = authority.issue("broker", *LOOPBACK), authority.issue("client")
    local = authority.issue("local", "localhost")
    keys = folder / "keys.json"
    tokens = TokenServer("canary-client: ü%+", keys)
    urls = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys.as_uri()}"
    files = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={keys}"
    node = KafkaNode(1, folder / "n1", java_options=("-Xmx384m", *FEW_THREADS, urls, files))
    short, mutual = free_port(), free_port()
    node.configure(
        node.voter, ALONE | _listeners(node, short, mutual) | _certificates(server, local, authority.ca) | _logins(keys)
    )
    try:
        node.format(new_cluster_id(), "--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
        node.start()
        with tokens.running():
            yield SecuredBroker(
                f"{node.host}:{node.port}",
                f"localhost:{short}",
                f"{node.host}:{mutual}",
                authority,
                client,
                tokens,
            )
    finally:
        node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _listeners(node: KafkaNode, short: int, mutual: int) -> dict[str, str]:
    ports = {"CLIENT": node.port, "SHORT": short, "MUTUAL": mutual, "PEER": node.peer_port}
    at = [f"{name}://{node.host}:{port}" for name, port in ports.items()]
    return {
        "listeners": ",".join([*at, f"CONTROLLER://{node.host}:{node.controller_port}"]),
        "advertised.listeners": ",".join(at).replace(f"SHORT://{node.host}", "SHORT://localhost"),
        "listener.security.protocol.map": (
            "CLIENT:SASL_SSL,SHORT:SASL_SSL,MUTUAL:SSL,PEER:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "listener.name.short.connections.max.reauth.ms": str(REAUTHENTICATE_MS),
    }


def _certificates(server: Files, local: Files, ca: Path) -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
        "listener.name.short.ssl.keystore.location": str(local.both),
        "listener.name.mutual.ssl.client.auth": "required",
    }


def _logins(keys: Path) -> dict[str, str]:
    settings: dict[str, str] = {}
    for listener in ("client", "short"):
        name, tokens = f"listener.name.{listener}", f"listener.name.{listener}.oauthbearer.sasl"
        settings |= {
            f"{name}.sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
            f"{name}.scram-sha-512.sasl.jaas.config": _SCRAM,
            f"{tokens}.jaas.config": f"{_OAUTH}.OAuthBearerLoginModule required;",
            f"{tokens}.server.callback.handler.class": f"{_OAUTH}.OAuthBearerValidatorCallbackHandler",
            f"{tokens}.oauthbearer.jwks.endpoint.url": keys.as_uri(),
            f"{tokens}.oauthbearer.expected.audience": AUDIENCE,
            f"{tokens}.oauthbearer.expected.issuer": ISSUER,
        }
    return settings
