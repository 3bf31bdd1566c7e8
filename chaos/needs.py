"""What a fault needs of the machine."""

import os
import shutil


def missing(what: str, *programs: str) -> str | None:
    """What keeps this machine from doing `what`, which takes root and these programs; or None."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return f"{what} needs root"
    if absent := [program for program in programs if shutil.which(program) is None]:
        return f"{what} needs the programs {', '.join(absent)}"
    return None
