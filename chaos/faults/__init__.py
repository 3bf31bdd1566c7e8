"""The faults that a campaign injects, by name. A fault is a coroutine that does the damage, keeps it for a while, heals
what does not heal by itself, and answers what it did."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from chaos import network as own_network
from chaos.database_cluster import no_disks
from chaos.faults import brokers, clocks, databases, gateway, network, processes, releases, requests
from chaos.faults.fault import Fault
from chaos.installation import INSTANCES

_Types: TypeAlias = Mapping[str, Mapping[str, Fault]]
"""Faults by type and by name."""

OF_PROCESSES: _Types = {
    "process killed": {
        **{f"{kind}-killed": processes.killed(kind) for kind in INSTANCES},
        "everybody-killed": processes.everybody_killed,
    },
    "process frozen": {f"{kind}-frozen": processes.frozen(kind) for kind in INSTANCES},
    "clock off": {"clock-off": clocks.off},
    "two releases": {"other-release": releases.other},
    "gateway ill": {
        "gateway-slow": gateway.slow,
        "gateway-away": gateway.away,
        "gateway-silent": gateway.silent,
        "gateway-nonsense": gateway.nonsense,
    },
}
OF_BROKERS: _Types = {
    "broker killed": {
        "leader-killed": brokers.leader_killed,
        "transaction-coordinator-killed": brokers.transaction_coordinator_killed,
        "group-coordinator-killed": brokers.group_coordinator_killed,
        "controller-killed": brokers.controller_killed,
    },
    "too few in sync": {"isr-too-small": brokers.isr_too_small},
    "all brokers away": {"brokers-away": brokers.away},
    "request late, doubled or unanswered": {
        "requests-late": requests.late,
        "requests-doubled": requests.doubled,
        "requests-unanswered": requests.unanswered,
    },
    "network cut": {
        "cut-from-a-broker": network.from_a_broker,
        "cut-from-all-brokers": network.from_all_brokers,
        "cut-from-the-database": network.from_the_database,
        "cut-from-the-gateway": network.from_the_gateway,
        "cut-between-brokers": network.between_brokers,
        "cut-between-controllers": network.between_controllers,
    },
}
OF_DATABASES: _Types = {
    "primary killed": {
        "primary-killed": databases.primary_killed,
        "primary-restarted": databases.primary_restarted,
    },
    "standby away": {"standby-away": databases.standby_away, "standbys-away": databases.standbys_away},
    "read-only": {"read-only": databases.read_only},
    "disk full": {"disk-full": databases.disk_full},
    "network cut": {"cut-between-databases": network.from_the_standbys},
}

STREAMS: Sequence[_Types] = (OF_PROCESSES, OF_BROKERS, OF_DATABASES)
"""The faults of a stream are injected one after another. Streams go on side by side, so a process may be killed while a
broker and the primary are away."""
FAULTS: Mapping[str, Fault] = {
    name: fault for stream in STREAMS for faults in stream.values() for name, fault in faults.items()
}
TYPES: Mapping[str, str] = {name: type_ for stream in STREAMS for type_, faults in stream.items() for name in faults}
"""The type of each fault."""


def chosen_of(stream: _Types, names: Sequence[str]) -> _Types:
    """The faults of a stream that have one of these names."""
    chosen = {
        type_: {name: fault for name, fault in faults.items() if name in names} for type_, faults in stream.items()
    }
    return {type_: faults for type_, faults in chosen.items() if faults}


def not_possible_here(other_release: Path | None) -> dict[str, str]:
    """The faults that this machine cannot bring about, and why."""
    impossible = {}
    if reason := own_network.missing():
        impossible = {name: reason for name, type_ in TYPES.items() if type_ == "network cut"}
    if reason := no_disks():
        impossible["disk-full"] = reason
    if other_release is None:
        impossible["other-release"] = "another release needs --other-release with a checkout of it"
    if clocks.library() is None:
        impossible["clock-off"] = "a wrong clock needs libfaketime"
    return impossible
