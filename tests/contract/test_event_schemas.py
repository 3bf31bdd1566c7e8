"""docs/schemas is the contract in machine-readable form: it is up to date, and what we send is valid against it."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from docs.generate_schemas import FOLDER, schemas, text_of
from order_service.domain.events import OrderEvent
from order_service.infrastructure.event_encoding import VERSION, encode
from tests.contract.example_events import EXAMPLES


def value_of(example: str) -> Any:
    """What the encoder writes for an example."""
    return json.loads(encode(EXAMPLES[example]).value)


def validator_of(value: Any) -> Any:
    """The validator of the published schema for a value's type and version."""
    path = Path(FOLDER, f"{value['eventType']}.v{value['eventVersion']}.json")
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def test_the_published_schemas_are_those_that_the_generator_writes() -> None:
    published = {path.name: path.read_text() for path in FOLDER.glob("*.json")}

    assert published == {name: text_of(schema) for name, schema in schemas().items()}, (
        "run `python docs/generate_schemas.py`"
    )


def test_every_event_type_has_a_schema_of_the_version_that_is_sent() -> None:
    types = {kind.__name__ for kind in get_args(OrderEvent)}

    assert {f"{kind}.v{VERSION}.json" for kind in types} <= schemas().keys()


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_encoded_event_is_valid_against_its_schema(example: str) -> None:
    value = value_of(example)

    assert [error.message for error in validator_of(value).iter_errors(value)] == []


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_encoded_event_says_nothing_that_its_schema_does_not_name(example: str) -> None:
    value = value_of(example)

    assert value.keys() == validator_of(value).schema["properties"].keys()


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_schema_refuses_an_event_that_lacks_a_field_or_has_it_in_another_type(example: str) -> None:
    value = value_of(example)
    validator = validator_of(value)

    for name in value:
        without = {key: content for key, content in value.items() if key != name}
        assert not validator.is_valid(without), f"{name} may be missing"
        assert not validator.is_valid(value | {name: {"retyped": True}}), f"{name} may be anything"


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_schema_accepts_an_event_with_a_field_of_a_later_day(example: str) -> None:
    value = value_of(example)

    assert validator_of(value).is_valid(value | {"addedLater": 1})
