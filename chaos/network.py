"""A network of its own, in which connections can be cut: packets are dropped, and nobody is told.

The campaign runs again in a network namespace that has nothing but a loopback device. There every instance of a service
belongs to a group of its own. Connections are marked with the group that opened them, so that a cut finds the packets
of both directions. That needs root, and the programs unshare, ip and nft of Linux.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.needs import missing as missing_here

FIRST_GROUP = 61_001
_INSIDE = "OMS_CHAOS_NETWORK"


def missing() -> str | None:
    """What keeps this machine from cutting connections, or None."""
    if is_ours():
        return None
    return missing_here("cutting connections", "unshare", "ip", "nft")


def enter() -> None:
    """Run this very command again in a network of its own; return when this is it. Its mounts are its own, too, so that
    disks go with it."""
    if os.environ.get(_INSIDE) != "yes":
        os.environ[_INSIDE] = "yes"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, "-m", "chaos", *sys.argv[1:]])
    _run("ip", "link", "set", "lo", "up")
    _run(
        "nft", "-f", "-",
        rules="""
table inet chaos {
    chain marks { type filter hook output priority -10; }
    chain cuts { type filter hook output priority 0; }
}
""",
    )  # fmt: skip


def is_ours() -> bool:
    """True when this process runs in such a network, and so do its children."""
    return os.environ.get(_INSIDE) == "yes"


def mark(group: int) -> None:
    """Make the connections that this group opens from now on known to `cut`."""
    _run(*f"nft add rule inet chaos marks ct direction original meta skgid {group} ct mark set {group}".split())


@dataclass(slots=True)
class Cut:
    """`dropped` are the packets that did not arrive, once it is over. A cut that dropped none has tested nothing."""

    dropped: int = 0


@contextmanager
def cut(ports: Sequence[int], group: int | None = None) -> Iterator[Cut]:
    """Nothing gets to these ports or comes from them, as long as this lasts: nothing of this group, or nothing at all.

    One cut at a time."""
    whose = f"ct mark {group} " if group is not None else ""
    listed = ", ".join(str(port) for port in ports)
    for direction in ("dport", "sport"):
        _run("nft", "add", "rule", "inet", "chaos", "cuts", f"{whose}tcp {direction} {{ {listed} }} counter drop")
    made = Cut()
    try:
        yield made
    finally:
        rules = _run("nft", "list", "chain", "inet", "chaos", "cuts")
        made.dropped = sum(int(packets) for packets in re.findall(r"counter packets (\d+)", rules))
        _run("nft", "flush", "chain", "inet", "chaos", "cuts")


def _run(*command: str, rules: str | None = None) -> str:
    done = subprocess.run(command, input=rules, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
