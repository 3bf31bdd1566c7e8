"""`python -m contracts`: would merging this tree break a consumer or a client of a release?

It compares docs/asyncapi.yaml and docs/openapi.yaml, which `make schemas` writes, with what docs/schemas keeps of each
release. It ends with 1 and one sentence for each change that breaks somebody.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from contracts.gate import broken_promises
from contracts.releases import CHANGELOG, KEPT, ROOT, NoContracts, contracts_in, keep, released


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m contracts", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("check", help="compare this tree with every release (the default)")
    keeping = commands.add_parser("keep", help="write what a release promises to docs/schemas")
    keeping.add_argument("version", help="a version that CHANGELOG.md names with its commit, such as 0.2.0")
    arguments = parser.parse_args()
    try:
        if arguments.command == "keep":
            print(f"written: {keep(arguments.version).relative_to(ROOT)}")
            return 0
        return _check()
    except NoContracts as error:
        print(error, file=sys.stderr)
        return 1


def _check() -> int:
    kept = released(CHANGELOG.read_text(encoding="utf-8"), KEPT)
    broken = broken_promises(kept, contracts_in(ROOT / "docs", "this tree"))
    _say(broken or [f"this tree keeps what {', '.join(release.of for release in kept)} promised"])
    return 1 if broken else 0


def _say(sentences: Sequence[str]) -> None:
    """Print them. Whoever closes the pipe has seen enough, and still gets the status."""
    try:
        print(*sentences, sep="\n", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
