"""The connection to Kafka: the environment variables KAFKA_*, which are the same for every service."""

import re
import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from messaging.engine.addresses import NO_NAME, NO_PORT, can_be_a_name, encrypted_address, is_port, is_this_machine
from messaging.engine.secret_files import Secret, Settings
from messaging.engine.tls import client_context
from shared_kernel.choice import Choice


class SecurityProtocol(Choice):
    """The security.protocol of Kafka clients."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SaslMechanism(Choice):
    """The sasl.mechanism of Kafka clients."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


class Compression(Choice):
    """The compression.type of Kafka clients."""

    NONE = "none"
    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s,:/\[\]]+)(:\d{1,5})?")


def _addresses(value: str) -> str:
    for address in value.split(","):
        matched = _ADDRESS.fullmatch(address.strip())
        if matched is None:
            raise ValueError("must be host:port, or several of them with commas")
        if matched[2] and not is_port(matched[2][1:]):
            raise ValueError(NO_PORT)
        if not matched[1].startswith("[") and not can_be_a_name(matched[1]):
            raise ValueError(NO_NAME)
    return value


class KafkaSettings(Settings):
    """Fields are environment variables with the prefix KAFKA_: KAFKA_BOOTSTRAP_SERVERS, KAFKA_SASL_USERNAME, …"""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True)

    bootstrap_servers: Annotated[str, AfterValidator(_addresses)] = "localhost:9092"
    security_protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    sasl_mechanism: SaslMechanism = SaslMechanism.PLAIN
    sasl_username: str | None = None
    sasl_password: Secret = None
    sasl_oauthbearer_token_endpoint_url: Annotated[str, AfterValidator(encrypted_address)] | None = None
    sasl_oauthbearer_client_id: str | None = None
    sasl_oauthbearer_client_secret: Secret = None
    sasl_oauthbearer_scope: str | None = None
    sasl_oauthbearer_cafile: Path | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    prefix: str = Field("", max_length=64, pattern=r"^[a-zA-Z0-9._-]*$")
    """The prefix of the names of topics, groups and transactions. With it, installations can share a cluster."""
    compression: Compression = Compression.ZSTD
    """The compression of relays. Consumers read every codec."""
    session_timeout_seconds: float = Field(10.0, ge=6, le=300)
    """How long the partitions of a killed consumer wait for another consumer."""
    joint_transactions: bool = True
    """The shards of a process publish together. Off until every relay is of a release that knows it."""
    group_instance_id: str | None = Field(None, max_length=64, pattern=r"^[a-zA-Z0-9._-]+$")
    """The name by which the broker knows this process again after a restart. No two processes of a service share it."""

    @property
    def uses_sasl(self) -> bool:
        """True when clients authenticate by SASL."""
        return self.security_protocol in (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)

    @property
    def uses_tokens(self) -> bool:
        """True when clients authenticate by tokens of an OAuth server."""
        return self.uses_sasl and self.sasl_mechanism is SaslMechanism.OAUTHBEARER

    @property
    def uses_tls(self) -> bool:
        """True when the connections are encrypted."""
        return self.security_protocol in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)

    @property
    def is_readable(self) -> bool:
        """True when somebody on the way to another machine may read what is sent, because there is no TLS."""
        hosts = [_ADDRESS.fullmatch(address.strip()) for address in self.bootstrap_servers.split(",")]
        return not self.uses_tls and not all(host and is_this_machine(host[1]) for host in hosts)

    @model_validator(mode="after")
    def _protocol_is_not_forgotten(self) -> Self:
        """Certificates and passwords are of no use by the default, which would be an open wire without a word."""
        idle = [name for name in sorted(self.model_fields_set) if name.startswith(("ssl_", "sasl_"))]
        if idle and "security_protocol" not in self.model_fields_set:
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL is not set, and without it KAFKA_{idle[0].upper()} does nothing: "
                "set it to SSL, SASL_SSL, SASL_PLAINTEXT or PLAINTEXT"
            )
        return self

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if not self.uses_sasl:
            return self
        needed = (
            ("sasl_oauthbearer_token_endpoint_url", "sasl_oauthbearer_client_id", "sasl_oauthbearer_client_secret")
            if self.uses_tokens
            else ("sasl_username", "sasl_password")
        )
        if any(getattr(self, name) is None for name in needed):
            *others, last = (f"KAFKA_{name}".upper() for name in needed)
            what = f"{self.security_protocol} with KAFKA_SASL_MECHANISM={self.sasl_mechanism}"
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={what} needs {', '.join(others)} and {last} (or {last}_FILE)")
        return self

    @model_validator(mode="after")
    def _certificates_can_be_read(self) -> Self:
        try:
            self.ssl_context()
        except OSError as error:
            raise ValueError(
                f"KAFKA_SSL_CAFILE, KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE must be certificates, and a key without a "
                f"passphrase: {error}"
            ) from None
        try:
            self.token_context()
        except OSError as error:
            raise ValueError(f"KAFKA_SASL_OAUTHBEARER_CAFILE must be certificates: {error}") from None
        return self

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context with our certificates, as they are at each new connection. None without TLS. Raises
        OSError."""
        if not self.uses_tls:
            return None
        return client_context(self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile)

    def token_context(self) -> ssl.SSLContext | None:
        """The TLS context for the OAuth server. None without tokens. Raises OSError."""
        return client_context(self.sasl_oauthbearer_cafile) if self.uses_tokens else None
