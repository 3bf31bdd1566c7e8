"""Who makes a call to the gateway, and for how long nobody else does."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Holder:
    """A process. Of all processes with the same `place` at most one lives, so the earlier ones are dead."""

    place: str
    process: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The time for which only the holder makes a call. It is over early when the holder is known to be dead."""

    length: timedelta
    holder: Holder
