"""Histories, each in a process of its own."""

import gc
import logging
import multiprocessing
from collections.abc import Iterator
from functools import partial

import structlog

from simulation.event_loop import Stuck
from simulation.history import Outcome, simulate


def outcomes(seeds: range, orders: int, jobs: int, without: frozenset[str]) -> Iterator[Outcome]:
    """The histories of these seeds, so many at a time. No history finds what another one has left behind."""
    # A fork of the caller, which has threads, could inherit a lock that nobody releases any more.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    with server.Pool(jobs, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(partial(_outcome, orders=orders, without=without), seeds)


def be_quiet() -> None:
    """What the product logs in a history is its answer to faults, and thousands of lines."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _outcome(seed: int, orders: int, without: frozenset[str]) -> Outcome:
    be_quiet()
    gc.disable()  # when garbage is found depends on addresses, and a history is short
    try:
        return simulate(seed, orders, without=without)
    except Stuck as error:
        return Outcome.stuck(seed, str(error))
