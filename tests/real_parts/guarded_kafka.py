"""A real broker with an authorizer: nobody may do anything that is not allowed. Users log in with passwords."""

import argparse
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiokafka.protocol.admin import CreateAclsRequest

from messaging.kafka.admin import open_admin
from messaging.kafka.settings import KafkaSettings
from tests.real_parts.kafka import ALONE
from tests.real_parts.kafka_node import FEW_THREADS, KafkaNode, NoBroker, java_there, new_cluster_id

PASSWORD = "secret"
ADMIN = "admin"
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_RESOURCES = {"topic": 2, "group": 3, "transactional_id": 5}
_PATTERNS = {"literal": 3, "prefixed": 4}
_ALLOW = 3


@contextmanager
def guarded_kafka(users: Iterable[str]) -> Iterator[str]:
    """The address of a broker that knows these users and ADMIN, who may do anything. Raises NoBroker."""
    if not java_there():
        raise NoBroker("a broker with an authorizer is needed: install a JDK and Maven")
    folder = Path(tempfile.mkdtemp(prefix="oms-test-guarded-kafka-"))
    node = KafkaNode(1, folder / "n1", java_options=("-Xmx384m", *FEW_THREADS))
    logins = " ".join(f'user_{user}="{PASSWORD}"' for user in (ADMIN, *users))
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    guarded = {
        "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,PEER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.client.plain.sasl.jaas.config": f"{module} {logins};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{ADMIN};User:ANONYMOUS",  # the node itself is anonymous to itself
        "auto.create.topics.enable": "false",
    }
    node.configure(node.voter, ALONE | guarded)
    try:
        node.format(new_cluster_id())
        node.start()
        yield f"{node.host}:{node.port}"
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


def logged_in(servers: str, user: str, prefix: str) -> KafkaSettings:
    """The settings of a user's client."""
    return KafkaSettings.model_validate(
        {
            "bootstrap_servers": servers,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": user,
            "sasl_password": PASSWORD,
            "prefix": prefix,
        }
    )


async def run_kafka_acls(admin: KafkaSettings, commands: Sequence[str]) -> None:
    """What `kafka-acls.sh` does with these commands, without a Java for each of them. Raises SystemExit for an option
    that it does not have."""
    async with open_admin(admin) as client:
        for acl in (acl for command in commands for acl in _acls(shlex.split(command))):
            answer = await client._client.send(client._client.get_random_node(), CreateAclsRequest(*acl))
            assert [error for error, _ in answer.creation_responses] == [0], (acl, answer)


def _acls(words: Sequence[str]) -> Iterator[tuple[int, str, int, str, str, int, int]]:
    parser = argparse.ArgumentParser(prog="kafka-acls.sh", allow_abbrev=False)
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", required=True, choices=_OPERATIONS)
    for resource in _RESOURCES:
        parser.add_argument(f"--{resource.replace('_', '-')}", action="append", default=[])
    parser.add_argument("--resource-pattern-type", choices=_PATTERNS, default="literal")
    program, *arguments = words
    assert program == "kafka-acls.sh"
    asked = parser.parse_args(arguments)
    for resource, number in _RESOURCES.items():
        for name in getattr(asked, resource):
            for operation in asked.operation:
                yield (
                    number,
                    name,
                    _PATTERNS[asked.resource_pattern_type],
                    asked.allow_principal,
                    "*",
                    _OPERATIONS[operation],
                    _ALLOW,
                )
