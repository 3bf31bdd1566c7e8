"""The exit statuses of commands. docs/operations.md has them in a table."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """The status with which a command ends."""

    DONE = 0
    CANNOT = 1
    """The command cannot do what was asked, and says why in a sentence."""
    USAGE = 2
    """An argument, an option or a setting is wrong."""
    INCOMPLETE = 3
    """A part of the system does not answer. The rest is shown."""
    ATTENTION = 4
    """Everything answers, and something needs a person."""
    INTERRUPTED = 130
    """Ctrl-C."""
