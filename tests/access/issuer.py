"""An issuer of access tokens, and the forgeries that it would never sign."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from http_api.access.access_tokens import Rules

ISSUER = "https://issuer.example"
AUDIENCE = "orders"
A_DAY = 86_400
"""Seconds. Some tokens are made when the tests are collected, and used when their turn comes."""
RULES = Rules(ISSUER, AUDIENCE, leeway=30.0)

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
STRANGERS_KEY = rsa.generate_private_key(65537, 2048)

KEYS: Mapping[str, tuple[Any, str]] = {"r": (RSA_KEY, "RS256"), "e": (EC_KEY, "ES256"), "d": (ED_KEY, "EdDSA")}
_JWKS: Mapping[str, Any] = {"r": RSAAlgorithm, "e": ECAlgorithm, "d": OKPAlgorithm}


def jwk(key_id: str) -> dict[str, Any]:
    """The public key as the issuer publishes it."""
    public: dict[str, Any] = json.loads(_JWKS[key_id].to_jwk(KEYS[key_id][0].public_key()))
    return public | {"kid": key_id, "use": "sig", "alg": KEYS[key_id][1]}


def key_set(*key_ids: str) -> bytes:
    """The key set with these keys, or with all of them."""
    return json.dumps({"keys": [jwk(key_id) for key_id in key_ids or KEYS]}).encode()


def claims(name: str = "shop", scopes: Sequence[str] = (), **others: Any) -> dict[str, Any]:
    """The claims of a good token."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": name, "iat": now, "exp": now + A_DAY, "scope": " ".join(scopes)}
    return {key: value for key, value in (said | others).items() if value is not None}


def token(
    name: str = "shop",
    scopes: Sequence[str] = (),
    *,
    key_id: str = "r",
    head: Mapping[str, Any] | None = None,
    **said: Any,
) -> str:
    """A token that the issuer has signed."""
    key, algorithm = KEYS[key_id]
    return jwt.encode(claims(name, scopes, **said), key, algorithm, {"kid": key_id, "typ": "at+jwt"} | dict(head or {}))


def strangers_token(name: str = "shop", scopes: Sequence[str] = ()) -> str:
    """A token that somebody else has signed, under the name of the issuer's key."""
    return jwt.encode(claims(name, scopes), STRANGERS_KEY, "RS256", {"kid": "r", "typ": "at+jwt"})


def unsigned(name: str = "shop", scopes: Sequence[str] = (), algorithm: str = "none") -> str:
    """A token whose algorithm is none."""
    return ".".join([_part({"alg": algorithm, "kid": "r", "typ": "at+jwt"}), _part(claims(name, scopes)), ""])


def confused(name: str = "shop", scopes: Sequence[str] = ()) -> str:
    """A token that is signed by HMAC, with the issuer's public key as the secret."""
    secret = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{_part({'alg': 'HS256', 'kid': 'r', 'typ': 'at+jwt'})}.{_part(claims(name, scopes))}"
    return f"{signed}.{_text(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def with_head(head: Mapping[str, Any], body: bytes = b"{}") -> str:
    """A token of this head and an invented signature."""
    return f"{_part(head)}.{_text(body)}.{_text(b'x' * 256)}"


def _part(document: Mapping[str, Any]) -> str:
    return _text(json.dumps(document).encode())


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
