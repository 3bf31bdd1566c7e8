"""What readiness asks of a store."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """Of a store that answers: whether it takes writes, and whether it has the schema of this release or of a newer
    one."""

    is_writable: bool
    has_schema: bool


HEALTHY = StoreHealth(is_writable=True, has_schema=True)
