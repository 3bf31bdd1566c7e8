"""The faults that a campaign injects, by name. A fault is a coroutine that does the damage, keeps it for a while, heals
what does not heal by itself, and answers what it did."""

from collections.abc import Mapping

from chaos.faults import brokers, clocks, databases, gateway, processes
from chaos.faults.fault import Fault
from chaos.installation import INSTANCES

FAULTS: Mapping[str, Fault] = {
    **{f"{kind}-killed": processes.killed(kind) for kind in INSTANCES},
    **{f"{kind}-frozen": processes.frozen(kind) for kind in INSTANCES},
    "everybody-killed": processes.everybody_killed,
    "leader-killed": brokers.leader_killed,
    "transaction-coordinator-killed": brokers.transaction_coordinator_killed,
    "group-coordinator-killed": brokers.group_coordinator_killed,
    "controller-killed": brokers.controller_killed,
    "isr-too-small": brokers.isr_too_small,
    "brokers-away": brokers.away,
    "primary-killed": databases.primary_killed,
    "primary-restarted": databases.primary_restarted,
    "standby-away": databases.standby_away,
    "standbys-away": databases.standbys_away,
    "read-only": databases.read_only,
    "clock-off": clocks.off,
    "gateway-slow": gateway.slow,
    "gateway-away": gateway.away,
    "gateway-silent": gateway.silent,
    "gateway-nonsense": gateway.nonsense,
}
