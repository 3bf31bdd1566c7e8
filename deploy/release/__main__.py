"""`python -m deploy.release`: check the tree, then write the wheel, the bill of materials, the chart and the image
of its version. `check`, `sbom` and `audit` do one part alone.

What is written is in `dist`. It ends with 1 and a sentence for each thing that is wrong.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from deploy.release.audit import audit
from deploy.release.parts import chart, image, sbom, wheel
from deploy.release.version import problems_with_the_tree, version_of_the_tree

Part = Callable[[str], Sequence[str]]
PARTS: Mapping[str, Part] = {
    "check": lambda version: problems_with_the_tree(version),
    "wheel": wheel,
    "sbom": sbom,
    "chart": chart,
    "image": image,
    "audit": lambda _: audit(),
}
RELEASE = ("check", "audit", "wheel", "sbom", "chart", "image")


def main() -> int:
    """Do the parts one after the other, and stop at the first that has a problem."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release", description=__doc__.partition("\n\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="the parts to do; all of them by default")
    version = version_of_the_tree()
    for part in parser.parse_args().parts or RELEASE:
        if problems := PARTS[part](version):
            print(*problems, sep="\n", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
