"""The group coordinator: members, generations, sessions and committed offsets, as in the classic protocol."""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulation.kafka import codes


@dataclass(slots=True, eq=False)
class _Member:
    """A member. `joining` and `syncing` are the answers that it waits for."""

    id: str
    instance: str | None
    session: float
    rebalance: float
    metadata: bytes
    heard_at: float
    assignment: bytes = b""
    joining: asyncio.Future[None] | None = None
    syncing: asyncio.Future[None] | None = None


@dataclass(slots=True)
class _Group:
    """A group. It is stable while it neither gathers its members nor waits for the leader's assignment."""

    members: dict[str, _Member] = field(default_factory=dict)
    generation: int = 0
    leader: str = ""
    protocol: str = ""
    is_gathering: bool = False
    gathers_until: float = 0.0
    is_assigned: bool = False
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Joined:
    """The answer to a member that joins. Only the leader is told who else there is."""

    error: int
    generation: int = -1
    protocol: str = ""
    leader: str = ""
    member: str = ""
    members: Sequence[tuple[str, str | None, bytes]] = ()


class Groups:
    """All groups of a cluster. `tick` must be called now and then."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._groups: dict[str, _Group] = {}
        self._numbers = itertools.count(1)
        self._now = now

    async def join(
        self,
        name: str,
        member_id: str,
        instance: str | None,
        session: float,
        rebalance: float,
        protocols: Sequence[Any],
    ) -> Joined:
        """Return once all members have joined, or those that have not have been given up."""
        group = self._groups.setdefault(name, _Group())
        protocol, metadata = protocols[0]
        if not member_id and instance is None:
            return Joined(codes.MEMBER_ID_REQUIRED, member=f"member-{next(self._numbers)}")
        member = self._member(group, member_id, instance)
        if isinstance(member, int):
            return Joined(member)
        if member is None:
            member = _Member(
                member_id or f"{instance}-{next(self._numbers)}", instance, session, rebalance, metadata, self._now()
            )
            group.members[member.id] = member
        elif instance is not None and not member_id and group.is_assigned and member.metadata == metadata:
            # A static member that comes back keeps its assignment, and nobody else has to join again (KIP-345).
            return self._return(group, member)
        member.heard_at, member.metadata = self._now(), metadata
        group.protocol = protocol
        waiting = member.joining = asyncio.get_running_loop().create_future()
        self._gather(group)
        self._finish_gathering(group)
        await waiting
        return self._joined(group, member)

    def _member(self, group: _Group, member_id: str, instance: str | None) -> _Member | int | None:
        """The member that joins again, None for a new one, or an error code."""
        if instance is not None:
            known = next((each for each in group.members.values() if each.instance == instance), None)
            if known is None:
                return None
            if member_id and member_id != known.id:
                return codes.FENCED_INSTANCE_ID
            return known
        return group.members.get(member_id)

    def _return(self, group: _Group, member: _Member) -> Joined:
        """A new process takes the place of an old static member under a new id."""
        del group.members[member.id]
        for waiting in (member.joining, member.syncing):
            if waiting is not None and not waiting.done():
                waiting.cancel()
        old, member.id = member.id, f"{member.instance}-{next(self._numbers)}"
        member.heard_at = self._now()
        group.members[member.id] = member
        if group.leader == old:
            group.leader = member.id
        # The leader is somebody else's name, so that the one that returned does not assign.
        return Joined(0, group.generation, group.protocol, old, member.id)

    def _gather(self, group: _Group) -> None:
        if not group.is_gathering:
            group.is_gathering, group.is_assigned = True, False
            group.gathers_until = self._now() + max(member.rebalance for member in group.members.values())
            for member in group.members.values():
                _wake(member.syncing)
                member.syncing = None

    def _finish_gathering(self, group: _Group) -> None:
        if not group.is_gathering:
            return
        if self._now() >= group.gathers_until:
            for member in list(group.members.values()):
                if member.joining is None and member.instance is None:
                    self._remove(group, member)
        if not group.members or any(
            member.joining is None and (member.instance is None or self._now() < group.gathers_until)
            for member in group.members.values()
        ):
            return
        group.is_gathering = False
        group.generation += 1
        if group.leader not in group.members or group.members[group.leader].joining is None:
            group.leader = next(each.id for each in group.members.values() if each.joining is not None)
        for member in group.members.values():
            member.heard_at = self._now()
            _wake(member.joining)
            member.joining = None

    def _joined(self, group: _Group, member: _Member) -> Joined:
        if member.id not in group.members:
            return Joined(codes.UNKNOWN_MEMBER_ID)
        members = [(each.id, each.instance, each.metadata) for each in group.members.values()]
        told = members if member.id == group.leader else ()
        return Joined(0, group.generation, group.protocol, group.leader, member.id, told)

    async def sync(
        self, name: str, generation: int, member_id: str, assignments: Sequence[tuple[str, bytes]]
    ) -> tuple[int, bytes]:
        """Return an error code and the member's assignment, once the leader has told it."""
        group = self._groups.setdefault(name, _Group())
        if error := self._heard(group, generation, member_id):
            return error, b""
        member = group.members[member_id]
        if member_id == group.leader and assignments:
            told = dict(assignments)
            group.is_assigned = True
            for each in group.members.values():
                each.assignment = told.get(each.id, b"")
                _wake(each.syncing)
                each.syncing = None
        if not group.is_assigned:
            waiting = member.syncing = asyncio.get_running_loop().create_future()
            await waiting
        if group.is_gathering or group.generation != generation:
            return codes.REBALANCE_IN_PROGRESS, b""
        return codes.OK, member.assignment

    def heartbeat(self, name: str, generation: int, member_id: str) -> int:
        """An error code."""
        return self._heard(self._groups.setdefault(name, _Group()), generation, member_id)

    def leave(self, name: str, member_id: str) -> int:
        """An error code."""
        group = self._groups.setdefault(name, _Group())
        member = group.members.get(member_id)
        if member is None:
            return codes.UNKNOWN_MEMBER_ID
        self._remove(group, member)
        return codes.OK

    def commit(self, name: str, generation: int, member_id: str, offsets: Mapping[tuple[str, int], int]) -> int:
        """Commit offsets, all or none. Returns an error code. A commit is still taken while the members gather."""
        group = self._groups.setdefault(name, _Group())
        error = self._heard(group, generation, member_id)
        is_member = error in (codes.OK, codes.REBALANCE_IN_PROGRESS)
        if is_member and (group.is_gathering or group.is_assigned):
            group.offsets |= offsets
            return codes.OK
        return error

    def committed(self, name: str, at: tuple[str, int]) -> int:
        """The committed offset, or -1."""
        return self._groups.setdefault(name, _Group()).offsets.get(at, -1)

    def committed_partitions(self, name: str) -> list[tuple[str, list[int]]]:
        """All partitions with a committed offset, by topic."""
        by_topic: dict[str, list[int]] = {}
        for topic, number in sorted(self._groups.setdefault(name, _Group()).offsets):
            by_topic.setdefault(topic, []).append(number)
        return list(by_topic.items())

    def tick(self) -> None:
        """Give up members whose sessions are over, and gatherings that have waited for long enough."""
        for group in self._groups.values():
            for member in list(group.members.values()):
                if member.joining is None and self._now() - member.heard_at > member.session:
                    self._remove(group, member)
            self._finish_gathering(group)

    def _heard(self, group: _Group, generation: int, member_id: str) -> int:
        member = group.members.get(member_id)
        if member is None:
            return codes.UNKNOWN_MEMBER_ID
        if generation != group.generation:
            return codes.ILLEGAL_GENERATION
        member.heard_at = self._now()
        return codes.REBALANCE_IN_PROGRESS if group.is_gathering else codes.OK

    def _remove(self, group: _Group, member: _Member) -> None:
        del group.members[member.id]
        for waiting in (member.joining, member.syncing):
            _wake(waiting)
        if group.members:
            self._gather(group)
            self._finish_gathering(group)
        else:
            group.is_gathering, group.is_assigned = False, False


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
