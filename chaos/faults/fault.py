"""What a fault is."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeAlias

from chaos.installation import Installation

Fault: TypeAlias = Callable[[Installation, Random], Awaitable[str | None]]
"""Damages the installation for a while, and answers a sentence about what it did. It returns healed, or with what heals
by itself, such as a process that the supervisor starts again. None means that it did no damage and does not count."""
