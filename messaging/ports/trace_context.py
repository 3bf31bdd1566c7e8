"""The trace that the current work belongs to (W3C Trace Context). It travels in the headers of requests and of
messages."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_LENGTH = 55
_LONGEST_STATE = 512
_SAFE_STATE = re.compile(r"[\x20-\x7e]*")
_SAMPLED = frozenset("13579bdf")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span of a trace. `traceparent` is 00-{trace id}-{span id}-{flags}. `is_sampled` says that the trace is
    recorded. `state` is what other vendors pass along."""

    traceparent: str
    is_sampled: bool
    state: str = ""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return self.traceparent[36:52]

    @property
    def headers(self) -> dict[str, str]:
        """The headers that carry it."""
        if self.state:
            return {TRACEPARENT: self.traceparent, TRACESTATE: self.state}
        return {TRACEPARENT: self.traceparent}


TRACE: ContextVar[TraceContext | None] = ContextVar("trace", default=None)
"""The span of the current work. None while traces are off, and in work that no request or message has begun."""


def context_of(trace_id: str, span_id: str, *, is_sampled: bool, state: str = "") -> TraceContext:
    """The context of these ids."""
    return TraceContext(f"00-{trace_id}-{span_id}-{'01' if is_sampled else '00'}", is_sampled, state)


def is_sampled(headers: Mapping[str, str]) -> bool:
    """True if these headers may be of a sampled trace. Quicker than `trace_in`, which knows it for sure."""
    return headers.get(TRACEPARENT, "")[54:55] in _SAMPLED


def trace_in(headers: Mapping[str, str]) -> TraceContext | None:
    """The span that has sent these headers, or None if they name no valid one."""
    traceparent = headers.get(TRACEPARENT)
    return trace_of(traceparent, headers.get(TRACESTATE, "")) if traceparent is not None else None


def trace_of(traceparent: str, state: str = "") -> TraceContext | None:
    """The span of the headers' values, or None. A version that is not known yet begins as version 00 does."""
    if not _FORM.fullmatch(traceparent):
        return None
    if not traceparent.startswith("00"):
        traceparent = f"00{traceparent[2:_LENGTH]}"
    if len(traceparent) > _LENGTH:
        return None
    if state and (len(state) > _LONGEST_STATE or not _SAFE_STATE.fullmatch(state)):
        state = ""
    return TraceContext(traceparent, traceparent[-1] in _SAMPLED, state)
