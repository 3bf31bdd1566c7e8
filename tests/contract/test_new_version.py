"""A new version of an event, from the shape to the day on which the old version is gone, as docs/events.md says."""

from collections.abc import Callable
from typing import TypedDict

import pytest

import docs.generate_asyncapi as asyncapi
import docs.generate_schemas as schemas
from contracts.gate import broken_promises
from contracts.releases import ROOT, Contracts, contracts_in
from order_service.infrastructure.event_encoding import TOPIC, OrderCompletedV1

FIRST, SECOND = ("OrderCompletedEvent", 1), ("OrderCompletedEvent", 2)
OPENAPI = contracts_in(ROOT / "docs", "this tree").openapi


class OrderCompletedV2(TypedDict):
    """The goods have left."""

    parcels: list[str]


def _contracts(of: str) -> Contracts:
    return Contracts(of, asyncapi.document(), OPENAPI)


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change what is sent, and what is deprecated of it."""

    def change(*versions: tuple[str, int], deprecated: frozenset[tuple[str, int]] = frozenset()) -> None:
        shapes = {FIRST: OrderCompletedV1, SECOND: OrderCompletedV2}
        sent = {name: shape for name, shape in schemas.TOPICS[TOPIC].items() if name not in shapes}
        topics = {**schemas.TOPICS, TOPIC: sent | {name: shapes[name] for name in versions}}
        monkeypatch.setattr(schemas, "TOPICS", topics)
        monkeypatch.setattr(asyncapi, "TOPICS", topics)
        monkeypatch.setattr(
            schemas, "SHAPES", {name: shape for each in topics.values() for name, shape in each.items()}
        )
        monkeypatch.setattr(schemas, "DEPRECATED", deprecated)

    return change


def test_a_new_version_runs_beside_the_old_one_until_a_release_has_called_the_old_one_deprecated(
    send: Callable[..., None],
) -> None:
    releases = [_contracts("1.0.0")]
    send(FIRST, SECOND)
    assert broken_promises(releases, _contracts("the tree")) == []

    send(SECOND)
    assert len(broken_promises(releases, _contracts("the tree"))) == 1

    send(FIRST, SECOND, deprecated=frozenset({FIRST}))
    assert broken_promises(releases, _contracts("the tree")) == []
    releases.append(_contracts("1.1.0"))

    send(SECOND)
    assert broken_promises(releases, _contracts("the tree")) == []


def test_nothing_is_deprecated_before_there_is_something_newer(send: Callable[..., None]) -> None:
    before = _contracts("1.0.0")
    send(FIRST, deprecated=frozenset({FIRST}))

    (sentence,) = broken_promises([before], _contracts("the tree"))

    assert "OrderCompletedEvent.v1 is deprecated, but has no newer version" in sentence
