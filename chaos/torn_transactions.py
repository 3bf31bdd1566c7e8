"""`python -m chaos.torn_transactions`: requests of the relays' producers arrive late, twice or never, on three brokers.

A seed is one attack: one request of one shard's producer meets its fate in a proxy in front of the brokers. The relay
and the publisher are the real ones, and a read_committed reader must find each message once and in order. Sixteen
shards are attacked at a time.
"""

import asyncio
import json
import logging
import secrets
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import structlog
import typer

from chaos.record import commit
from chaos.torn_attack import draw
from chaos.torn_stage import AT_A_TIME, TOPICS, Reader, Stage, open_reader
from messaging.kafka.epoch import Epoch
from messaging.kafka.settings import KafkaSettings
from messaging.kafka.topics import create_topics
from tests.real_parts.kafka_cluster import kafka_cluster
from tests.real_parts.kafka_node import NoBroker, free_port
from tests.real_parts.kafka_proxy import Fate, Kind, kafka_proxy

ATTACKS = {f"{kind.name}/{fate.name}": (kind, fate) for kind in Kind for fate in Fate if fate is not Fate.FORWARD}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(slots=True)
class Tally:
    """What became of the seeds of one kind of attack."""

    attack: str
    seeds: int = 0
    wrong: list[int] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    late: int = 0
    late_answers: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        answers = ", ".join(f"{name} {count}" for name, count in self.late_answers.items())
        return (
            f"{self.attack:30} {self.seeds:4} seeds {len(self.wrong):4} wrong: {self.lost} lost, {self.doubled} "
            f"doubled, {self.disordered} out of order; {self.late} rounds not settled in time; {self.seconds:.0f} s"
            + (f"; late ones were answered {answers}" if answers else "")
        )


@dataclass(slots=True)
class Record:
    """The campaign so far, as JSON at `path`."""

    path: Path
    guard: bool
    commit: str
    attacks: list[Tally] = field(default_factory=list)

    def add(self, tally: Tally) -> None:
        """Write what is known now."""
        self.attacks.append(tally)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(asdict(self) | {"path": self.path.name}, indent=1))


@app.command()
def main(
    seeds: Annotated[int, typer.Option(min=1, help="So many attacks of each kind.")] = 100,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    only: Annotated[str, typer.Option(help="Only these kinds of attack, with commas.")] = ",".join(ATTACKS),
    guard: Annotated[bool, typer.Option(help="Without the guard, the campaign must find what it is there for.")] = True,
    together: Annotated[bool, typer.Option(help="Without it, each shard publishes alone.")] = True,
    records: Annotated[Path, typer.Option(help="Where the record is written.")] = Path("chaos-records"),
) -> None:
    """Exit status 0: every message was published once and in order. 1: one was not. 2: it could not run."""
    chosen = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in ATTACKS]:
        raise typer.BadParameter(f"the attacks are {', '.join(ATTACKS)}, and not {', '.join(unknown)}")
    for name in ("aiokafka", "asyncio"):  # broken connections are what this is about
        logging.getLogger(name).setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    record = Record(records / f"torn-{datetime.now(UTC):%Y%m%d-%H%M%S}.json", guard, commit())
    try:
        with nullcontext() if guard else patch.object(Epoch, "_watched", _unwatched):
            asyncio.run(_campaign(chosen, range(first, first + seeds), record, together=together))
    except NoBroker as missing:
        typer.echo(str(missing), err=True)
        raise typer.Exit(2) from None
    wrong = sum(len(tally.wrong) + tally.late for tally in record.attacks)
    typer.echo(f"{sum(tally.seeds for tally in record.attacks)} seeds, {wrong} wrong; {record.path}")
    raise typer.Exit(1 if wrong else 0)


async def _campaign(chosen: list[str], seeds: range, record: Record, *, together: bool) -> None:
    advertised = {number: free_port() for number in (1, 2, 3)}
    with kafka_cluster(advertised_ports=advertised) as cluster:
        settings = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, prefix=f"torn-{secrets.token_hex(4)}.")
        stage = Stage(settings, together)
        ports = {advertised[number]: node.port for number, node in cluster.nodes.items()}
        async with kafka_proxy(ports, stage.script, stage.answered):
            await create_topics(settings, TOPICS, replication=3)
            async with open_reader(settings) as reader:
                for name in chosen:
                    tally = await _attack(name, seeds, stage, reader, list(ports.values()))
                    typer.echo(str(tally))
                    record.add(tally)


async def _attack(name: str, seeds: range, stage: Stage, reader: Reader, ports: list[int]) -> Tally:
    tally, began, answers = Tally(name), time.monotonic(), Counter[str]()
    kind, fate = ATTACKS[name]
    for start in range(0, len(seeds), AT_A_TIME):
        at_hand = seeds[start : start + AT_A_TIME]
        attacks = [draw(kind, fate, seed, ports) for seed in at_hand]
        verdicts, in_time = await stage.round(attacks, reader)
        tally.late += not in_time
        tally.seeds += sum(attack.met for attack in attacks)
        tally.wrong += [seed for seed, verdict in zip(at_hand, verdicts, strict=True) if verdict.wrong]
        tally.lost += sum(verdict.lost for verdict in verdicts)
        tally.doubled += sum(verdict.doubled for verdict in verdicts)
        tally.disordered += sum(verdict.disordered for verdict in verdicts)
        answers.update(attack.late_answer for attack in attacks if attack.late_answer)
        reader.found.clear()
    tally.late_answers = dict(answers)
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


async def _unwatched(self: Epoch, node: Any, request: Any, **options: Any) -> Any:
    """A request as before there was a guard: nobody notes that it got no answer."""
    return await self._send(node, request, **options)


if __name__ == "__main__":
    app()
