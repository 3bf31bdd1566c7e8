"""Write docs/evidence.md from the records of campaigns in docs/evidence.

`make evidence` writes the page. `make evidence RECORDS="simulation-records/simulation-….json"` takes new records first:
those of `make simulate`, of `make mutants` (mutants.json and mutant-tests.json), and of `python -m
chaos.torn_transactions` (torn-….json).
A simulated campaign may have been run in parts: their records, one after the other, count as one.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from simulation.record import Record as Campaign

HERE = Path(__file__).parent
PAGE = HERE / "evidence.md"
RECORDS = HERE / "evidence"
_BLOCK = r"<!-- {0} -->\n(.*?)<!-- end of {0} -->"

Record = Mapping[str, Any]


def page(simulation: Record, mutants: Record, tests: Record, torn: Sequence[Record], reliability: str) -> str:
    """The whole page."""
    parts = (
        _begin(simulation),
        _simulated_faults(simulation),
        _checks(simulation),
        _mutants(mutants, tests),
        _real_faults(reliability),
        _torn(torn),
        _found(reliability),
        _not_covered(),
    )
    return "\n\n".join(parts) + "\n"


def _begin(simulation: Record) -> str:
    return f"""# Evidence

This page is made from records of campaigns by `make evidence`. It says what was tried against the system, how often,
and what came of it. Each part begins with the command that repeats it.

{first_line(simulation)}"""


def first_line(simulation: Record) -> str:
    """What README quotes."""
    wrong, faults = len(simulation["violations"]), sum(simulation["injected"].values())
    return (
        f"**{simulation['histories']:,} simulated histories with {simulation['orders']:,} orders, {faults:,} faults "
        f"and {simulation['simulated_hours']:.1f} hours: {wrong or 'none'} broke a promise.**"
    )


def _simulated_faults(simulation: Record) -> str:
    first, histories = simulation["first_seed"], simulation["histories"]
    command = f"--first {first} --seeds {histories} --orders {simulation['orders_a_history']}"
    rows = [
        f"| {kind} | {simulation['histories_with'][kind]:,} | {count:,} |"
        for kind, count in sorted(simulation["injected"].items())
    ]
    table = "\n".join(["| fault | histories with it | injected |", "|---|---|---|", *rows])
    return f"""## Simulated faults

    make simulate SIMULATE="{command}"

With commit {simulation["commit"]} and Python {simulation["python"]} it prints these numbers again, and the record has
the same hash of everything that happened: `{simulation["hash"]}`. Of {simulation["calls"]:,} calls
{simulation["unknown"]:,} ended without the client learning what became of them. In the slowest history everything
agreed {simulation["longest_recovery"]:.0f} simulated seconds after the last fault.
{_parts(simulation)}
[simulation/README.md](../simulation/README.md) says what is a model, and where it is weaker than the real thing.

{table}"""


def _parts(simulation: Record) -> str:
    first, expected = list(simulation["hashes"].items())[-1]
    size = f"--seeds 100 --orders {simulation['orders_a_history']}"
    return f"""Each hundred histories can be repeated alone in a minute or two, and their hashes are in
[simulation.json](evidence/simulation.json): `make simulate SIMULATE="--first {first} {size}"`
writes a record with the hash `{expected}`."""


def _checks(simulation: Record) -> str:
    return f"""## How often each promise was checked

- After each of {simulation["commits"]:,} commits: versions and transitions of orders, deadlines that are not too
  early, and stock that agrees with its reservations ([invariants.py](../simulation/invariants.py)).
- At the end of each of {simulation["histories"]:,} histories: all of [chaos/checks.py](../chaos/checks.py) and of
  [simulation/checks.py](../simulation/checks.py).
