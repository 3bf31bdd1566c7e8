"""The gate: compares the contracts of a tree with those of every release, in both directions.

Forward: what was promised to consumers and clients of a release is kept. Backward: the consumers of the tree read what
a release has sent, because its messages are on the topics for days and its processes run beside ours in an upgrade.
"""

from collections.abc import Iterator, Sequence

from contracts.http import http_problems, retired_operations
from contracts.messages import message_problems, retired_messages, unreadable_messages
from contracts.problem import Problem
from contracts.releases import Contracts


def broken_promises(releases: Sequence[Contracts], tree: Contracts) -> Sequence[str]:
    """One sentence for each change that breaks somebody. It names the last release that promised otherwise."""
    asyncapis = [release.asyncapi for release in releases]
    messages = retired_messages(asyncapis, tree.asyncapi)
    operations = retired_operations([release.openapi for release in releases])
    found: dict[Problem, str] = {}
    for release in releases:
        for problem in _problems(release, tree, messages, operations):
            found[problem] = release.of
    return sorted(problem.sentence(since) for problem, since in found.items())


def _problems(
    release: Contracts, tree: Contracts, messages: frozenset[str], operations: frozenset[str]
) -> Iterator[Problem]:
    yield from message_problems(release.asyncapi, tree.asyncapi, retired=messages)
    yield from unreadable_messages(release.asyncapi, tree.asyncapi, retired=messages)
    yield from http_problems(release.openapi, tree.openapi, retired=operations)
