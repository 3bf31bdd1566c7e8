"""The spans of messages and of the transactions that decide them.

A message carries the context of its `create` span, which is decided with the message and never changed. Whoever
processes the message continues that trace. Work that is done later than its message or its request (a passed deadline,
a parked record, a call that is made again) begins a new trace with a link.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

from messaging.engine import conventions as names
from messaging.engine.tracing import (
    Kind,
    Span,
    TraceMessages,
    Value,
    begin,
    child_of,
    is_on,
    messages_are,
    record,
    system,
)
from messaging.ports.message import Message
from messaging.ports.record import Record
from messaging.ports.trace_context import TRACE, TraceContext, is_sampled, trace_in, trace_of


def created(messages: Sequence[Message], trace: TraceContext | None) -> Sequence[Message]:
    """The messages with the context of their creation in their headers. A sampled one has a span of its own."""
    if trace is None or not messages:
        return messages
    if not trace.is_sampled:
        return [_with_headers(message, trace.headers) for message in messages]
    return [_created(message, trace) for message in messages]


def _created(message: Message, trace: TraceContext) -> Message:
    context, now = child_of(trace), time.time_ns()
    attributes = _operation("create", "create", message.topic) | {
        names.MESSAGE_ID: str(message.event_id),
        names.CONVERSATION_ID: message.key,
        names.MESSAGE_TYPE: message.type,
    }
    record(f"create {message.topic}", Kind.PRODUCER, context, now, parent=trace, attributes=attributes)
    return _with_headers(message, context.headers)


def _with_headers(message: Message, headers: Mapping[str, str]) -> Message:
    return Message(message.event_id, message.topic, message.key, {**message.headers, **headers}, message.value)


def decided(
    messages: Sequence[Message], trace: TraceContext | None, origin: str | None, always: frozenset[str], what: str
) -> Sequence[Message]:
    """The messages of a decision with the context of their creation.

    A decision that nobody waits for begins a new trace, with a link to the `origin`, which is the traceparent of the
    aggregate's creation. If one of the messages is of a type in `always`, the trace is recorded from here on.
    """
    if not is_on() or not messages:
        return messages
    matters = any(message.type in always for message in messages)
    if trace is not None and (trace.is_sampled or not matters):
        return created(messages, trace)
    first = trace_of(origin) if trace is None and origin else None
    matters = matters or (first is not None and first.is_sampled)
    context = child_of(trace, sampled=matters) if trace is not None else begin(sampled=matters)
    attributes: dict[str, Value] = {names.CONVERSATION_ID: messages[0].key}
    links = (first,) if first is not None else ()
    with Span(f"decide {what}", Kind.INTERNAL, context, parent=trace, links=links, attributes=attributes):
        return created(messages, context)


def processing(delivered: Record, group: str, *, later: bool = False) -> Span | None:
    """The span of handling a record. It continues the trace of the record's creation, or links to it if the record is
    handled `later` than it was delivered. None if that trace is not sampled: then its context is the current one."""
    creation, headers = trace_in(delivered.headers), delivered.headers
    links: Sequence[TraceContext] = ()
    if creation is None:
        parent, context = None, begin()
    elif later or messages_are() is TraceMessages.LINK:
        parent, context, links = None, begin(sampled=creation.is_sampled), (creation,)
    else:
        parent, context = creation, child_of(creation) if creation.is_sampled else creation
    if not context.is_sampled:
        TRACE.set(context)
        return None
    attributes = _operation("process", "process", delivered.topic) | {
        names.PARTITION: str(delivered.partition),
        names.OFFSET: delivered.offset,
        names.CONSUMER_GROUP: group,
        names.MESSAGE_ID: headers.get("ce_id", ""),
        names.CONVERSATION_ID: delivered.key,
        names.MESSAGE_TYPE: headers.get("ce_type", ""),
    }
    name = f"process {delivered.topic}"
    return Span(name, Kind.CONSUMER, context, parent=parent, links=links, attributes=attributes)


def moved(
    operation: str,
    operation_type: str,
    topics: Iterable[str],
    headers: Iterable[Mapping[str, str]],
    began: int,
    attributes: Mapping[str, Value],
    error: str | None = None,
) -> None:
    """Record that a batch of messages was sent or polled, if one of them belongs to a sampled trace. The span has a
    trace of its own, with links to their creations."""
    everyone = list(headers)
    sampled = [trace for each in everyone if is_sampled(each) and (trace := trace_in(each)) is not None]
    if not sampled:
        return
    where = ", ".join(sorted(set(topics)))
    facts = _operation(operation, operation_type, where) | {names.MESSAGE_COUNT: len(everyone)} | dict(attributes)
    record(
        f"{operation} {where}", Kind.CLIENT, begin(sampled=True), began, links=sampled, attributes=facts, error=error
    )


def committed(
    what: str, operation: str, writes: int, waiting: Iterable[TraceContext | None], began: int, error: str | None
) -> None:
    """Record a batch that the database has answered, if one of those who wait for it is sampled. It belongs to the
    trace of the first, and links to all of them."""
    sampled = [trace for trace in waiting if trace is not None and trace.is_sampled]
    if not sampled:
        return
    summary = f"{operation} {what}"
    attributes: dict[str, Value] = {
        names.DB_SYSTEM: "postgresql",
        names.DB_OPERATION: operation,
        names.DB_SUMMARY: summary,
        names.DB_BATCH_SIZE: writes,
    }
    first = sampled[0]
    record(
        summary, Kind.CLIENT, child_of(first), began, parent=first, links=sampled, attributes=attributes, error=error
    )


def _operation(name: str, operation_type: str, topic: str) -> dict[str, Value]:
    return {
        names.MESSAGING_SYSTEM: system(),
        names.OPERATION_NAME: name,
        names.OPERATION_TYPE: operation_type,
        names.DESTINATION: topic,
    }
