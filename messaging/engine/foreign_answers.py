"""Answers of other companies' servers, which are bounded before they are believed."""

import httpx

AS_IT_IS = {"Accept-Encoding": "identity"}
"""The header that asks for no compression. A small answer could be decompressed to a huge one."""
JSON_AS_IT_IS = {"Accept": "application/json", **AS_IT_IS}

_PART = 64 * 1024


async def body_of(response: httpx.Response, most: int) -> bytes:
    """The body as it came, without decompression. Reading ends once there are more than `most` bytes."""
    body = bytearray()
    async for part in response.aiter_raw(min(most, _PART)):
        body += part
        if len(body) > most:
            break
    return bytes(body)
