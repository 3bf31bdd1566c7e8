"""What a command reads from the environment, and how it is run."""

from collections.abc import Coroutine
from enum import StrEnum
from typing import Any

import structlog
import typer
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings

from messaging.engine.background import WorkEnded
from messaging.kafka.admin import KafkaRefused
from messaging.kafka.settings import KafkaSettings
from messaging.ports.changes import StoreUnavailable
from messaging.runtime.embedded_postgres import EmbeddedPostgresMissing
from oms.logs import LogFormat, configure_logs
from oms.process import CannotListen, run_to_the_end

log = structlog.get_logger("process")


class LogLevel(StrEnum):
    """LOG_LEVEL."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogSettings(BaseSettings):
    """LOG_FORMAT and LOG_LEVEL."""

    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = Field(LogLevel.INFO)


class CannotDo(Exception):
    """What was asked for is not possible here; the text says why, and what to do."""


def read_settings(*kinds: type[BaseSettings], log_level: LogLevel | None = None) -> list[Any]:
    """One of each kind. A wrong value ends the process with a sentence that names it."""
    try:
        logs = LogSettings()
        settings = [kind() for kind in kinds]
    except ValidationError as error:
        for problem in error.errors():
            prefix = "KAFKA_" if error.title == KafkaSettings.__name__ else ""
            name = f"{prefix}{problem['loc'][0]}".upper() + " " if problem["loc"] else ""
            secret = "PASSWORD" in name or "DATABASE_URL" in name
            given = f" (it is {problem['input']!r})" if name and not secret else ""
            typer.echo(f"{name}{problem['msg'].removeprefix('Value error, ')}{given}", err=True)
        raise typer.Exit(2) from None
    configure_logs(logs.log_format, log_level or logs.log_level)
    return settings


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end. What the user can mend ends with a sentence and status 1, and so does a service that lost a part
    of itself: whoever started it is to start it again."""
    try:
        run_to_the_end(main)
    except WorkEnded as error:
        log.critical("ended, because a part of it does not go on", reason=str(error), exc_info=error.__cause__)
        raise typer.Exit(1) from None
    except (EmbeddedPostgresMissing, CannotListen, CannotDo, StoreUnavailable, KafkaRefused) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
