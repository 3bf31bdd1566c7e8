"""A process that serves HTTP until it is told to stop. Then it finishes its current work."""

import asyncio
import faulthandler
import gc
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from messaging.engine.addresses import can_be_a_name
from messaging.engine.background import how_it_ended
from messaging.ports.audit import WHO
from oms.http_protocol import GuardedHttp
from shared_kernel.caller import ANONYMOUS_NAME

DRAIN_SECONDS = 2
STOP_WITHIN_SECONDS = 10.0
LOOP_ENDS_WITHIN_SECONDS = 5.0
BACKLOG = 2048
HANDSHAKE_SECONDS = 10.0
# Reference counts free most objects of requests and messages. By default Python looks for cycles after every 700 new
# objects, which costs a tenth of the processing time.
GC_THRESHOLDS = (50_000, 20, 50)

log = structlog.get_logger("process")


class _Server(uvicorn.Server):
    """uvicorn with TLS for each socket of its own, and without its signal handlers, which would end the process by the
    signal instead of with status 0."""

    def __init__(self, config: uvicorn.Config, tls: Sequence[ssl.SSLContext | None]) -> None:
        super().__init__(config)
        self._tls = tls
        self.servers = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections. A client has a time for the handshake, and for the end of its side."""
        loop = asyncio.get_running_loop()
        protocol = partial(GuardedHttp, config=self.config, server_state=self.server_state, app_state={})
        for listening, tls in zip(sockets or (), self._tls, strict=False):
            server = await loop.create_server(
                protocol,
                sock=listening,
                backlog=BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
                ssl_shutdown_timeout=DRAIN_SECONDS if tls else None,
            )
            self.servers.append(server)
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class CannotListen(Exception):
    """The address is in use, or does not belong to this machine."""


def listen(host: str, port: int, metrics_port: int | None = None) -> Sequence[socket.socket]:
    """The listening sockets of a process: for its service, and for its metrics if they have a port of their own. Raises
    CannotListen with a sentence that says what to do."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(_listen(host, port, "another with --host and --port"))]
        if metrics_port is not None:
            sockets.append(_listen(host, metrics_port, "another METRICS_PORT"))
        opened.pop_all()
    return sockets


def _listen(host: str, port: int, choose: str) -> socket.socket:
    if not can_be_a_name(host):
        raise CannotListen(f"cannot listen on {host}:{port}: it cannot be the name of a host; choose {choose}")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while attempting")[0]
        raise CannotListen(f"cannot listen on {host}:{port}: {reason}; choose {choose}") from None


def server_config(app: ASGIApp, keep_alive_seconds: int) -> uvicorn.Config:
    """The configuration of uvicorn."""
    return uvicorn.Config(
        app,
        http=GuardedHttp,
        ws="none",
        loop="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


async def serve_until_told(
    app: ASGIApp,
    listening: Sequence[socket.socket],
    *,
    tls: Sequence[ssl.SSLContext | None] = (None, None),
    keep_alive_seconds: int,
    on_stop: Callable[[], None],
    on_started: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT, or until this is cancelled. Raises WorkEnded when the server ends earlier. `tls`
    has a context for each of the listening sockets, or None.

    At the end `on_stop` is called, no connection is accepted, and current requests get at most two seconds for their
    answers. The process has ten seconds from the signal on. If it still runs then, its hanging tasks are shown and it
    ends with status 1. That loses no data, as kill -9 loses none.
    """
    server = _Server(server_config(app, keep_alive_seconds), tls)

    WHO.set(ANONYMOUS_NAME)  # requests are not the operator's who started the process
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    serving = asyncio.create_task(server.serve(sockets=list(listening)), name="the HTTP server")
    serving.add_done_callback(lambda _: told.set())
    try:
        await _until_started(server, serving, on_started)
        await told.wait()
        if serving.done():
            raise how_it_ended(serving)
    except asyncio.CancelledError as reason:
        log.critical("stopping without a signal", reason=str(reason))
        raise
    finally:
        faulthandler.dump_traceback_later(STOP_WITHIN_SECONDS, exit=True, file=2)
        loop.call_later(STOP_WITHIN_SECONDS * 0.9, _say_what_hangs)
        on_stop()
        await _end(server, serving)


async def _end(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    """Stop the server. Answers from now on close their connections. Requests that are cut off still get an answer."""
    server.should_exit = True
    for connection in list(server.server_state.connections):
        connection.shutdown()
    await asyncio.wait({serving}, timeout=DRAIN_SECONDS + 1)
    if cut_off := set(server.server_state.tasks):
        await asyncio.wait(cut_off, timeout=1)


async def _until_started(server: uvicorn.Server, serving: asyncio.Task[None], on_started: Callable[[], None]) -> None:
    while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn only sets a flag
        await asyncio.sleep(0.01)
    if server.started:
        # Objects that are loaded now stay. Without `freeze` the collector would visit all of them again and again, for
        # tens of milliseconds each time, during requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        on_started()


def _say_what_hangs() -> None:
    names = sorted(task.get_name() for task in asyncio.all_tasks())
    log.error("does not stop, and is about to be ended by force", tasks=names)


@contextmanager
def stopping_within_bounds() -> Iterator[None]:
    """On leaving, cancel the forced end of the process that `serve_until_told` has scheduled."""
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def run_to_the_end(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where it exists. After `main`, the rest of the loop has five seconds to end."""

    async def bounded() -> None:
        try:
            await main
        finally:
            faulthandler.dump_traceback_later(LOOP_ENDS_WITHIN_SECONDS, exit=True, file=2)

    with stopping_within_bounds():
        if sys.platform == "win32":
            asyncio.run(bounded())
        else:
            import uvloop

            uvloop.run(bounded())
