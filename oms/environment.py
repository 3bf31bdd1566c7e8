"""Reading the settings of a command, and running it."""

import re
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any

import structlog
import typer
from pydantic import BeforeValidator, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from messaging.engine.background import WorkEnded
from messaging.engine.secret_files import SECRET, Settings
from messaging.kafka.admin import KafkaRefused
from messaging.kafka.settings import KafkaSettings
from messaging.ports.changes import StoreUnavailable
from messaging.runtime.database_unusable import DatabaseUnusable
from messaging.runtime.embedded_postgres import EmbeddedPostgresUnavailable
from messaging.runtime.settings import PublisherKind
from messaging.runtime.telemetry import TelemetryUnavailable
from oms.exit_status import ExitStatus
from oms.logs import LogFormat, configure_logs, log_for_us
from oms.operator import sign_as_operator
from oms.process import CannotListen, run_to_the_end
from oms.screen import forget_standard_output, have_standard_streams
from shared_kernel.choice import Choice

_MOST_WORDS = 300

log = structlog.get_logger("process")


class LogLevel(Choice):
    """LOG_LEVEL."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


def _in_full(level: str) -> str:
    return "WARNING" if level.strip().upper() == "WARN" else level


class LogSettings(Settings):
    """LOG_FORMAT and LOG_LEVEL."""

    log_format: LogFormat = LogFormat.AUTO
    log_level: Annotated[LogLevel, BeforeValidator(_in_full)] = LogLevel.INFO


class CannotDo(Exception):
    """The command cannot do what was asked. The text says why, and what to do."""


def read_settings(*kinds: type[BaseSettings], log_level: LogLevel | None = None) -> list[Any]:
    """The settings of each kind. A wrong value ends the process with a sentence that names it."""
    all_kinds: list[type[BaseSettings]] = [LogSettings, *kinds]
    logs: Any
    try:
        logs, *settings = [kind() for kind in all_kinds]
    except ValidationError as error:
        (kind,) = (kind for kind in all_kinds if kind.__name__ == error.title)
        for problem in error.errors():
            typer.echo(_sentence(kind, problem), err=True)
        raise typer.Exit(ExitStatus.USAGE) from None
    configure_logs(logs.log_format, log_level or logs.log_level)
    return settings


def broker_is_set(kafka: KafkaSettings, settings: Sequence[Any]) -> bool:
    """True when the services use a broker, or when one is named."""
    uses = any(each.event_publisher is PublisherKind.KAFKA for each in settings)
    return uses or "bootstrap_servers" in kafka.model_fields_set


def _sentence(kind: type[BaseSettings], problem: ErrorDetails) -> str:
    """What is wrong with a setting. A secret is not repeated."""
    said = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # it is about several settings, and names them
        return said
    field = str(problem["loc"][0])
    name = f"{kind.model_config.get('env_prefix', '')}{field}".upper()
    given = "" if SECRET in kind.model_fields[field].metadata else f" (it is {_without_password(problem['input'])})"
    return f"{name} {said}{given}"


def _without_password(value: object) -> str:
    """What was given. In an address nothing is shown before the host, where a user and a password may be."""
    return re.sub(r"(?s).*@", "'…@", repr(value))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end. An error that the user can solve ends it with a sentence and status 1. A service whose
    background work has ended also ends with status 1, so that its supervisor starts it again."""
    have_standard_streams()
    sign_as_operator()
    try:
        run_to_the_end(main)
    except WorkEnded as error:
        log.critical("ended, because a part of it does not go on", reason=str(error), exc_info=error.__cause__)
        raise typer.Exit(ExitStatus.CANNOT) from None
    except (
        EmbeddedPostgresUnavailable,
        DatabaseUnusable,
        CannotListen,
        CannotDo,
        StoreUnavailable,
        KafkaRefused,
        TelemetryUnavailable,
    ) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitStatus.CANNOT) from None
    except BrokenPipeError:
        forget_standard_output()
        raise typer.Exit(ExitStatus.CANNOT) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitStatus.INTERRUPTED) from None
    except typer.Exit:
        raise  # it has said already what was wrong
    except Exception as error:  # noqa: BLE001  the last place where a user can be told
        log_for_us("ended by an unexpected error")
        words = " ".join(str(error).split())[:_MOST_WORDS]
        typer.echo(
            f"this command ended unexpectedly: {type(error).__name__}: {words} (LOG_LEVEL=DEBUG shows more)", err=True
        )
        raise typer.Exit(ExitStatus.CANNOT) from None
