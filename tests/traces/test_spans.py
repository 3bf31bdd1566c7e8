"""Which spans are recorded, and what they say."""

import random
from collections.abc import Iterator
from uuid import UUID

import pytest

from messaging.engine import tracing
from messaging.engine.message_spans import committed, created, decided, moved, processing
from messaging.engine.tracing import FinishedSpan, Kind, Span, TraceMessages, Tracing, begin
from messaging.ports.message import Message
from messaging.ports.record import Record
from messaging.ports.trace_context import TRACE, context_of, trace_in

NOTHING: frozenset[str] = frozenset()
CALLER = context_of("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", is_sampled=True)
UNSAMPLED = context_of("1af7651916cd43dd8448eb211c80319c", "c7ad6b7169203331", is_sampled=False)


@pytest.fixture
def recorded() -> Iterator[list[FinishedSpan]]:
    """Nothing is sampled by chance."""
    spans: list[FinishedSpan] = []
    tracing.install(Tracing(spans.append, 0.0))
    token = TRACE.set(None)
    yield spans
    TRACE.reset(token)
    tracing.install(None)


def message(type_: str = "OrderCreatedEvent", **headers: str) -> Message:
    """A message for one order."""
    return Message(UUID(int=7), "order-events", "order-7", {"ce_type": type_, "ce_id": "7"} | headers, b"{}")


def record(**headers: str) -> Record:
    """A record with these headers."""
    return Record("order-events", 3, 41, "order-7", {"ce_type": "OrderCreatedEvent", "ce_id": "7"} | headers, b"{}")


def test_while_traces_are_off_messages_stay_as_they_are() -> None:
    messages = [message()]

    assert decided(messages, None, None, frozenset({"OrderCreatedEvent"}), "orders") is messages
    assert created(messages, None) is messages


def test_a_caller_does_not_choose_what_is_recorded(recorded: list[FinishedSpan]) -> None:
    context = begin(CALLER)

    assert context.trace_id == CALLER.trace_id
    assert not context.is_sampled
    assert not recorded


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_about_the_wanted_share_of_all_traces_is_sampled(ratio: float) -> None:
    random.seed(1)
    tracing.install(Tracing(lambda _: None, ratio))
    try:
        sampled = sum(begin().is_sampled for _ in range(2000))
    finally:
        tracing.install(None)

    assert abs(sampled / 2000 - ratio) < 0.05


def test_a_trace_that_is_not_sampled_travels_and_makes_no_span(recorded: list[FinishedSpan]) -> None:
    (sent,) = decided([message()], UNSAMPLED, None, NOTHING, "orders")
    span = processing(record(**UNSAMPLED.headers), "inventory-service")
    moved("send", "send", ["order-events"], [sent.headers], 0, {})
    committed("orders", "COMMIT", 1, [UNSAMPLED, None], 0, None)

    assert sent.headers["traceparent"] == UNSAMPLED.traceparent
    assert span is None
    assert TRACE.get() == UNSAMPLED
    assert not recorded


def test_a_message_carries_the_span_of_its_creation_and_its_handler_goes_on_from_there(
    recorded: list[FinishedSpan],
) -> None:
    (sent,) = decided([message()], CALLER, None, NOTHING, "orders")
    span = processing(record(**sent.headers), "inventory-service")
    assert span is not None
    with span:
        assert TRACE.get() == span.context

    create, process = recorded
    assert (create.name, create.kind, create.parent) == ("create order-events", Kind.PRODUCER, CALLER)
    assert trace_in(sent.headers) == create.context
    assert (process.name, process.kind, process.parent) == ("process order-events", Kind.CONSUMER, create.context)
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "order-events",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 41,
        "messaging.consumer.group.name": "inventory-service",
        "messaging.message.id": "7",
        "messaging.message.conversation_id": "order-7",
        "oms.message.type": "OrderCreatedEvent",
    }


