"""An issuer of access tokens: it publishes the key set in its environment, at every path."""

import os

from starlette.types import Receive, Scope, Send

_KEY_SET = os.environ["KEY_SET"].encode()


async def app(scope: Scope, _: Receive, send: Send) -> None:
    """Answer with the key set."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": _KEY_SET})
