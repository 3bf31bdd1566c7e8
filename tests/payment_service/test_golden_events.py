"""The golden files are payment events as consumers know them. Today's encoder must still say everything they say."""

import json
from typing import get_args

import pytest

from payment_service.domain.events import PaymentEvent
from payment_service.infrastructure.event_encoding import VERSION, encode
from tests.contract.test_golden_events import GOLDEN, as_record, what_is_missing
from tests.payment_service.example_events import EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_todays_encoder_says_everything_that_the_golden_file_says(example: str) -> None:
    today = as_record(encode(EXAMPLES[example]))
    path = GOLDEN / f"{example}.json"
    assert path.exists(), f"{path.name} is missing; for a new type or version it is\n{json.dumps(today, indent=2)}"

    assert what_is_missing(json.loads(path.read_text()), today) == []


def test_every_event_type_has_an_example_of_the_version_that_is_sent() -> None:
    assert {f"{kind.__name__}.v{VERSION}" for kind in get_args(PaymentEvent)} <= set(EXAMPLES)
