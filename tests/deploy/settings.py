"""The environment variables that processes read."""

from pydantic_settings import BaseSettings

from http_api.access.settings import AuthSettings
from messaging.engine.secret_files import SECRET
from messaging.kafka.settings import KafkaSettings
from messaging.runtime.telemetry import TelemetrySettings
from oms.environment import LogSettings
from oms.services import SERVICES


def settings_of_processes(*, secret: bool = False) -> set[str]:
    """Their names; with `secret`, of those that a process also reads from a file."""
    kinds: list[type[BaseSettings]] = [KafkaSettings, TelemetrySettings, AuthSettings, LogSettings]
    kinds += [service.settings for service in SERVICES.values()]
    return {
        f"{kind.model_config.get('env_prefix', '')}{name}".upper()
        for kind in kinds
        for name, field in kind.model_fields.items()
        if SECRET in field.metadata or not secret
    }
