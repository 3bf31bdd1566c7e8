"""The faults that a campaign injects, by name. A fault is a coroutine that does the damage, keeps it for a while, heals
what does not heal by itself, and answers what it did."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from chaos import network as own_network
from chaos.database_cluster import no_disks
from chaos.faults import brokers, clocks, databases, gateway, network, processes, releases, requests
from chaos.faults.fault import Fault
from chaos.installation import INSTANCES

OF_PROCESSES: Mapping[str, Fault] = {
    **{f"{kind}-killed": processes.killed(kind) for kind in INSTANCES},
    **{f"{kind}-frozen": processes.frozen(kind) for kind in INSTANCES},
    "everybody-killed": processes.everybody_killed,
    "clock-off": clocks.off,
    "other-release": releases.other,
    "gateway-slow": gateway.slow,
    "gateway-away": gateway.away,
    "gateway-silent": gateway.silent,
    "gateway-nonsense": gateway.nonsense,
}

_CUTS: Mapping[str, Fault] = {
    "cut-from-a-broker": network.from_a_broker,
    "cut-from-all-brokers": network.from_all_brokers,
    "cut-from-the-database": network.from_the_database,
    "cut-from-the-gateway": network.from_the_gateway,
    "cut-between-brokers": network.between_brokers,
    "cut-between-controllers": network.between_controllers,
    "cut-between-databases": network.from_the_standbys,
}
OF_SERVERS: Mapping[str, Fault] = {
    "leader-killed": brokers.leader_killed,
    "transaction-coordinator-killed": brokers.transaction_coordinator_killed,
    "group-coordinator-killed": brokers.group_coordinator_killed,
    "controller-killed": brokers.controller_killed,
    "isr-too-small": brokers.isr_too_small,
    "brokers-away": brokers.away,
    "requests-late": requests.late,
    "requests-doubled": requests.doubled,
    "requests-unanswered": requests.unanswered,
    "primary-killed": databases.primary_killed,
    "primary-restarted": databases.primary_restarted,
    "standby-away": databases.standby_away,
    "standbys-away": databases.standbys_away,
    "read-only": databases.read_only,
    "disk-full": databases.disk_full,
    **_CUTS,
}

STREAMS: Sequence[Mapping[str, Fault]] = (OF_PROCESSES, OF_SERVERS)
"""The faults of a stream are injected one after another. Streams go on side by side, so a process may be killed while a
server is away."""
FAULTS: Mapping[str, Fault] = {name: fault for stream in STREAMS for name, fault in stream.items()}


def not_possible_here(other_release: Path | None) -> dict[str, str]:
    """The faults that this machine cannot bring about, and why."""
    impossible = {}
    if reason := own_network.missing():
        impossible = dict.fromkeys(_CUTS, reason)
    if reason := no_disks():
        impossible["disk-full"] = reason
    if other_release is None:
        impossible["other-release"] = "another release needs --other-release with a checkout of it"
    if clocks.library() is None:
        impossible["clock-off"] = "a wrong clock needs libfaketime"
    return impossible
