"""The command line, and the process of every service."""

import gc
import sys
from importlib import import_module


def main(arguments: list[str] | None = None) -> None:
    """Run a command. `arguments` are those of the process by default."""
    gc.disable()  # what is imported stays: to look for cycles in it takes a tenth of the start
    _import_without("rich", "httpx", "structlog")  # they would load it for drawing, which takes as long again
    from oms.cli import app

    gc.freeze()
    gc.enable()
    app(arguments)


def _import_without(absent: str, *names: str) -> None:
    """Import modules that can do without another one as if it were not installed."""
    if absent in sys.modules:
        return
    sys.modules[absent] = None  # type: ignore[assignment]  # so does Python note that there is none
    try:
        for name in names:
            import_module(name)
    finally:
        del sys.modules[absent]
