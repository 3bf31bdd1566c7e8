"""Tracing: the spans of a trace, and the decision which traces are recorded.

A trace that is not sampled costs an id at its begin and a header for each message. No span is made for it. While traces
are off, `is_on` is False and no more than that is asked.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, TypeAlias

from messaging.engine import conventions as names
from messaging.ports.trace_context import TRACE, TraceContext, context_of
from shared_kernel.choice import Choice

MOST_LINKS = 128

Value: TypeAlias = str | int | bool


class Kind(Choice):
    """The kind of a span."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


class TraceMessages(Choice):
    """TRACE_MESSAGES: whether processing a message continues the trace of its creation, or begins one that links to
    it."""

    CHILD = "child"
    LINK = "link"


class FinishedSpan(NamedTuple):
    """A span that has ended. Times are nanoseconds since 1970. `error` is the type of what went wrong."""

    name: str
    kind: Kind
    context: TraceContext
    parent: TraceContext | None
    links: Sequence[TraceContext]
    attributes: Mapping[str, Value]
    began: int
    ended: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Tracing:
    """How traces are recorded. `ratio` is the share of the traces that is sampled. `system` moves the messages."""

    record: Callable[[FinishedSpan], None]
    ratio: float
    messages: TraceMessages = TraceMessages.CHILD
    system: str = "kafka"


_tracing: Tracing | None = None


def install(tracing: Tracing | None) -> None:
    """Record traces from now on, or no longer."""
    global _tracing
    _tracing = tracing


def is_on() -> bool:
    """True while traces are recorded."""
    return _tracing is not None


def messages_are() -> TraceMessages:
    """How the processing of a message relates to its creation."""
    return _tracing.messages if _tracing is not None else TraceMessages.CHILD


def system() -> str:
    """What moves the messages."""
    return _tracing.system if _tracing is not None else "none"


def begin(caller: TraceContext | None = None, *, sampled: bool = False) -> TraceContext:
    """The context of a new trace, or of a span below a caller's. We do not know the caller, so its trace goes on, but
    whether it is sampled is decided here. One that must be `sampled` is not left to chance."""
    chosen = sampled or (_tracing is not None and random.random() < _tracing.ratio)  # noqa: S311  not a secret
    if caller is None:
        return context_of(f"{random.getrandbits(128) or 1:032x}", _span_id(), is_sampled=chosen)
    return context_of(caller.trace_id, _span_id(), is_sampled=chosen, state=caller.state)


def child_of(parent: TraceContext, *, sampled: bool = False) -> TraceContext:
    """The context of a new span in the same trace. It may be `sampled` although its parent is not."""
    return context_of(parent.trace_id, _span_id(), is_sampled=parent.is_sampled or sampled, state=parent.state)


def exemplar() -> dict[str, str] | None:
    """The sampled trace to which an observation belongs, for a histogram."""
    trace = TRACE.get()
    return {"trace_id": trace.trace_id} if trace is not None and trace.is_sampled else None


class Span:
    """A span that is recorded when its block ends. Within the block it is the current one, sampled or not.
    Attributes may be added until then."""

    __slots__ = ("_began", "_token", "attributes", "context", "error", "kind", "links", "name", "parent")

    def __init__(
        self,
        name: str,
        kind: Kind,
        context: TraceContext,
        *,
        parent: TraceContext | None = None,
        links: Sequence[TraceContext] = (),
        attributes: dict[str, Value] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.context = context
        self.parent = parent
        self.links = links
        self.attributes = attributes if attributes is not None else {}
        self.error: str | None = None

    def __enter__(self) -> "Span":
        self._token = TRACE.set(self.context)
        self._began = time.time_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        TRACE.reset(self._token)
        if self.context.is_sampled:
            if kind is not None:
                self.error = kind.__name__
            record(
                self.name,
                self.kind,
                self.context,
                self._began,
                parent=self.parent,
                links=self.links,
                attributes=self.attributes,
                error=self.error,
            )


def record(
    name: str,
    kind: Kind,
    context: TraceContext,
    began: int,
    *,
    parent: TraceContext | None = None,
    links: Sequence[TraceContext] = (),
    attributes: dict[str, Value],
    error: str | None = None,
) -> None:
    """Record a span that ends now. Of its links the first 128 are recorded, and the others are counted."""
    if _tracing is None:
        return
    if len(links) > MOST_LINKS:
        attributes[names.LINKS_LEFT_OUT] = len(links) - MOST_LINKS
        links = links[:MOST_LINKS]
    if error is not None:
        attributes[names.ERROR_TYPE] = error
    _tracing.record(FinishedSpan(name, kind, context, parent, links, attributes, began, time.time_ns(), error))


def _span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"
