"""Which addresses may be spoken to without encryption."""

import ipaddress
from typing import Final

import httpx

NO_NAME: Final = "has a host name with a part that is empty or longer than 63 letters"
NO_PORT: Final = "has a port that is not a number from 1 to 65535"


def is_this_machine(host: str) -> bool:
    """True for addresses that only this machine reaches. What is sent there needs no encryption."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def can_be_a_name(host: str) -> bool:
    """False for a host name that cannot be asked for, because a part of it is empty or longer than 63 letters."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def is_port(text: str) -> bool:
    """True for a number from 1 to 65535."""
    return text.isascii() and text.isdecimal() and 0 < int(text) < 65536


def encrypted_address(value: str) -> str:
    """The value, if what is sent to this URL is encrypted, or stays on this machine. Raises ValueError."""
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        url = httpx.URL()
    stays = url.scheme == "http" and is_this_machine(url.host)
    if not (stays or url.scheme == "https") or not url.host or url.userinfo or url.fragment:
        raise ValueError("must be an https:// address (http:// only on this machine) without a user and a password")
    return value
