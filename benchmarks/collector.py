"""A collector of traces that throws them away. With HANGS=1 it never answers."""

import asyncio
import os
from typing import Any

_HANGS = bool(os.environ.get("HANGS"))


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Read a request to its end, and accept it."""
    if scope["type"] != "http":
        raise ValueError(f"this is for requests, and not for {scope['type']}")
    while (await receive()).get("more_body"):
        pass
    if _HANGS:
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
