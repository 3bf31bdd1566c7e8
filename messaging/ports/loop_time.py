"""Seconds for measuring how long something takes: those of the event loop, which nobody sets back."""

import asyncio


def loop_time() -> float:
    """The time of the running event loop. A simulation has a loop whose time is its own."""
    return asyncio.get_running_loop().time()
