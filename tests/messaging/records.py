"""Records as a transport delivers them, and one of each key after the other."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from uuid_utils.compat import uuid7

from messaging.ports.failures import Failure
from messaging.ports.record import Record

TOPIC = "inventory-events"
SOURCE = "/inventory-service"
_offsets = itertools.count(100)


def record(
    key: str, *, of_type: str = "StockReserved", source: str = SOURCE, topic: str = TOPIC, value: bytes = b"{}"
) -> Record:
    """The next record of a key. It lies behind all that were made before."""
    headers = {"ce_id": str(uuid7()), "ce_type": of_type, "ce_source": source}
    return Record(topic, 2, next(_offsets), key, headers, value)


def records(*keys: str) -> list[Record]:
    """One record for each key that is named, in this order."""
    return [record(key) for key in keys]


def with_headers(of: Record, headers: Mapping[str, str]) -> Record:
    """The same record with other headers."""
    return Record(of.topic, of.partition, of.offset, of.key, headers, of.value)


def failure(of: Record, error: str = "it did not work", attempts: int = 3) -> Failure:
    """A record that was not handled."""
    return Failure(of, error, attempts)


def of_key(key: str, some: Iterable[Record]) -> list[Record]:
    """Those of one key, in their order."""
    return [each for each in some if each.key == key]


def kept_records(failures: Sequence[Failure]) -> list[Record]:
    """What was kept, without why."""
    return [each.record for each in failures]