- The orders ended {_counted(simulation["statuses"])}."""


def _mutants(mutants: Record, tests: Record) -> str:
    verdicts = sorted(mutants["verdicts"], key=lambda each: str(each["mutant"]))
    failing = {each["mutant"]: each["test"] for each in tests["verdicts"] if each["fails"]}
    noticed = [each for each in verdicts if each["seed"] is not None]
    rows = [
        f"| {each['breaks']} | {'**not noticed**' if each['seed'] is None else 'seed ' + str(each['seed'])} "
        f"| {_test(failing.get(each['mutant']))} |"
        for each in verdicts
    ]
    table = "\n".join(["| the product with this fault | noticed by | fails |", "|---|---|---|", *rows])
    return f"""## Faults that were built in

    make mutants MUTANTS="--orders {mutants["orders"]} --seeds {mutants.get("seeds", 60)}"
    make mutants MUTANTS=--tests

{len(noticed)} of {len(verdicts)} were noticed by the simulation, at commit {mutants["commit"]}. With
{len(failing)} of them the test that is named here fails, at commit {tests["commit"]}.

{table}"""


def _test(test: str | None) -> str:
    if test is None:
        return "**no test**"
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../{path})"


def _real_faults(reliability: str) -> str:
    return f"""## Real faults

    make chaos CHAOS="--minutes 60"

Real brokers, databases, processes and networks. The history of each round is judged by our own checks and, where Go is
there, by Porcupine, which shares no code with them ([chaos/README.md](../chaos/README.md)).

{_block("campaigns", reliability)}"""


def _found(reliability: str) -> str:
    return f"""## What was found in the system, and mended

{_block("found", reliability)}"""


def _block(name: str, reliability: str) -> str:
    found = re.search(_BLOCK.format(name), reliability, re.DOTALL)
    if found is None:
        raise ValueError(f"docs/reliability.md has no block {name!r}")
    return found[1].strip()


def _torn(torn: Sequence[Record]) -> str:
    seeds: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    late: Counter[str] = Counter()
    for record in torn:
        for attack in record["attacks"]:
            seeds[attack["attack"]] += attack["seeds"]
            wrong[attack["attack"]] += len(attack["wrong"]) + attack["late"]
            if attack["attack"].startswith("END_TXN"):
                late.update(attack["late_answers"])
    rows = [
        f"| {name.replace('/', ', ').replace('_', ' ').lower()} | {seeds[name]} | {wrong[name]} |" for name in seeds
    ]
    table = "\n".join(["| request, and its fate | seeds | wrong |", "|---|---|---|", *rows])
    return f"""## Transactions under attack

    python -m chaos.torn_transactions --seeds 100

A proxy in front of three real brokers holds, loses or doubles requests of relays' producers. {sum(wrong.values())} of
{sum(seeds.values()):,} attacks lost, doubled or reordered a message. Late commits were answered {_counted(late)}.

{table}"""


def _not_covered() -> str:
    return """## What is not covered

- Disks that lie about fsync, and data centres that are lost.
- In the simulation nobody reads from a standby, no disk is full, and replicas of Kafka do not lag: chaos has that.
- A network that delivers an answered request once more, later. TCP does not do that.
- The published images of PostgreSQL, Redpanda and Python, and a real Kubernetes cluster."""


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def take(paths: Sequence[Path]) -> None:
    """Keep these records. Of the hashes of all histories it keeps one for each hundred."""
    simulated = [path for path in paths if path.name.startswith("simulation-")]
    if simulated:
        campaign = reduce(Campaign.joined, sorted(map(Campaign.read, simulated), key=lambda each: each.first_seed))
        _write("simulation.json", campaign.content() | {"hashes": campaign.hashes_of_hundreds()})
    for path in paths:
        if path not in simulated:
            _write(path.name, json.loads(path.read_text()))


def _write(name: str, record: Record) -> None:
    (RECORDS / name).write_text(json.dumps(record, indent=1) + "\n")


def generated() -> str:
    """The page that the records make."""
    return page(
        _read("simulation.json"),
        _read("mutants.json"),
        _read("mutant-tests.json"),
        list(_torn_records()),
        (HERE / "reliability.md").read_text(),
    )


def _torn_records() -> Iterator[Record]:
    for path in sorted(RECORDS.glob("torn-*.json")):
        yield json.loads(path.read_text())


def _read(name: str) -> Record:
    record: Record = json.loads((RECORDS / name).read_text())
    return record


if __name__ == "__main__":
    take([Path(given) for given in sys.argv[1:]])
    PAGE.write_text(generated())
