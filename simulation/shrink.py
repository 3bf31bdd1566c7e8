"""A shorter history that still fails."""

from collections.abc import Callable, Sequence

_SMALLEST = 2


def shrink(seed: int, orders: int, violations: Callable[[int, int], Sequence[str]]) -> str:
    """A sentence with the command for the fewest orders with which this seed still fails, found by halving."""
    fewest = orders
    while fewest > _SMALLEST and violations(seed, fewest // 2):
        fewest //= 2
    return f"the shortest history that fails: python -m simulation --replay {seed} --orders {fewest}"
