"""The clock of a service."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time of this machine, aware and in UTC."""
    return datetime.now(UTC)
