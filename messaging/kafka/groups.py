"""The groups of consumers as the brokers see them, for an operator's overview."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from messaging.kafka.admin import open_admin
from messaging.kafka.lag import lag_of
from messaging.kafka.offsets import partitions_client
from messaging.kafka.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group's members, and the records that it has still to handle. None means that no partition of its topics can be
    asked."""

    members: int
    lag: int | None


async def state_of_groups(settings: KafkaSettings, groups: Mapping[str, Sequence[str]]) -> dict[str, GroupState]:
    """The state of each group, whose topics are given. Raises KafkaError, and OSError when no broker can be reached."""
    topics = {group: [settings.prefix + topic for topic in named] for group, named in groups.items()}
    states = {}
    async with (
        open_admin(settings) as admin,
        partitions_client(settings, [name for named in topics.values() for name in named]) as client,
    ):
        for group, named in topics.items():
            (answer,) = await admin.describe_consumer_groups([settings.prefix + group])
            members = sum(len(described[5]) for described in answer.groups)
            lag = await lag_of(admin, client, settings.prefix + group, named)
            states[group] = GroupState(members, sum(map(int, lag.values())) if lag else None)
    return states
