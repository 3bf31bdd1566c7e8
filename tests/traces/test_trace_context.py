"""Reading and writing the headers of W3C Trace Context."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.ports.trace_context import context_of, is_sampled, trace_in, trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
HEX = "0123456789abcdef"


def digits(count: int) -> st.SearchStrategy[str]:
    """So many hexadecimal digits, not all of them zero."""
    return st.text(HEX, min_size=count, max_size=count).filter(lambda text: text.strip("0") != "")


@given(digits(32), digits(16), st.booleans(), st.sampled_from(["", "vendor=1,other=2"]))
def test_what_is_written_is_read_again(trace_id: str, span_id: str, sampled: bool, state: str) -> None:
    written = context_of(trace_id, span_id, is_sampled=sampled, state=state)

    assert trace_in(written.headers) == written
    assert (written.trace_id, written.span_id) == (trace_id, span_id)
    assert is_sampled(written.headers) == sampled


@given(st.text(max_size=80))
def test_any_text_is_a_span_or_none(text: str) -> None:
    read = trace_of(text)

    assert read is None or read.traceparent[3:] == text[3:55]


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00_{TRACE}_{SPAN}_01",
    ],
)
def test_what_is_not_a_traceparent_is_none(traceparent: str) -> None:
    assert trace_of(traceparent) is None


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_one_bit_of_the_flags_says_whether_it_is_sampled(flags: str, sampled: bool) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"}
    read = trace_in(headers)

    assert read is not None
    assert read.is_sampled is is_sampled(headers) is sampled


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    read = trace_of(f"cc-{TRACE}-{SPAN}-01-what-comes-later")

    assert read is not None
    assert read.traceparent == f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("state", ["x" * 513, "a=\x00", "a=\u00fc"])
def test_a_state_that_cannot_be_passed_on_is_left_out(state: str) -> None:
    read = trace_of(f"00-{TRACE}-{SPAN}-01", state)

    assert read is not None
    assert read.state == ""
