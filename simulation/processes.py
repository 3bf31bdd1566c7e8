"""Histories, each in a process of its own."""

import gc
import logging
import multiprocessing
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import structlog

from simulation.event_loop import Stuck
from simulation.history import Outcome, simulate

_NEXT_WITHIN: Final = 900.0
"""Seconds. A history takes a few of them, and one whose process was killed from outside never comes."""


def outcomes(seeds: range, orders: int, jobs: int, without: frozenset[str]) -> Iterator[Outcome]:
    """The histories of these seeds, in their order and so many at a time. No history finds what another one has left.
    Raises TimeoutError when the next one does not end for a quarter of an hour."""
    # A fork of the caller, which has threads, could inherit a lock that nobody releases any more.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    with server.Pool(jobs, maxtasksperchild=1) as pool:
        ended = pool.imap(partial(outcome_of, orders=orders, without=without), seeds)
        for _ in seeds:
            try:
                yield ended.next(timeout=_NEXT_WITHIN)
            except multiprocessing.TimeoutError:
                raise TimeoutError(f"no history has ended for {_NEXT_WITHIN:.0f} s: was its process killed?") from None


def _be_quiet() -> None:
    """What the product logs in a history is its answer to faults, and thousands of lines."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def outcome_of(seed: int, orders: int, without: frozenset[str], show: Callable[[str], None] | None = None) -> Outcome:
    """The history of a seed, in this process."""
    _be_quiet()
    gc.disable()  # when garbage is found depends on addresses, and a history is short
    try:
        return simulate(seed, orders, show, without)
    except Stuck as error:
        return Outcome.stuck(seed, str(error))
    except Exception as error:
        error.add_note(f"in the history of seed {seed}")
        raise
