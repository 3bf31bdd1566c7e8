"""The command line, and the process of every service."""

import gc


def main(arguments: list[str] | None = None) -> None:
    """Run a command. `arguments` are those of the process by default."""
    gc.disable()  # what is imported stays: to look for cycles in it takes a tenth of the start
    from oms.cli import app

    gc.freeze()
    gc.enable()
    app(arguments)
