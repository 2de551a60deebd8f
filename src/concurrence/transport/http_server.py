"""The HTTP port of a node: a thread with an event loop of its own, from the listening socket to its end.

This file and those that it brings along are imported when a node opens its HTTP port, and never otherwise: they,
Starlette, uvicorn and asyncio take a fifth of a second.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from concurrence.errors import UsageError
from concurrence.telemetry.api import IStats
from concurrence.transport.http_app import HttpApp
from concurrence.transport.http_bridge import Bridge
from concurrence.transport.http_connections import Connection, Connections
from concurrence.transport.http_guard import MAX_HEAD_BYTES
from concurrence.transport.http_limits import Refusals
from concurrence.transport.http_pages import HttpPages, HttpSettings, url_host
from concurrence.transport.remote import ApiService

_BACKLOG = 128
_KEEP_ALIVE_SECONDS = 8
_STOP_SECONDS = 3.0
_GRACE_SECONDS = 0.5


class HttpServer:
    """Serves a node's methods and pages.

    Args:
        settings: How.
        service: The methods; called on the node's thread.
        pages: What else there is.
        post: From any thread: has a call made on the node's thread soon.
        log: Told of what is refused.
        stats: Counts requests.

    Attributes:
        address: Where it listens, as ``http://host:port``.
        port: The port.

    Raises:
        UsageError: It may not listen there, or cannot.
    """

    def __init__(
        self,
        settings: HttpSettings,
        service: ApiService,
        pages: HttpPages,
        post: Callable[[Callable[[], None]], None],
        log: logging.Logger,
        stats: IStats,
    ) -> None:
        settings.check()
        self._settings = settings
        self._service = service
        self._pages = pages
        self._post = post
        self._log = log
        self._stats = stats
        self._socket = _listen(settings.host, settings.port)
        self.port = int(self._socket.getsockname()[1])
        self.address = f"http://{url_host(settings.host)}:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._ends = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End all connections and the thread. Repeatable."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # its loop has ended by itself
                self._loop.call_soon_threadsafe(self._ends.set)
            self._thread.join(_STOP_SECONDS)
            if self._thread.is_alive():
                self._log.error("the HTTP thread did not end within %g s", _STOP_SECONDS)
        self._socket.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:  # noqa: BLE001  it is told, and the node lives without its HTTP port
            self._log.exception("the HTTP port failed; the node goes on without it")
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        refusals = Refusals(self._log, self._stats, time.monotonic)
        bridge = Bridge(self._post, self._loop)
        cookie = f"concurrence_{self.port}"
        app = HttpApp(self._settings, self._service, self._pages, bridge, refusals, self._stats, cookie)
        settings = self._settings
        connections = Connections(
            settings.connections, refusals, self._loop, settings.head_seconds, settings.request_seconds
        )
        config = _config(app)
        state = ServerState()
        quiet = self._log.getChild("uvicorn")
        quiet.setLevel(logging.ERROR)  # what it warns of is told by refusals, with the address

        def connect() -> Connection:
            connection = Connection(config, state, self._loop, connections)
            connection.logger = quiet
            return connection

        server = await self._loop.create_server(connect, sock=self._socket, backlog=_BACKLOG)
        try:
            await self._ends.wait()
        finally:
            server.close()
            app.close()
            bridge.close()
            if state.tasks:
                await asyncio.wait(set(state.tasks), timeout=_GRACE_SECONDS)
            connections.close()
            for task in [*state.tasks]:
                task.cancel()
            await asyncio.sleep(0)  # connections that were cut tell that they are gone


def _config(app: HttpApp) -> Config:
    config = Config(
        cast("Any", app),
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        # Who calls is who connects: nothing that a header says.
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
    )
    config.load()
    return config


def _listen(host: str, port: int) -> socket.socket:
    plain = host.strip("[]")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    # The protocol is named: asyncio sends without delay on what says that it is TCP; else each answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((plain, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"the API cannot listen at {url_host(host)}:{port}: {error.strerror or error}",
            hint="Choose another port, as in --set api.port=7790, or have no API over HTTP: --set api.enabled=no",
        ) from error
    return listener
