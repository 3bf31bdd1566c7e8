"""Fuzzing by coverage: `python -m tests.campaigns.attack.fuzz NAME FOLDER`, and options of libFuzzer.

The folder gets the seeds, and whatever reaches a line that nothing before it has reached.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # it is not on every machine

with atheris.instrument_imports(
    include=["http_api", "inventory_service", "jwt", "messaging", "order_service", "payment_service", "shared_kernel"]
):
    from tests.campaigns.attack.decoders import TARGETS
    from tests.campaigns.attack.seeds import SEEDS


def main() -> None:
    """Fuzz the target that the first argument names."""
    name, folder, *options = sys.argv[1:]
    for number, seed in enumerate(SEEDS[name]):
        (Path(folder) / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *options, folder], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
