"""The health of a store, for the readiness check."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """The health of a store that answers: whether it takes writes, and whether its schema is that of this release or of
    a newer one."""

    is_writable: bool
    has_schema: bool


HEALTHY = StoreHealth(is_writable=True, has_schema=True)