@pytest.mark.parametrize("later", [False, True])
def test_what_is_handled_later_or_by_wish_begins_a_trace_with_a_link(recorded: list[FinishedSpan], later: bool) -> None:
    if not later:
        tracing.install(Tracing(recorded.append, 0.0, TraceMessages.LINK))
    span = processing(record(**CALLER.headers), "inventory-service", later=later)
    assert span is not None
    with span:
        pass

    (process,) = recorded
    assert process.parent is None
    assert process.context.trace_id != CALLER.trace_id
    assert process.links == (CALLER,)


def test_a_handler_that_fails_is_an_error_of_its_span(recorded: list[FinishedSpan]) -> None:
    span = processing(record(**CALLER.headers), "inventory-service")
    assert span is not None
    with pytest.raises(LookupError), span:
        raise LookupError

    (process,) = recorded
    assert (process.error, process.attributes["error.type"]) == ("LookupError", "LookupError")


def test_what_nobody_waits_for_begins_a_trace_with_a_link_to_the_first(recorded: list[FinishedSpan]) -> None:
    (sent,) = decided([message()], None, CALLER.traceparent, NOTHING, "orders")

    create, root = recorded
    assert (root.name, root.parent, root.links) == ("decide orders", None, (CALLER,))
    assert root.context.trace_id != CALLER.trace_id
    assert create.parent == root.context
    assert trace_in(sent.headers) == create.context


def test_an_order_that_is_taken_back_is_recorded_from_there_on(recorded: list[FinishedSpan]) -> None:
    sent = decided([message("OrderCancelledEvent"), message("RefundPayment")], UNSAMPLED, None,
                   frozenset({"OrderCancelledEvent"}), "orders")  # fmt: skip

    assert [span.name for span in recorded] == ["create order-events", "create order-events", "decide orders"]
    assert {span.context.trace_id for span in recorded} == {UNSAMPLED.trace_id}
    assert all(trace.is_sampled for each in sent if (trace := trace_in(each.headers)))
    assert recorded[-1].parent == UNSAMPLED


def test_a_batch_links_to_128_of_its_messages_and_counts_the_others(recorded: list[FinishedSpan]) -> None:
    headers = [context_of(f"{number:032x}", "1" * 16, is_sampled=True).headers for number in range(1, 201)]

    moved("send", "send", ["order-events", "payment-commands"], [*headers, {}], 0, {}, "KafkaError")

    (send,) = recorded
    assert (send.name, send.kind) == ("send order-events, payment-commands", Kind.CLIENT)
    assert len(send.links) == 128
    assert send.attributes["oms.links.left_out"] == 72
    assert send.attributes["messaging.batch.message_count"] == 201
    assert send.error == "KafkaError"


def test_a_commit_links_to_all_who_wait_for_it_and_shows_in_the_trace_of_the_first(
    recorded: list[FinishedSpan],
) -> None:
    other = context_of("2" * 32, "3" * 16, is_sampled=True)

    committed("orders", "COMMIT", 4, [None, UNSAMPLED, other, CALLER], 0, None)

    (commit,) = recorded
    assert (commit.name, commit.parent, commit.links) == ("COMMIT orders", other, [other, CALLER])
    assert commit.attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "COMMIT",
        "db.query.summary": "COMMIT orders",
        "db.operation.batch.size": 4,
    }


def test_after_a_span_the_one_before_is_current_again(recorded: list[FinishedSpan]) -> None:
    before = TRACE.get()
    with Span("outer", Kind.INTERNAL, CALLER):
        with Span("inner", Kind.INTERNAL, UNSAMPLED):
            assert TRACE.get() == UNSAMPLED
        assert TRACE.get() == CALLER

    assert TRACE.get() == before
    assert [span.name for span in recorded] == ["outer"], "an unsampled span is not recorded"


def test_ids_are_not_repeated() -> None:
    contexts = [begin() for _ in range(1000)]

    assert len({context.trace_id for context in contexts}) == len({context.span_id for context in contexts}) == 1000
