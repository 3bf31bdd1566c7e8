"""Each consumer is fed its producer's golden messages, and those messages as they may be one day.

What a producer must not do to a message, test_golden_events.py and its like say. This is the other side: what a
consumer reads of it, and that nothing else can break it.
"""

import asyncio
import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.releases import CHANGELOG, KEPT, Contracts, released
from docs.generate_asyncapi import document
from messaging.engine.consumer import Consumer
from messaging.memory.failures import MemoryFailures
from messaging.ports.record import Record, Rejected
from messaging.ports.subscription import Subscription
from order_service.domain.fulfilment import (
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    StockRejected,
    StockReleased,
    StockReserved,
)
from order_service.domain.order import OrderId
from shared_kernel.money import Money
from shared_kernel.product import ProductId
from shared_kernel.reason import NO_REASON
from tests.contract.consumers import Notes, subscriptions
from tests.contract.test_golden_events import GOLDEN

SUBSCRIPTIONS = {subscription.topic: subscription for subscription in subscriptions(Notes())}


def _golden(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return record


CONSUMED = sorted(path.stem for path in Path(GOLDEN).glob("*.json") if _golden(path.stem)["topic"] in SUBSCRIPTIONS)
ENVELOPE = {"eventId", "eventVersion", "occurredAt", "orderId"}

# By type: what is read of it besides the envelope. A field of a list stands for that field of all of them.
READ: dict[str, set[str]] = {
    "ReserveStock": {"items", "items.productId", "items.quantity"},
    "ReleaseStock": set(),
    "ShipStock": set(),
    "ChargePayment": {"amount", "amount.amount", "amount.currency", "caller"},
    "RefundPayment": set(),
    "StockReserved": {
        *("items", "items.productId"),
        *("items.unitPrice", "items.unitPrice.amount", "items.unitPrice.currency"),
    },
    "StockRejected": {"reason"},
    "StockReleased": set(),
    "PaymentCaptured": set(),
    "PaymentDeclined": {"reason"},
    "PaymentRefunded": set(),
}

# By type: what was added after a release. A message without it means the same, with None in the last place.
ADDED = {"ChargePayment": {"caller"}}

# By type: what may be missing or anything. The message means the same, with NO_REASON for its reason.
NEVER_REFUSED = {"StockRejected": {"reason"}, "PaymentDeclined": {"reason"}}

# What a golden message means to its consumer, whoever wrote it.
MEANS: dict[str, Any] = {
    "ReserveStock.v1": ("reserve", [(ProductId("p1"), 2), (ProductId("Käse"), 1)]),
    "ReleaseStock.v1": ("release",),
    "ShipStock.v1": ("ship",),
    "ChargePayment.v1": ("charge", Money.of("29.90", "EUR"), "shop-7"),
    "RefundPayment.v1": ("refund",),
    "StockReserved.v1": (
        "fulfil",
        StockReserved({ProductId("p1"): Money.of("12.50", "EUR"), ProductId("Käse"): Money.of("4.90", "EUR")}),
    ),
    "StockReleased.v1": ("fulfil", StockReleased()),
    "PaymentCaptured.v1": ("fulfil", PaymentCaptured()),
    "PaymentRefunded.v1": ("fulfil", PaymentRefunded()),
    "PaymentRefunded.v1.nothing-was-charged": ("fulfil", PaymentRefunded()),
}


def _record(golden: dict[str, Any], offset: int = 0) -> Record:
    return Record(golden["topic"], 0, offset, golden["key"], golden["headers"], json.dumps(golden["value"]).encode())


def _meaning(golden: dict[str, Any]) -> Any:
    """What the message's handler asks for; Rejected when it asks for nothing."""
    notes = Notes()
    (handler,) = [
        subscription.handlers[golden["headers"]["ce_type"]]
        for subscription in subscriptions(notes)
        if subscription.topic == golden["topic"]
    ]

    async def handle() -> None:
        await handler(_record(golden))

    try:
        asyncio.run(handle())
    except Rejected:
        return Rejected
    (asked,) = notes.asked
    return asked


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field, those within lists and objects, too."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, name)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*path, name))


def _named(path: tuple[Any, ...]) -> str:
    return ".".join(part for part in path if isinstance(part, str))


def _changed(golden: dict[str, Any], path: tuple[Any, ...], *change: Any) -> dict[str, Any]:
    """The message without what is at the path, or with something else there."""
    changed = copy.deepcopy(golden)
    *way, last = path
    inner = changed["value"]
    for part in way:
        inner = inner[part]
    if change:
        inner[last] = change[0]
    else:
        del inner[last]
    return changed


def test_every_type_that_is_consumed_has_a_golden_file_of_its_producer() -> None:
    handled = {kind for subscription in SUBSCRIPTIONS.values() for kind in subscription.handlers}

    assert handled == READ.keys() == {name.split(".")[0] for name in CONSUMED}


def test_every_golden_message_of_a_topic_is_handled_by_who_reads_the_topic() -> None:
    for name in CONSUMED:
        golden = _golden(name)
        assert golden["headers"]["ce_type"] in SUBSCRIPTIONS[golden["topic"]].handlers
        source = SUBSCRIPTIONS[golden["topic"]].source
        assert source in (None, golden["headers"]["ce_source"]), f"{name} comes from another source"


@pytest.mark.parametrize("name", CONSUMED)
def test_a_golden_message_means_to_its_consumer_what_its_producer_meant(name: str) -> None:
    golden = _golden(name)
    use_case, order_id, *inputs = _meaning(golden)

    assert str(order_id) == golden["key"]
    if name in MEANS:
        assert (use_case, *inputs) == MEANS[name]
    else:
        reason = {"StockRejected.v1": StockRejected, "PaymentDeclined.v1": PaymentDeclined}[name]
        assert (use_case, *inputs) == ("fulfil", reason(golden["value"]["reason"]))
    assert isinstance(order_id, OrderId) is (use_case == "fulfil")


@pytest.mark.parametrize(
    "release", released(CHANGELOG.read_text(encoding="utf-8"), KEPT), ids=lambda release: release.of
)
def test_the_examples_of_every_release_are_still_handled(release: Contracts) -> None:
    """Messages of a release may be on the topics still, and its processes may send more of them during an upgrade."""
    topics = {name: topic for topic, channel in release.asyncapi["channels"].items() for name in channel["messages"]}
    sent = [
        {"topic": topics[name], "key": example["payload"]["orderId"]}
        | {"headers": example["headers"], "value": example["payload"]}
        for name, message in release.asyncapi["components"]["messages"].items()
        for example in message.get("examples", ())
        if topics[name] in SUBSCRIPTIONS
    ]

    assert sent
    for golden in sent:
        assert _meaning(golden) is not Rejected, f"{golden['value']['eventType']} of {release.of} is a dead letter"


@pytest.mark.parametrize("name", CONSUMED)
def test_a_field_that_is_added_anywhere_breaks_nobody(name: str) -> None:
    golden = _golden(name)
    objects = [(), *(path for path in _places(golden["value"]) if isinstance(_at(golden, path), dict))]

    for path in objects:
        for added in (1, None, {"nested": ["x"]}):
            assert _meaning(_changed(golden, (*path, "addedLater"), added)) == _meaning(golden)
    assert _meaning(golden | {"headers": golden["headers"] | {"traceparent": "00-1"}}) == _meaning(golden)


def _at(golden: dict[str, Any], path: tuple[Any, ...]) -> Any:
    inner = golden["value"]
    for part in path:
        inner = inner[part]
    return inner


@pytest.mark.parametrize("name", CONSUMED)
def test_a_consumer_reads_what_it_declares_and_nothing_else(name: str) -> None:
    """Without a field that it reads, or with another type of it, a message is rejected: it never means something else.
    A field that is not read may go or change, one that an older release did not say may be missing, and a reason may be
    anything."""
    golden = _golden(name)
    kind = golden["headers"]["ce_type"]
    read = set()
    for path in _places(golden["value"]):
        in_a_list = isinstance(path[-1], int)
        without = None if in_a_list else _meaning(_changed(golden, path))
        retyped = _meaning(_changed(golden, path, {"retyped": True}))
        if _named(path) in ADDED.get(kind, set()):
            assert without == (*_meaning(golden)[:-1], None), "messages of the releases before it are still handled"
            without = Rejected
        if _named(path) in NEVER_REFUSED.get(kind, set()):
            *same, happening = _meaning(golden)
            assert without == retyped == (*same, replace(happening, reason=NO_REASON))
            without = retyped = Rejected
        assert without in (None, retyped, Rejected), f"{_named(path)} may be missing, and then means something else"
        assert retyped in (Rejected, _meaning(golden)), f"{_named(path)} may be anything, and then means something else"
        if Rejected in (without, retyped):
            read.add(_named(path))

    assert read == ENVELOPE | READ[kind]


def test_the_published_document_says_of_each_consumer_what_it_reads() -> None:
    published = {
        name.partition(".")[0]: set(_fields(schema))
        for operation in document()["operations"].values()
        for name, schema in operation.get("x-reads", {}).items()
    }

    assert published == {kind: ENVELOPE | fields for kind, fields in READ.items()}


def _fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    inner = schema.get("items", schema)
    for name, field in inner.get("properties", {}).items():
        yield path + name
        yield from _fields(field, f"{path}{name}.")


@pytest.mark.parametrize("topic", [topic for topic, subscription in SUBSCRIPTIONS.items() if subscription.source])
async def test_a_type_that_a_producer_of_events_adds_is_ignored_and_the_next_message_is_handled(topic: str) -> None:
    name = next(name for name in CONSUMED if _golden(name)["topic"] == topic)
    golden = _golden(name)
    of_a_new_type = golden | {"headers": golden["headers"] | {"ce_type": "AddedLater"}}

    notes, failures = await _consumed(SUBSCRIPTIONS[topic], of_a_new_type, golden)

    assert len(notes.asked) == 1
    assert await failures.counts() == (0, 0.0, 0)


@pytest.mark.parametrize("topic", [topic for topic, subscription in SUBSCRIPTIONS.items() if not subscription.source])
async def test_a_command_that_nobody_knows_is_a_dead_letter_and_the_next_message_is_handled(topic: str) -> None:
    name = next(name for name in CONSUMED if _golden(name)["topic"] == topic)
    golden = _golden(name)
    unknown = golden | {"headers": golden["headers"] | {"ce_type": "DoSomethingElse"}}

    notes, failures = await _consumed(SUBSCRIPTIONS[topic], unknown, golden)

    assert len(notes.asked) == 1
    assert [failure.record for failure in failures.dead] == [_record(unknown, 0)]


async def _consumed(subscription: Subscription, *messages: dict[str, Any]) -> tuple[Notes, MemoryFailures]:
    notes, failures = Notes(), MemoryFailures()
    ours = [each for each in subscriptions(notes) if each.topic == subscription.topic]
    await Consumer("contract", ours, failures).handle([_record(each, place) for place, each in enumerate(messages)])
    return notes, failures
