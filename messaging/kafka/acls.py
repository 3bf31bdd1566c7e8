"""The permissions that each part of the system needs of Kafka, and the commands that give them."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from messaging.kafka.joint import joint_ids
from messaging.kafka.publisher import transactional_id
from messaging.kafka.topics import Topic, positions_of
from messaging.ports.outbox import SHARDS
from messaging.ports.subscription import group_of

ROLE: Final = "{role}"
"""What stands for the name of a role in the template of a principal."""

_LOOK: Final = ("Describe", "DescribeConfigs")


@dataclass(frozen=True, slots=True)
class Permission:
    """A role may do all `operations` on all resources of these `names`, or whose names begin with them. `resource` is
    `topic`, `group` or `transactional-id`."""

    role: str
    operations: Sequence[str]
    resource: str
    names: Sequence[str]
    are_prefixes: bool = False


def permissions_of(
    prefix: str, service: str, produces: Sequence[Topic], consumes: Sequence[str]
) -> Iterator[Permission]:
    """What the relay and the consumer of a service need. The relay looks at what the service consumes, too, so that the
    lag shows while no consumer runs. The api needs nothing."""
    relay, consumer = f"{service}-relay", f"{service}-consumer"
    positions = prefix + positions_of(service).name
    produced = [prefix + topic.name for topic in produces]
    consumed = [prefix + topic for topic in consumes]
    if produced:
        ids = [transactional_id(prefix, service, shard) for shard in range(SHARDS)]
        yield Permission(relay, ("Write", *_LOOK), "topic", [*produced, positions])
        yield Permission(relay, ("Read",), "topic", [positions])
        yield Permission(relay, ("Write", "Describe"), "transactional-id", ids)
        joint = [prefix + joint_ids(service)]
        yield Permission(relay, ("Write", "Describe"), "transactional-id", joint, are_prefixes=True)
    if consumed:
        group = prefix + group_of(service)
        yield Permission(relay, _LOOK, "topic", consumed)
        yield Permission(relay, ("Describe",), "group", [group])
        yield Permission(consumer, ("Read", *_LOOK), "topic", consumed)
        yield Permission(consumer, ("Read",), "group", [group])


def permissions_of_operators(prefix: str, topics: Sequence[Topic], services: Sequence[str]) -> Iterator[Permission]:
    """What a person's commands need: `oms topics create`, `oms events tail`, `oms status` and `oms orders show`."""
    yield Permission("operator", ("Create", "Read", *_LOOK), "topic", [prefix + topic.name for topic in topics])
    yield Permission("operator", ("Describe",), "group", [prefix + group_of(service) for service in services])


def commands(
    permissions: Iterable[Permission], principal: str, bootstrap_servers: str, command_config: str | None
) -> Iterator[str]:
    """A command for each permission. `principal` is a template with ROLE. Each command may be run any number of
    times."""
    begin = ["kafka-acls.sh", "--bootstrap-server", bootstrap_servers]
    if command_config is not None:
        begin += ["--command-config", command_config]
    for each in permissions:
        whom = ["--add", "--allow-principal", principal.replace(ROLE, each.role)]
        what = [part for operation in each.operations for part in ("--operation", operation)]
        where = [part for name in each.names for part in (f"--{each.resource}", name)]
        how = ["--resource-pattern-type", "prefixed"] if each.are_prefixes else []
        yield shlex.join([*begin, *whom, *what, *where, *how])
