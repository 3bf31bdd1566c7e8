"""What a store under test rings after a commit, where no relay listens."""

from collections.abc import Iterable


def nobody(shards: Iterable[int]) -> None:
    """Wake no relay."""
