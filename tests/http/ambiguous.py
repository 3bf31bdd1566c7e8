"""Requests that two readers could understand differently, and what a smuggler would hide behind one."""

EVIL = b"POST /evil HTTP/1.1\r\nHost: oms\r\nContent-Length: 0\r\n\r\n"


def head_with(more: bytes, line: bytes = b"POST /orders HTTP/1.1") -> bytes:
    """The head of a request."""
    return line + b"\r\nHost: oms\r\n" + more + b"\r\n"


AMBIGUOUS = [
    head_with(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") + b"0\r\n\r\n" + EVIL,
    head_with(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n" + EVIL,
    head_with(b"Content-Length: 0\r\nContent-Length: 54\r\n") + EVIL,
    head_with(b"Content-Length: 5, 5\r\n") + b"hello" + EVIL,
    head_with(b"Content-Length: +5\r\n") + b"hello" + EVIL,
    head_with(b"Content-Length : 5\r\n") + b"hello" + EVIL,
    head_with(b"Transfer-Encoding: gzip\r\n") + EVIL,
    head_with(b"Transfer-Encoding: chunked, gzip\r\n") + b"0\r\n\r\n" + EVIL,
    head_with(b"Transfer-Encoding: chunked\r\n") + b"0x5\r\nhello\r\n0\r\n\r\n" + EVIL,
    b"POST /orders HTTP/1.1\nHost: oms\n\n" + EVIL,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EVIL,
    b"\x16\x03\x01\x02\x00\x01\x00" + EVIL,
    b"GET /\xc3\xa9 HTTP/1.1\r\nHost: oms\r\n\r\n" + EVIL,
]
