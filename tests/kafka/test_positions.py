"""Positions as records: what a relay of this release writes, and what one of an earlier release makes of it."""

import json

from messaging.kafka.positions import decode_position, encode_position
from messaging.ports.event_publisher import BATCH
from tests.messaging.messages import batch_of, messages_in


def test_a_position_comes_back_as_it_was() -> None:
    position = batch_of(messages_in(0, 3), first_row=2**62).position

    assert decode_position(encode_position(position)) == position


def test_an_earlier_release_reads_the_rows_and_the_first_event() -> None:
    batch = batch_of(messages_in(0, 3), first_row=41)

    record = json.loads(encode_position(batch.position))

    assert record["ids"] == [41, 42, 43]
    assert record["firstEventId"] == str(batch.messages[0].event_id)


def test_the_position_of_the_largest_batch_is_far_below_what_a_topic_takes() -> None:
    record = encode_position(batch_of(messages_in(0, BATCH), first_row=10**9).position)

    assert len(record) < 40_000
