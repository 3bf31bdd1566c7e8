"""Tokens that must not be believed, by what is wrong with them."""

import time

from http_api.access.access_tokens import MAX_TOKEN
from tests.access import issuer

_NOW = int(time.time())
REFUSED = {
    "signed by a stranger": issuer.strangers_token(),
    "not signed": issuer.unsigned(),
    "not signed, in capitals": issuer.unsigned(algorithm="NONE"),
    "signed by HMAC with the public key": issuer.confused(),
    "expired": issuer.token(exp=_NOW - 40),
    "not valid yet": issuer.token(nbf=_NOW + issuer.A_DAY),
    "issued in the future": issuer.token(iat=_NOW + issuer.A_DAY),
    "for another audience": issuer.token(aud="payroll"),
    "of another issuer": issuer.token(iss="https://evil.example"),
    "without an expiry": issuer.token(exp=None),
    "without an audience": issuer.token(aud=None),
    "without an issuer": issuer.token(iss=None),
    "without a subject": issuer.token(sub=None),
    "with an expiry that is no number": issuer.token(exp="soon"),
    "with an infinite expiry": issuer.token(exp=float("inf")),
    "with an empty subject": issuer.token(sub=""),
    "with a subject of control characters": issuer.token(sub="a\nb"),
    "with a subject that is too long": issuer.token(sub="x" * 256),
    "with the subject to whom orders without a caller belong": issuer.token("anonymous", ["orders:read"]),
    "an id token": issuer.token(head={"typ": "id_token+jwt"}),
    "of a type that is no text": issuer.token(head={"typ": "dpop+jwt"}),
    "with a critical extension": issuer.token(head={"crit": ["exp"]}),
    "with a key of its own": issuer.with_head({"alg": "RS256", "jwk": issuer.jwk("r")}),
    "with a key at its own address": issuer.with_head({"alg": "RS256", "jku": "https://evil.example/keys"}),
    "without a key id": issuer.with_head({"alg": "RS256"}),
    "with a key id that is no text": issuer.with_head({"alg": "RS256", "kid": ["r"]}),
    "with a key id that is a path": issuer.with_head({"alg": "RS256", "kid": "../../../dev/null"}),
    "with a key id of another algorithm": issuer.with_head({"alg": "ES256", "kid": "r"}),
    "with an algorithm that is no text": issuer.with_head({"alg": ["RS256"], "kid": "r"}),
    "nested deeply": issuer.with_head({"alg": "RS256", "kid": "r"}, b"[" * 5000),
    "too long": issuer.token(padding="x" * MAX_TOKEN),
    "no token at all": "abc",
    "only dots": "..",
    "not base64": "!!.!!.!!",
    "cut short": issuer.token()[:-10],
    "with another signature's end": issuer.token()[:-6] + "AAAAAA",
}
