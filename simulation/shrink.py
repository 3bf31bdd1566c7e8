"""A shorter history that still fails."""

from collections.abc import Callable, Iterable, Sequence

_SMALLEST = 2


def shrink(
    seed: int,
    orders: int,
    kinds: Iterable[str],
    without: frozenset[str],
    violations: Callable[[int, int, frozenset[str]], Sequence[str]],
) -> str:
    """A sentence with the command for fewer orders and fewer kinds of faults, with which this seed still fails. Orders
    are halved, and then the `kinds` that were injected are left out one after another, beside those in `without`."""
    fewest = orders
    while fewest > _SMALLEST and violations(seed, fewest // 2, without):
        fewest //= 2
    for kind in sorted(kinds):
        if violations(seed, fewest, without | {kind}):
            without |= {kind}
    return f"the shortest history that fails: {command(seed, fewest, without)}"


def command(seed: int, orders: int, without: frozenset[str]) -> str:
    """How a history is replayed."""
    left_out = f' --without "{",".join(sorted(without))}"' if without else ""
    return f"python -m simulation --replay {seed} --orders {orders}{left_out}"
