"""Whether an audit trail is as it was written.

Each entry has a hash of its own content. Each seal has a hash over the hashes of a range of entries and over the seal
before it. The ranges follow one another without a gap. So whoever changes, removes or inserts a sealed entry must make
all later seals anew, and a copy of one later seal that is kept elsewhere shows it.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID


class Tampered(Exception):
    """An entry or a seal is not as it was written. The text names the first one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table `audit`. `detail` is the text of a JSON object."""

    id: int
    at: datetime
    role: str
    who: str
    action: str
    outcome: str
    order_id: UUID | None
    detail: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """A row of the table `audit_seals`: a seal over the entries from `first_id` to `last_id`."""

    number: int
    at: datetime
    first_id: int
    last_id: int
    entries: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked and matches. `seals` are all of them, and `unsealed` counts the entries behind the last one."""

    entries: int
    unsealed: int
    seals: Sequence[Seal]


def content_hash(entry: Entry) -> bytes:
    """SHA-256 of the entry's fields, as a JSON array in PostgreSQL's form."""
    order_id = None if entry.order_id is None else str(entry.order_id)
    return _sha256(
        entry.id, _time(entry.at), entry.role, entry.who, entry.action, entry.outcome, order_id, entry.detail
    ).digest()


def seal_hash(seal: Seal, before: Seal | None, hashes: Iterable[bytes]) -> bytes:
    """SHA-256 of a seal's fields and of the seal before it, and then of the hashes of its entries."""
    return _opened(seal, before, b"".join(hashes)).digest()


def _opened(seal: Seal, before: Seal | None, hashes: bytes = b"") -> "hashlib._Hash":
    previous = before.hash.hex() if before is not None else None
    opened = _sha256(seal.number, _time(seal.at), seal.first_id, seal.last_id, seal.entries, previous)
    opened.update(hashes)
    return opened


def _sha256(*fields: str | int | None) -> "hashlib._Hash":
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode())


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Chain:
    """Checks entries in the order of their ids against the seals in the order of their numbers. Every method raises
    Tampered."""

    def __init__(self, seals: Sequence[Seal]) -> None:
        self._seals = seals
        self._next = 0
        self._before: Seal | None = None
        self._counted = 0
        self._checked = 0
        self._hash = self._begin()

    def add(self, entry: Entry) -> None:
        """Check the next entry."""
        while (seal := self._current) is not None and entry.id > seal.last_id:
            self._close(seal)
        if content_hash(entry) != entry.hash:
            raise Tampered(f"entry {entry.id} is not as it was written")
        self._checked += 1
        self._counted += 1
        self._hash.update(entry.hash)

    def end(self) -> Verified:
        """Check the last seals. To be called after the last entry."""
        while (seal := self._current) is not None:
            self._close(seal)
        return Verified(self._checked, self._counted, self._seals)

    @property
    def _current(self) -> Seal | None:
        return self._seals[self._next] if self._next < len(self._seals) else None

    def _begin(self) -> "hashlib._Hash":
        """The hash of the current seal, before its entries."""
        seal, before = self._current, self._before
        if seal is None:
            return hashlib.sha256()
        if (seal.number, seal.first_id) != ((before.number + 1, before.last_id + 1) if before is not None else (1, 1)):
            raise Tampered(f"seal {seal.number} does not follow the one before it: seals are missing or were changed")
        return _opened(seal, before)

    def _close(self, seal: Seal) -> None:
        if self._counted != seal.entries:
            raise Tampered(
                f"seal {seal.number} covers {seal.entries} entries from {seal.first_id} to {seal.last_id}, and "
                f"{self._counted} are there"
            )
        if self._hash.digest() != seal.hash:
            raise Tampered(
                f"seal {seal.number} does not match: it, or one of the entries from {seal.first_id} to "
                f"{seal.last_id}, is not as it was written"
            )
        self._before, self._counted = seal, 0
        self._next += 1
        self._hash = self._begin()
