"""The golden files are messages as consumers know them. Today's encoder must still say everything they say.

A new field passes: consumers ignore what they do not know. A field that is gone, renamed or of another type fails: that
is a new version of the event, with a golden file of its own beside the old one (docs/events.md).
"""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from messaging.ports.message import Message
from order_service.domain.commands import Command
from order_service.domain.events import OrderEvent
from order_service.infrastructure.event_encoding import VERSION
from order_service.infrastructure.message_encoding import encode
from tests.contract.example_events import EVENTS, EXAMPLES

GOLDEN = Path(__file__).parent / "golden"
EVENTS_PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def as_record(message: Message) -> dict[str, Any]:
    """A message as its golden file has it."""
    return {
        "topic": message.topic,
        "key": message.key,
        "headers": dict(message.headers),
        "value": json.loads(message.value),
    }


def what_is_missing(golden: Any, today: Any, where: str = "record") -> list[str]:
    """Every place where `today` no longer says what `golden` says."""
    if isinstance(golden, dict) and isinstance(today, dict):
        gone = [f"{where}.{name} is gone" for name in golden.keys() - today.keys()]
        kept = [name for name in golden if name in today]
        return gone + [line for name in kept for line in what_is_missing(golden[name], today[name], f"{where}.{name}")]
    if isinstance(golden, list) and isinstance(today, list) and len(golden) == len(today):
        pairs = enumerate(zip(golden, today, strict=True))
        return [line for place, (old, new) in pairs for line in what_is_missing(old, new, f"{where}[{place}]")]
    if type(golden) is not type(today) or golden != today:
        return [f"{where} was {golden!r} and is {today!r}"]
    return []


@pytest.mark.parametrize("example", EXAMPLES)
def test_todays_encoder_says_everything_that_the_golden_file_says(example: str) -> None:
    today = as_record(encode(EXAMPLES[example]))
    path = GOLDEN / f"{example}.json"
    assert path.exists(), f"{path.name} is missing; for a new type or version it is\n{json.dumps(today, indent=2)}"

    assert what_is_missing(json.loads(path.read_text()), today) == []


def test_every_type_has_a_golden_file_of_the_version_that_is_sent() -> None:
    golden = {path.stem for path in GOLDEN.glob("*.json")}

    assert {f"{kind.__name__}.v{VERSION}" for kind in (*get_args(OrderEvent), *get_args(Command))} <= golden


def test_every_example_is_of_the_type_and_version_that_its_name_says() -> None:
    for name, event in EXAMPLES.items():
        assert name.startswith(f"{type(event).__name__}.v{VERSION}")


@pytest.mark.parametrize(
    ("today", "verdict"),
    [
        ({"a": 1, "b": [{"c": "x"}]}, []),
        ({"a": 1, "b": [{"c": "x", "new": 0}], "new": {}}, []),
        ({"b": [{"c": "x"}]}, ["record.a is gone"]),
        ({"a": "1", "b": [{"c": "x"}]}, ["record.a was 1 and is '1'"]),
        ({"a": True, "b": [{"c": "x"}]}, ["record.a was 1 and is True"]),
        ({"a": 1, "b": [{"d": "x"}]}, ["record.b[0].c is gone"]),
        ({"a": 1, "b": []}, ["record.b was [{'c': 'x'}] and is []"]),
    ],
)
def test_a_field_may_be_added_but_not_removed_renamed_or_retyped(today: Any, verdict: list[str]) -> None:
    assert what_is_missing({"a": 1, "b": [{"c": "x"}]}, today) == verdict


def test_the_examples_in_the_documentation_are_what_the_encoder_writes() -> None:
    blocks = re.findall(r"```json\n(.*?)```", EVENTS_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    documented = [json.loads(block) for block in blocks]
    written = [json.loads(encode(message).value) for message in EXAMPLES.values()]

    assert [value for value in documented if value not in written] == []
    assert {type(event).__name__ for event in EVENTS.values()} <= {value["eventType"] for value in documented}
