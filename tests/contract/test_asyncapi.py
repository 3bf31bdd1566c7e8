"""docs/asyncapi.yaml says in the standard's words what is on Kafka: it is up to date, valid, and true."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

from docs.generate_asyncapi import PAGE, POSITION, document
from docs.generate_schemas import SHAPES
from docs.yaml_text import yaml_text
from messaging.kafka.positions import encode_position
from messaging.ports.outbox import Position
from oms.services import SERVICES, TOPICS
from tests.contract.asyncapi_parser import NoParser, errors_and_warnings
from tests.contract.consumers import Notes, subscriptions
from tests.contract.test_golden_events import GOLDEN

PUBLISHED: dict[str, Any] = yaml.safe_load(PAGE.read_text(encoding="utf-8"))
MESSAGES: Mapping[str, Any] = PUBLISHED["components"]["messages"]
STANDARD = Draft7Validator(json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text(encoding="utf-8")))
EXAMPLES = [(name, example) for name, message in MESSAGES.items() for example in message.get("examples", ())]


def _named(references: Any) -> set[str]:
    return {reference["$ref"].rsplit("/", 1)[1] for reference in references}


def _accepts(schema: Mapping[str, Any], value: Any) -> bool:
    return bool(Draft202012Validator(schema, format_checker=FormatChecker()).is_valid(value))


def _without(document: Mapping[str, Any], *path: str) -> dict[str, Any]:
    changed = copy.deepcopy(dict(document))
    *way, last = path
    inner = changed
    for part in way:
        inner = inner[part]
    del inner[last]
    return changed


def test_the_published_document_is_the_one_that_the_generator_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == yaml_text(document()), "run `make schemas`"


def test_the_document_is_valid_by_the_standards_schema() -> None:
    assert [f"{error.json_path}: {error.message}" for error in STANDARD.iter_errors(PUBLISHED)] == []


@pytest.mark.parametrize(
    "path", [("asyncapi",), ("operations", "order-service.sends.order-events", "channel"), ("info", "title")]
)
def test_the_standards_schema_refuses_a_document_that_lacks_something(path: tuple[str, ...]) -> None:
    assert not STANDARD.is_valid(_without(PUBLISHED, *path))


def test_the_standards_own_parser_finds_nothing_wrong(tmp_path: Path) -> None:
    """It also follows the references, and checks the examples by the schemas of their messages."""
    broken = tmp_path / "broken.yaml"
    broken.write_text(yaml_text(_without(PUBLISHED, "channels", "order-events")), encoding="utf-8")
    try:
        found, found_in_broken = errors_and_warnings(PAGE, broken)
    except NoParser as missing:
        pytest.skip(str(missing))

    assert found == []
    assert found_in_broken != []


def test_every_topic_is_a_channel_with_its_partitions() -> None:
    channels = {
        channel["address"]: channel["bindings"]["kafka"]["partitions"] for channel in PUBLISHED["channels"].values()
    }

    assert channels == {topic.name: topic.partitions for topic in TOPICS}


def test_every_message_is_there_and_on_the_topic_that_its_golden_file_names() -> None:
    assert MESSAGES.keys() == {*(f"{kind}.v{version}" for kind, version in SHAPES), POSITION}
    for path in GOLDEN.glob("*.json"):
        golden = json.loads(path.read_text(encoding="utf-8"))
        name = f"{golden['value']['eventType']}.v{golden['value']['eventVersion']}"
        assert name in PUBLISHED["channels"][golden["topic"]]["messages"]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_golden_file_is_an_example_and_valid_with_its_headers_and_its_key(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    name, example = next((name, example) for name, example in EXAMPLES if example["name"] == path.stem)
    message = MESSAGES[name]

    assert (example["headers"], example["payload"]) == (golden["headers"], golden["value"])
    assert _accepts(message["headers"], golden["headers"])
    assert _accepts(message["payload"], golden["value"])
    assert _accepts(message["bindings"]["kafka"]["key"], golden["key"])


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[example["name"] for _, example in EXAMPLES])
def test_a_header_that_is_missing_or_says_something_else_is_refused(name: str, example: Mapping[str, Any]) -> None:
    schema = MESSAGES[name]["headers"]

    for header in example["headers"]:
        assert not _accepts(schema, {key: value for key, value in example["headers"].items() if key != header})
        assert not _accepts(schema, example["headers"] | {header: 1})
    assert not _accepts(schema, example["headers"] | {"ce_type": "SomethingElse"})
    assert not _accepts(schema, example["headers"] | {"ce_source": "/somebody-else"})


def test_every_message_is_sent_by_the_service_that_its_header_names() -> None:
    sends = [operation for operation in PUBLISHED["operations"].values() if operation["action"] == "send"]
    sent = {name: operation["tags"][0]["name"] for operation in sends for name in _named(operation["messages"])}

    assert sent.pop(POSITION).endswith("relays")
    assert sent == {
        name: message["headers"]["properties"]["ce_source"]["const"].removeprefix("/")
        for name, message in MESSAGES.items()
        if name != POSITION
    }


def test_every_consumer_is_an_operation_with_its_group_and_the_types_that_it_handles() -> None:
    groups = {f"{name}-service" for name in SERVICES}
    receives = [
        operation
        for operation in PUBLISHED["operations"].values()
        if operation["action"] == "receive" and operation["tags"][0]["name"] in groups
    ]
    read = {
        operation["channel"]["$ref"].rsplit("/", 1)[1]: {
            MESSAGES[name]["name"] for name in _named(operation["messages"])
        }
        for operation in receives
    }

    assert read == {each.topic: set(each.handlers) for each in subscriptions(Notes())}
    for operation in receives:
        assert operation["bindings"]["kafka"]["groupId"]["const"] == operation["tags"][0]["name"]


def test_a_position_that_a_relay_writes_is_valid() -> None:
    written = json.loads(encode_position(Position((1, 2), (uuid4(), uuid4()))))

    assert _accepts(MESSAGES[POSITION]["payload"], written)
    assert written.keys() == MESSAGES[POSITION]["payload"]["properties"].keys()
