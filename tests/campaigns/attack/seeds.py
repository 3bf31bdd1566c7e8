"""What the fuzzers begin with: what a decoder accepts, so that what they change is not refused at its first byte."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from http_api.cursor import encode_cursor
from tests.access import issuer
from tests.access.refused_tokens import REFUSED
from tests.campaigns.attack.decoders import MESSAGES
from tests.real_parts.order_process import ORDER

_ORDER = UUID("019ab1f0-6c1e-7c8a-9d3e-0b5f6a7c8d9e")
_ANSWERS = (
    b'{"status":"captured","reference":"ch_1"}',
    b'{"status":"declined","reason":"over the limit","amount":12.50}',
)
_CODINGS: Sequence[Callable[[bytes], bytes]] = (bytes, gzip.compress, zlib.compress)
"""In the order in which the decoder takes them."""

SEEDS: Mapping[str, Sequence[bytes]] = {
    "body": [json.dumps(ORDER | others).encode() for others in ({}, {"customerId": "shop-7"})],
    "token": [token.encode() for token in (*(issuer.token(key_id=key) for key in issuer.KEYS), *REFUSED.values())],
    "key_set": [issuer.key_set(), *(issuer.key_set(key) for key in issuer.KEYS)],
    "record": [bytes([number]) + message.value for number, message in enumerate(MESSAGES)],
    "cursor": [encode_cursor(_ORDER.bytes).encode()],
    "gateway": [bytes([number]) + coding(answer) for number, coding in enumerate(_CODINGS) for answer in _ANSWERS],
}
