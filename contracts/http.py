"""Compares what is asked and answered over HTTP: paths, parameters, bodies and answers."""

from collections.abc import Iterator, Mapping
from typing import Any

from contracts.problem import Problem
from contracts.schema_changes import Role, breaking_changes

Document = Mapping[str, Any]

KEEP = "take that back, or offer it on a path of its own beside this one"
LEAVE = "bring it back, and let a release say first that it is deprecated"
_METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


def http_problems(old: Document, new: Document, *, retired: frozenset[str] = frozenset()) -> Iterator[Problem]:
    """Why clients of the old release could not go on. What is `retired` may be gone."""
    operations = dict(_operations(new))
    for name, operation in _operations(old):
        if name in retired:
            continue
        if name not in operations:
            yield Problem(name, "", "is gone", LEAVE)
            continue
        within = (old, new)
        yield from _credentials(name, operation, operations[name], within)
        yield from _parameters(name, operation, operations[name], within)
        yield from _bodies(name, operation, operations[name], within)
        yield from _answers(name, operation, operations[name], within)


def retired_operations(releases: list[Document]) -> frozenset[str]:
    """The operations that may be gone: the last release that had them called them deprecated."""
    last = {name: operation for release in releases for name, operation in _operations(release)}
    return frozenset(name for name, operation in last.items() if operation.get("deprecated", False))


def _operations(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                yield f"{method.upper()} {path}", operations[method]


def _credentials(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], within: tuple[Document, Document]
) -> Iterator[Problem]:
    before, now = (
        operation.get("security", document.get("security", []))
        for operation, document in zip((old, new), within, strict=True)
    )
    if now and any(each not in now for each in before or [{}]):
        yield Problem(name, "", "wants other credentials now", KEEP)


def _parameters(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], within: tuple[Document, Document]
) -> Iterator[Problem]:
    before, now = (
        {(each["in"], each["name"]): each for each in operation.get("parameters", ())} for operation in (old, new)
    )
    for key, parameter in now.items():
        if parameter.get("required", False) and not before.get(key, {}).get("required", False):
            yield Problem(name, f"the {_parameter(key)}", "is required now", KEEP)
    for key, parameter in before.items():
        if key not in now:
            yield Problem(name, f"the {_parameter(key)}", "is gone", KEEP)
            continue
        for change in breaking_changes(parameter["schema"], now[key]["schema"], Role.READ, within=within):
            yield Problem(name, f"the {_parameter(key)}", change.what, KEEP)


def _parameter(key: tuple[str, str]) -> str:
    kind, name = key
    return f"{'header' if kind == 'header' else f'{kind} parameter'} {name}"


def _bodies(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], within: tuple[Document, Document]
) -> Iterator[Problem]:
    before, now = (operation.get("requestBody", {}) for operation in (old, new))
    if now.get("required", False) and not before.get("required", False):
        yield Problem(name, "the body", "is required now", KEEP)
    yield from _contents(name, "the body", before, now, Role.READ, within)


def _answers(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], within: tuple[Document, Document]
) -> Iterator[Problem]:
    for status, answer in old["responses"].items():
        where = f"the answer {status}"
        now = new["responses"].get(status)
        if now is None:
            yield Problem(name, where, "is gone", KEEP)
            continue
        for header in answer.get("headers", {}):
            if header not in now.get("headers", {}):
                yield Problem(name, f"{header}, a header of {where},", "is gone", KEEP)
        yield from _contents(name, where, answer, now, Role.WRITTEN, within)


def _contents(
    name: str,
    where: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    role: Role,
    within: tuple[Document, Document],
) -> Iterator[Problem]:
    for media_type, content in old.get("content", {}).items():
        now = new.get("content", {}).get(media_type)
        if now is None:
            yield Problem(name, where, f"is no longer {media_type}", KEEP)
            continue
        for change in breaking_changes(content.get("schema", {}), now.get("schema", {}), role, within=within):
            field = f"{change.path} in {where}" if change.path else where
            yield Problem(name, field, change.what, KEEP)
