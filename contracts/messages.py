"""Compares what is on Kafka: messages with their topics, keys, headers and payloads, and who reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

from contracts.problem import Problem
from contracts.schema_changes import Role, breaking_changes, unreadable

Document = Mapping[str, Any]

KEEP = "take that back, or send a new version beside this one (docs/events.md#versions)"
LEAVE = "send it beside its newer version until a release has called it deprecated (docs/events.md#versions)"
READ_ON = "read it as before, because messages of earlier releases are still on the topic"


def message_problems(old: Document, new: Document, *, retired: frozenset[str] = frozenset()) -> Iterator[Problem]:
    """Why consumers or producers of the old release could not go on. What is `retired` may be gone."""
    for name in _messages(old).keys() - retired:
        if name not in _messages(new):
            yield Problem(name, "", "is no longer sent", LEAVE)
        else:
            yield from _message(name, old, new)
    for name, message in _messages(new).items():
        if is_deprecated(message) and not has_newer(name, new):
            yield Problem(name, "", "is deprecated, but has no newer version", "add that version first")
    for address in _channels(old).keys() & _channels(new).keys():
        before, now = (_partitions(_channels(document)[address]) for document in (old, new))
        if before != now:
            keep = f"keep {before}, because with another number the messages of a key change their partition"
            yield Problem(address, "", f"had {before} partitions and has {now}", keep)
    yield from _readers(old, new, retired)


def unreadable_messages(
    released: Document, tree: Document, *, retired: frozenset[str] = frozenset()
) -> Iterator[Problem]:
    """What the consumers of the tree could not read of the messages that a release sent."""
    for who, schemas in _reads(tree):
        reads = {_kind(name): schema for name, schema in schemas.items()}
        for name, message in _messages(released).items():
            if name not in retired and _kind(name) in reads:
                for change in unreadable(message["payload"], reads[_kind(name)]):
                    yield Problem(name, change.path, f"{change.what} by {who.partition('.')[0]}", READ_ON)


def retired_messages(releases: list[Document], tree: Document) -> frozenset[str]:
    """The messages that may be gone: the last release that sent them called them deprecated and sent a newer version,
    which is sent still."""
    last = {name: release for release in releases for name in _messages(release)}
    return frozenset(
        name
        for name, release in last.items()
        if is_deprecated(_messages(release)[name]) and has_newer(name, release) and has_newer(name, tree)
    )


def is_deprecated(message: Mapping[str, Any]) -> bool:
    """Whether its payload says that it will no longer be sent."""
    return bool(message["payload"].get("deprecated", False))


def has_newer(name: str, document: Document) -> bool:
    """Whether a newer version of the same type is sent, and will be."""
    return any(
        _kind(other) == _kind(name) and _version(other) > _version(name) and not is_deprecated(message)
        for other, message in _messages(document).items()
    )


def _message(name: str, old: Document, new: Document) -> Iterator[Problem]:
    before, now = _messages(old)[name], _messages(new)[name]
    for topic in _topics_of(name, old) - _topics_of(name, new):
        yield Problem(name, "", f"is no longer on the topic {topic}", KEEP)
    parts = (
        ("payload", "", before["payload"], now["payload"]),
        ("headers", "header ", before.get("headers", {}), now.get("headers", {})),
        ("key", "key", before["bindings"]["kafka"]["key"], now["bindings"]["kafka"]["key"]),
    )
    for _, prefix, schema, schema_now in parts:
        for change in breaking_changes(schema, schema_now, Role.WRITTEN):
            yield Problem(name, prefix + change.path, change.what, KEEP)
    if before["contentType"] != now["contentType"]:
        yield Problem(name, "", f"was {before['contentType']} and is {now['contentType']}", KEEP)


def _readers(old: Document, new: Document, retired: frozenset[str]) -> Iterator[Problem]:
    """A consumer reads every message that it read, and takes every value that it took. It may read fewer fields, and
    more that have always been there (`unreadable_messages`)."""
    now = dict(_reads(new))
    for who, schemas in _reads(old):
        before, group = (_group(document, who) for document in (old, new))
        if group not in (before, None):
            yield Problem(before, "the group", f"is {group} now", "keep it, because a new group has no offsets")
        for name in schemas.keys() - retired:
            if name not in now.get(who, {}):
                yield Problem(name, "", f"is no longer read by {who.partition('.')[0]}", READ_ON)
                continue
            for change in breaking_changes(schemas[name], now[who][name], Role.READ):
                if change.what not in ("is gone", "is required now"):
                    yield Problem(name, change.path, f"{change.what} for {who.partition('.')[0]}", READ_ON)


def _reads(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, operation in document["operations"].items():
        if "x-reads" in operation:
            yield name, operation["x-reads"]


def _group(document: Document, who: str) -> Any:
    return document["operations"].get(who, {}).get("bindings", {}).get("kafka", {}).get("groupId", {}).get("const")


def _messages(document: Document) -> Mapping[str, Any]:
    messages: Mapping[str, Any] = document["components"]["messages"]
    return messages


def _channels(document: Document) -> Mapping[str, Any]:
    return {channel["address"]: channel for channel in document["channels"].values()}


def _topics_of(name: str, document: Document) -> set[str]:
    return {address for address, channel in _channels(document).items() if name in channel["messages"]}


def _partitions(channel: Mapping[str, Any]) -> int:
    return int(channel["bindings"]["kafka"]["partitions"])


def _kind(name: str) -> str:
    return name.partition(".")[0]


def _version(name: str) -> int:
    return int(name.partition(".v")[2] or 1)
