"""Brokers answer only for what they lead, and databases confirm only what a standby has."""

import asyncio
from random import Random
from typing import Any

import pytest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest

from messaging.kafka.topics import Topic
from messaging.ports.changes import StoreUnavailable
from simulation.event_loop import MACHINE, Machine, SimulatedLoop
from simulation.kafka import codes
from simulation.kafka.cluster import VERSIONS, Cluster
from simulation.kafka.leadership import NODES, Leadership
from simulation.network import Network
from simulation.postgres.server import Server


@pytest.fixture
def loop() -> SimulatedLoop:
    MACHINE.set(Machine("world"))
    return SimulatedLoop(Random(1))


def _sent(request: Any) -> Any:
    return request.prepare({kind: (version, version) for kind, version in VERSIONS.items()})


def test_while_a_broker_is_passed_over_others_lead_all_that_it_led() -> None:
    leadership = Leadership()
    before = {number: leadership.leader("order-events", number) for number in range(12)}

    leadership.passed_over.add(2)
    meanwhile = {number: leadership.leader("order-events", number) for number in range(12)}
    leadership.passed_over.discard(2)

    assert set(before.values()) == set(NODES)
    assert 2 not in meanwhile.values()
    assert {number for number in before if before[number] != meanwhile[number]} == {
        number for number, node in before.items() if node == 2
    }
    assert before == {number: leadership.leader("order-events", number) for number in range(12)}


def test_a_broker_refuses_what_another_one_leads(loop: SimulatedLoop) -> None:
    cluster = Cluster(loop, Random(1), [Topic("order-events", partitions=1)])
    leader = cluster.leadership.leader("order-events", 0)
    other = next(node for node in NODES if node != leader)
    ask = _sent(OffsetRequest(-1, 0, [("order-events", [(0, -1)])]))

    def error_of(node: int) -> int:
        ((_, ((_, error, *_),)),) = cluster.answer(ask, node).topics
        return int(error)

    assert (error_of(leader), error_of(other)) == (codes.OK, codes.NOT_LEADER_FOR_PARTITION)
    cluster.leadership.passed_over.add(leader)
    assert error_of(leader) == codes.NOT_LEADER_FOR_PARTITION


def test_every_broker_knows_who_leads_and_who_coordinates(loop: SimulatedLoop) -> None:
    cluster = Cluster(loop, Random(1), [Topic("order-events", partitions=1)])
    cluster.leadership.away.add(1)
    cluster.leadership.passed_over.add(1)

    brokers = {node for node, *_ in cluster.answer(_sent(MetadataRequest([])), 3).brokers}
    coordinators = {cluster.answer(_sent(FindCoordinatorRequest(f"group-{n}", 0)), 2).coordinator_id for n in range(20)}

    assert brokers == coordinators == {2, 3}


@pytest.fixture
def server(loop: SimulatedLoop) -> Server:
    return Server("order-db", loop, Network(Random(2)), Random(3), lambda *_: None)


def _committing(server: Server, committed: list[str]) -> asyncio.Task[None]:
    async def action() -> None:
        committed.append("order 1")

    return asyncio.get_running_loop().create_task(server.run("commit", action, ["order 1"]))


def test_a_commit_that_no_standby_confirms_is_seen_by_nobody_and_lost_with_its_server(
    loop: SimulatedLoop, server: Server
) -> None:
    committed: list[str] = []

    async def history() -> None:
        server.lose_standby()
        commit = _committing(server, committed)
        await asyncio.sleep(1.0)
        assert not commit.done()
        assert committed == []
        server.fail_over()
        with pytest.raises(StoreUnavailable):
            await commit
        await asyncio.sleep(1.0)

    loop.run_until_complete(history())
    assert committed == []


def test_a_commit_whose_client_has_given_up_is_there_when_the_standby_is_back(
    loop: SimulatedLoop, server: Server
) -> None:
    committed: list[str] = []

    async def history() -> None:
        server.lose_standby()
        with pytest.raises(StoreUnavailable):
            await _committing(server, committed)
        server.find_standby()
        await asyncio.sleep(1.0)

    loop.run_until_complete(history())
    assert committed == ["order 1"]
