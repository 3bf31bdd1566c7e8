"""What the suites of publishers and consumers ask of a real broker is asked of the model, by the same tests."""

import inspect
import time
from collections.abc import Callable
from contextvars import copy_context
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from messaging.kafka.publisher import kafka_publishers
from messaging.kafka.settings import Compression, KafkaSettings
from messaging.kafka.topics import Topic, positions_of
from simulation.chance import Chance
from simulation.event_loop import MACHINE, Machine, SimulatedLoop
from simulation.kafka.cluster import BOOTSTRAP_SERVERS, Cluster
from simulation.kafka.connection import WIRE, Wire, simulated_connections
from simulation.network import Network
from tests.messaging import test_event_publisher as publishing
from tests.messaging import test_kafka_consumer as consuming
from tests.messaging import test_kafka_joint as joint
from tests.messaging import test_kafka_publisher as fencing
from tests.messaging.far_sides import topic_that_exists

PROMISES = (
    publishing.test_what_was_published_is_there_each_once_and_each_key_in_order,
    publishing.test_a_batch_may_be_of_one_message_or_of_thousands,
    publishing.test_the_last_position_is_the_last_published_batch_where_that_can_be_known,
    fencing.test_the_next_publisher_of_a_shard_fences_the_one_before,
    fencing.test_a_publisher_that_is_fenced_is_counted,
    fencing.test_publishers_of_different_shards_do_not_fence_each_other,
    fencing.test_what_a_publisher_left_uncommitted_is_aborted_by_the_next_one,
    fencing.test_the_last_position_is_found_behind_aborted_transactions,
    fencing.test_the_last_position_is_found_behind_hundreds_of_records_of_others,
    fencing.test_a_transaction_that_hangs_on_the_positions_is_named_and_not_waited_for,
    fencing.test_the_last_position_is_found_behind_what_cannot_be_read,
    fencing.test_of_a_position_of_an_earlier_release_the_row_is_known_whose_event_it_names,
    joint.test_what_waits_for_a_transaction_is_the_next_one_and_each_shard_has_its_position,
    joint.test_whoever_takes_a_shard_over_ends_the_open_joint_transaction_that_it_is_in,
    joint.test_an_owner_of_before_publishes_nothing_more_by_itself_or_with_others,
    joint.test_a_shard_that_is_given_up_in_order_disturbs_no_other,
    joint.test_a_shard_that_begins_again_makes_its_neighbours_begin_again_and_then_they_join_anew,
    joint.test_a_publish_that_is_cancelled_while_it_waits_is_not_sent,
    consuming.test_everything_is_delivered_each_key_in_order_and_then_committed,
    consuming.test_a_later_member_of_the_group_begins_where_the_last_one_ended_and_another_group_at_the_start,
    consuming.test_what_a_killed_process_had_at_hand_is_delivered_again,
    consuming.test_leaving_finishes_the_batch_at_hand_and_commits_it,
    consuming.test_a_subscriber_that_raises_gets_the_batch_again,
    consuming.test_a_rebalance_waits_for_the_batch_at_hand_so_that_nothing_comes_twice,
    consuming.test_a_rebalance_that_cannot_wait_brings_the_batch_again_and_loses_nothing,
    consuming.test_records_of_aborted_transactions_are_not_seen,
)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__.removeprefix("test_"))
def test_the_model_keeps(promise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    copy_context().run(_simulate, promise, monkeypatch)


def _simulate(promise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    MACHINE.set(Machine("test"))
    loop = SimulatedLoop(Random(1))
    chance = Chance(loop, Random(2))
    network = Network(Random(3))
    topic, service = "test-topic", "test-service"
    cluster = Cluster(loop, Random(4), [Topic(topic, 2), positions_of(service)])
    WIRE.set(Wire(loop, cluster, network, Random(5), lambda *_: None))
    kafka = KafkaSettings(bootstrap_servers=BOOTSTRAP_SERVERS, compression=Compression.NONE)

    async def run() -> None:
        loop.create_task(cluster.run())
        async with topic_that_exists(kafka, topic, service) as far_side:
            fixtures: dict[str, object] = {
                "kafka": kafka,
                "far_side": far_side,
                "monkeypatch": monkeypatch,
                "one_process": kafka_publishers(kafka, service),
                "another_process": kafka_publishers(kafka, service),
                "rebalances": consuming.watch_rebalances(monkeypatch),
                "published": joint.Published(far_side),
                "group": consuming.GroupUnderTest(
                    kafka.model_copy(update={"session_timeout_seconds": 6.0}), topic, f"group-of-{topic}"
                ),
            }
            await promise(**{name: fixtures[name] for name in inspect.signature(promise).parameters})

    clocks = patch.multiple(time, monotonic=loop.time, time=chance.seconds)
    with simulated_connections(), clocks:
        loop.run_until_complete(run())
