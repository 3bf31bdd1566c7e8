"""Who runs a command, for the audit trail."""

import getpass
import os
import socket
from typing import Final

from messaging.ports.audit import WHO

NAME: Final = "OMS_OPERATOR"
_LONGEST = 200
_LONGEST_NAME = 100


def sign_as_operator() -> None:
    """Whatever this process does from now on is the operator's."""
    WHO.set(operator())


def operator() -> str:
    """The user of the operating system and the machine. OMS_OPERATOR stands before them, and not instead of them,
    because anybody can set it."""
    account = f"{_user()}@{socket.gethostname()}"
    name = "".join(each for each in os.environ.get(NAME, "") if each.isprintable()).strip()[:_LONGEST_NAME]
    return (f"{name} ({account})" if name else account)[:_LONGEST]


def _user() -> str:
    """The user as the system knows it. `getpass` would believe the environment first."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except ImportError:  # Windows
        return getpass.getuser()
    except KeyError:  # a container may have a user without a name
        return f"uid {os.getuid()}"
