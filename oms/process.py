"""A process that serves HTTP until it is told to stop, and then leaves nothing half done."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

DRAIN_SECONDS = 4  # with what the relay and the store take to finish, a stop stays below ten seconds
BACKLOG = 2048
# What requests and messages leave is mostly freed by its reference count: looking for cycles after every 700 new
# objects, as Python does by itself, is a tenth of all the work.
GC_THRESHOLDS = (50_000, 20, 50)


class _Server(uvicorn.Server):
    """uvicorn, without its own idea of signals: it would end the process by the signal instead of exit code 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class CannotListen(Exception):
    """The address is taken, or is not ours."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotListen with a sentence that says what to do."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CannotListen(f"cannot listen on {host}:{port}: {reason}; choose another with --host and --port") from None


async def serve_until_told(
    app: ASGIApp,
    listening: socket.socket,
    *,
    keep_alive_seconds: int,
    on_stop: Callable[[], None],
    on_started: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT. Then `on_stop` is called, no connection is taken any more, requests in flight are
    answered (for at most four seconds), and this returns."""
    server = _Server(
        uvicorn.Config(
            app,
            loop="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive_seconds,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )

    def stop() -> None:
        on_stop()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn only sets a flag
        await asyncio.sleep(0.01)
    if server.started:
        # What is loaded by now stays: without this the collector walks all of it again and again, tens of milliseconds
        # at a time, in the middle of requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        on_started()
    await serving
