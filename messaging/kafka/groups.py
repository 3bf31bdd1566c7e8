"""The groups of consumers as the brokers see them, for an operator's overview."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from messaging.kafka.admin import open_admin
from messaging.kafka.lag import lag_of
from messaging.kafka.offsets import partitions_client
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.unstable import unstable_records

_STABLE_WITHIN = 2.0


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group's members, and the records that it has still to handle. None means that no partition of its topics can be
    asked. `unstable` has the topics of which an open transaction hides records from it, and how many."""

    members: int
    lag: int | None
    unstable: Mapping[str, int] = field(default_factory=dict)


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
        unstable = await _unstable(client, [name for named in topics.values() for name in named])
    return {
        group: replace(
            state,
            unstable={
                each.removeprefix(settings.prefix): unstable[each] for each in topics[group] if unstable.get(each)
            },
        )
        for group, state in states.items()
    }


async def _unstable(client: Any, topics: Sequence[str]) -> Mapping[str, int]:
    """The unstable records by topic. Transactions are always under way, so what is found at once is looked at again."""
    found = await unstable_records(client, topics, 0)
    if any(found.values()):
        found = await unstable_records(client, topics, _STABLE_WITHIN)
    by_topic: Counter[str] = Counter()
    for at, records in found.items():
        by_topic[at.topic] += records
    return by_topic
