"""Compares two JSON Schemas of the same thing: what a reader of the earlier one could not live with in the later one.

The schemas are those that our generators write: no `not`, no conditions, and `allOf` of one part only. `$ref` is
resolved in the schema's own document.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

Schema = Mapping[str, Any]

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("pattern", "format", "contentEncoding", "multipleOf", "uniqueItems")
_KINDS = ("string", "integer", "number", "boolean", "null", "object", "array")


class Role(Enum):
    """Who is affected by a change.

    WRITTEN is sent to readers that we do not know: every field stays, with the values that it had. READ comes from
    writers that we do not know: everything that was taken is taken, and nothing more is required.
    """

    WRITTEN = auto()
    READ = auto()


@dataclass(frozen=True, slots=True)
class Change:
    """A change that breaks somebody: the field's path, which is empty for the whole, and what became of it."""

    path: str
    what: str


@dataclass(frozen=True, slots=True)
class _Documents:
    """Where the references of both schemas lead."""

    old: Mapping[str, Any]
    new: Mapping[str, Any]


def breaking_changes(
    old: Schema, new: Schema, role: Role, *, within: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})
) -> Iterator[Change]:
    """Every change from `old` to `new` that breaks somebody. `within` are the documents that they are parts of."""
    yield from _compared(old, new, role, _Documents(*within), "", frozenset())


def unreadable(written: Schema, read: Schema, path: str = "") -> Iterator[Change]:
    """What a reader wants and a message may lack, or have in another type. Bounds and formats are left aside: they are
    the reader's own rules for values."""
    kinds, wanted = _by_kind(written, {}), _by_kind(read, {})
    if refused := [kind for kind in kinds if not _takes(wanted, kind)]:
        yield Change(path, f"may be {_or(refused)}, which is not read")
    for kind in kinds.keys() & wanted.keys():
        for inner, outer in zip(kinds[kind], wanted[kind], strict=False):
            if kind == "array":
                yield from unreadable(inner.get("items", {}), outer.get("items", {}), path)
            for name in outer.get("required", ()):
                if name not in inner.get("required", ()):
                    yield Change(_join(path, name), "may be missing, but is read")
            for name, field in outer.get("properties", {}).items():
                if name in inner.get("properties", {}):
                    yield from unreadable(inner["properties"][name], field, _join(path, name))


def _compared(
    old: Schema, new: Schema, role: Role, documents: _Documents, path: str, seen: frozenset[tuple[str, str]]
) -> Iterator[Change]:
    if not old and not new:  # anything before, and anything now
        return
    references = (str(old.get("$ref", "")), str(new.get("$ref", "")))
    if all(references):
        if references in seen:
            return
        seen |= {references}
    kinds, now = _by_kind(old, documents.old), _by_kind(new, documents.new)
    gone = [kind for kind in kinds if not _takes(now, kind)]
    come = [kind for kind in now if not _takes(kinds, kind)]
    if gone and come:
        yield Change(path, f"was {_or(kinds)} and is {_or(now)}")
        return
    if gone:
        yield Change(path, f"is no longer {_or(gone)}")
    if come and role is Role.WRITTEN:
        yield Change(path, f"may now be {_or(come)}")
    for kind in kinds:
        if kind in now:
            yield from _compared_kind(kind, (kinds[kind], now[kind]), role, documents, path, seen)


def _compared_kind(
    kind: str,
    alternatives: tuple[Sequence[Schema], Sequence[Schema]],
    role: Role,
    documents: _Documents,
    path: str,
    seen: frozenset[tuple[str, str]],
) -> Iterator[Change]:
    before, now = alternatives
    if len(before) != 1 or len(now) != 1:  # several of a kind are compared as they stand
        if any(each not in now for each in before) or (
            role is Role.WRITTEN and any(each not in before for each in now)
        ):
            yield Change(path, f"has other alternatives of {kind}")
        return
    old, new = before[0], now[0]
    yield from _values(old, new, role, path)
    if kind == "array":
        yield from _compared(old.get("items", {}), new.get("items", {}), role, documents, path, seen)
    if kind == "object":
        yield from _fields(old, new, role, path)
        for name, field in old.get("properties", {}).items():
            if name in new.get("properties", {}):
                inner = new["properties"][name]
                yield from _compared(field, inner, role, documents, _join(path, name), seen)
        rest, rest_now = old.get("additionalProperties", {}), new.get("additionalProperties", {})
        if isinstance(rest, Mapping) and isinstance(rest_now, Mapping):
            yield from _compared(rest, rest_now, role, documents, _join(path, "*"), seen)


def _fields(old: Schema, new: Schema, role: Role, path: str) -> Iterator[Change]:
    fields, fields_now = old.get("properties", {}), new.get("properties", {})
    required, required_now = old.get("required", ()), new.get("required", ())
    for name in fields:
        if name not in fields_now:
            yield Change(_join(path, name), "is gone")
        elif role is Role.WRITTEN and name in required and name not in required_now:
            yield Change(_join(path, name), "may be missing now")
    for name in required_now:
        if role is Role.READ and name not in required:
            yield Change(_join(path, name), "is required now")
    if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
        yield Change(path, "takes no further fields now")


def _values(old: Schema, new: Schema, role: Role, path: str) -> Iterator[Change]:
    values, values_now = _listed(old), _listed(new)
    if values_now is not None and (lost := [value for value in values or () if value not in values_now]):
        yield Change(path, f"is no longer {_or(map(repr, lost))}")
    elif values_now is not None and values is None:
        yield Change(path, f"is nothing but {_or(map(repr, values_now))} now")
    if role is Role.WRITTEN and values is not None:
        if values_now is None:
            yield Change(path, "may be anything now")
        elif added := [value for value in values_now if value not in values]:
            yield Change(path, f"may now be {_or(map(repr, added))}")
    for name in (*_LOWER, *_UPPER, *_EXACT):
        if old.get(name) != new.get(name) and (role is Role.WRITTEN or _narrows(name, old.get(name), new.get(name))):
            yield Change(path, f"had {name} {_shown(old.get(name))} and has {_shown(new.get(name))}")


def _narrows(name: str, old: Any, new: Any) -> bool:
    if new is None or old is None or name in _EXACT:
        return new is not None
    return bool(new > old) if name in _LOWER else bool(new < old)


def _by_kind(schema: Schema, document: Mapping[str, Any]) -> dict[str, list[Schema]]:
    """The alternatives of a schema by the JSON type that they are about. Without a type it is every type."""
    if "$ref" in schema:
        return _by_kind(_resolved(schema["$ref"], document), document)
    options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if options:
        kinds: dict[str, list[Schema]] = {}
        for option in options:
            for kind, alternatives in _by_kind(option, document).items():
                kinds.setdefault(kind, []).extend(alternatives)
        return kinds
    named = schema.get("type")
    if named is None:
        listed = _listed(schema)
        named = _KINDS if listed is None else sorted({_kind_of(value) for value in listed})
    return {kind: [schema] for kind in ([named] if isinstance(named, str) else named)}


def _resolved(reference: str, document: Mapping[str, Any]) -> Schema:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    schema: Schema = found
    return schema


def _takes(kinds: Mapping[str, Any], kind: str) -> bool:
    return kind in kinds or (kind == "integer" and "number" in kinds)


def _listed(schema: Schema) -> Sequence[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _kind_of(value: Any) -> str:
    for type_, kind in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (type(None), "null")):
        if isinstance(value, type_):
            return kind
    return "object" if isinstance(value, Mapping) else "array"


def _or(words: Any) -> str:
    return " or ".join(words)


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
