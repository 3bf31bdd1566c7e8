"""The manifest is run: deploy/kubernetes/small.yaml, with processes of this machine as its pods."""

from pathlib import Path

from contracts.releases import ROOT
from tests.real_parts.kafka import Broker
from tests.real_parts.kubernetes.installation import installation
from tests.real_parts.kubernetes.manifest import read_manifest
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.releases import path_of

MANIFEST = ROOT / "deploy" / "kubernetes" / "small.yaml"


async def test_the_first_order_is_confirmed_and_a_drained_node_fails_no_request_and_loses_nothing(
    broker: Broker, postgres: PostgresServer, tmp_path: Path
) -> None:
    manifest = read_manifest(MANIFEST.read_text()).of_image("this tree").with_one_of_each_but("order-api")
    async with installation(broker, postgres, tmp_path, {"this tree": path_of(ROOT)}) as installed:
        cluster = installed.cluster
        await cluster.prepare(manifest)
        await installed.make_api_key()
        await cluster.apply(manifest)
        assert await installed.first_order() == "CONFIRMED"

        async with installed.under_load() as customers:
            await cluster.drain("a")
        await installed.audit(1 + len(customers.orders))

    assert customers.failed == []
    assert cluster.wrong == []
