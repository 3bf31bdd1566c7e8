"""docs/schemas is the contract in machine-readable form: it is up to date, and what we send is valid against it."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from docs.generate_schemas import FOLDER, schemas, text_of
from inventory_service.domain import StockEvent
from order_service.domain.commands import Command
from order_service.domain.events import OrderEvent
from order_service.infrastructure.event_encoding import VERSION
from order_service.infrastructure.message_encoding import encode
from payment_service.domain.events import PaymentEvent
from tests.contract.example_events import EXAMPLES
from tests.contract.test_golden_events import GOLDEN

TYPES = [kind.__name__ for union in (OrderEvent, Command, StockEvent, PaymentEvent) for kind in get_args(union)]
VALUES = {name: json.loads(encode(message).value) for name, message in EXAMPLES.items()} | {
    path.stem: json.loads(path.read_text())["value"] for path in GOLDEN.glob("*.json") if path.stem not in EXAMPLES
}
"""What our encoder writes, and for the partners' messages what their golden files say."""


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


def test_every_type_has_a_schema_of_the_version_that_is_sent() -> None:
    assert {f"{kind}.v{VERSION}.json" for kind in TYPES} == schemas().keys()


@pytest.mark.parametrize("example", VALUES)
def test_a_message_is_valid_against_its_schema(example: str) -> None:
    value = VALUES[example]

    assert [error.message for error in validator_of(value).iter_errors(value)] == []


@pytest.mark.parametrize("example", VALUES)
def test_a_message_says_nothing_that_its_schema_does_not_name(example: str) -> None:
    value = VALUES[example]

    assert value.keys() == validator_of(value).schema["properties"].keys()


@pytest.mark.parametrize("example", VALUES)
def test_a_schema_refuses_a_message_that_lacks_a_field_or_has_it_in_another_type(example: str) -> None:
    value = VALUES[example]
    validator = validator_of(value)

    for name in value:
        without = {key: content for key, content in value.items() if key != name}
        assert not validator.is_valid(without), f"{name} may be missing"
        assert not validator.is_valid(value | {name: {"retyped": True}}), f"{name} may be anything"


@pytest.mark.parametrize("example", VALUES)
def test_a_schema_accepts_a_message_with_a_field_of_a_later_day(example: str) -> None:
    value = VALUES[example]

    assert validator_of(value).is_valid(value | {"addedLater": 1})
