"""The connection to Kafka: the environment variables KAFKA_*, which are the same for every service."""

import re
import ssl
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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


class Compression(Choice):
    """The compression.type of Kafka clients."""

    NONE = "none"
    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s,:/\[\]]+)(:\d{1,5})?")


def _addresses(value: str) -> str:
    if not all(_ADDRESS.fullmatch(address.strip()) for address in value.split(",")):
        raise ValueError("must be host:port, or several of them with commas")
    return value


class KafkaSettings(BaseSettings):
    """Fields are environment variables with the prefix KAFKA_: KAFKA_BOOTSTRAP_SERVERS, KAFKA_SASL_USERNAME, …"""

    model_config = SettingsConfigDict(env_prefix="KAFKA_", frozen=True)

    bootstrap_servers: Annotated[str, AfterValidator(_addresses)] = "localhost:9092"
    security_protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    sasl_mechanism: SaslMechanism = SaslMechanism.PLAIN
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    prefix: str = Field("", max_length=64, pattern=r"^[a-zA-Z0-9._-]*$")
    """The prefix of the names of topics, groups and transactions. With it, installations can share a cluster."""
    compression: Compression = Compression.ZSTD
    """The compression of relays. Consumers read every codec."""
    session_timeout_seconds: float = Field(10.0, ge=6, le=300)
    """How long the partitions of a killed consumer wait for another consumer."""
    group_instance_id: str | None = Field(None, max_length=64, pattern=r"^[a-zA-Z0-9._-]+$")
    """The name by which the broker knows this process again after a restart. No two processes of a service share it."""

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        uses_sasl = self.security_protocol in (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)
        if uses_sasl and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )
        return self

    @model_validator(mode="after")
    def _certificates_can_be_read(self) -> Self:
        try:
            self.ssl_context()
        except OSError as error:
            raise ValueError(
                f"KAFKA_SSL_CAFILE, KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE must be certificates and a key: {error}"
            ) from None
        return self

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context with our certificates. None without TLS."""
        if self.security_protocol not in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL):
            return None
        context = ssl.create_default_context(cafile=str(self.ssl_cafile) if self.ssl_cafile else None)
        if self.ssl_certfile:
            context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        return context
