"""The queues of a service's database in figures, for an operator's overview."""

from dataclasses import dataclass

from messaging.postgres.failures import PostgresFailures
from messaging.postgres.outbox import depth_and_age, relays_and_shards
from messaging.postgres.pool import Pool
from messaging.postgres.probe import revision_of


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """Counts are as bounded as those of the metrics. Ages are in seconds."""

    revision: str
    outbox: int
    outbox_age: float
    relays: int
    shards: int
    parked: int
    parked_age: float
    dead: int


async def queue_figures(pool: Pool) -> QueueFigures:
    """Read the figures. Raises StoreUnavailable, and StoreUnfit when a table is missing."""
    revision = await revision_of(pool)
    outbox, outbox_age = await depth_and_age(pool)
    relays, shards = await relays_and_shards(pool)
    parked, parked_age, dead = await PostgresFailures(pool).counts()
    return QueueFigures(str(revision), outbox, outbox_age, relays, shards, parked, max(parked_age, 0.0), dead)
