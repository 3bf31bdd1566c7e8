"""Sets of the real client, in an order that does not depend on addresses and on the hashes of strings.

The client walks through sets of partitions, topics, brokers and tasks. Another order means other requests, and no seed
decides it.
"""

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

_MODULES: Final = (
    "client",
    "cluster",
    "consumer.consumer",
    "consumer.fetcher",
    "consumer.group_coordinator",
    "consumer.subscription_state",
    "coordinator.assignors.roundrobin",
    "producer.message_accumulator",
    "producer.sender",
    "producer.transaction_manager",
)


class _InOrder(set[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(_in_order(super().__iter__()))


class _FrozenInOrder(frozenset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(_in_order(super().__iter__()))


def _in_order(members: Iterator[Any]) -> list[Any]:
    """Batches by their partitions, tasks and futures by the numbers that are their hashes, all else by its text."""
    return sorted(members, key=lambda each: (str(getattr(each, "tp", "")), *_written(each)))


def _written(each: Any) -> tuple[int, str]:
    return (hash(each), "") if hasattr(each, "add_done_callback") else (0, str(each))


@contextmanager
def sets_in_order() -> Iterator[None]:
    """Within the block the client's new sets are in order."""
    with ExitStack() as stack:
        for name in _MODULES:
            module = importlib.import_module(f"aiokafka.{name}")
            stack.enter_context(patch.object(module, "set", _InOrder, create=True))
            stack.enter_context(patch.object(module, "frozenset", _FrozenInOrder, create=True))
        yield
