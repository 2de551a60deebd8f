"""How many requests a second the API over HTTP answers, beside a bare Starlette endpoint on the same server.

    python benchmarks/api_throughput.py [--seconds S] [--connections C]

Both servers run on one core, the client on another one if there is one. The client keeps its connections open and
sends the next request on each as soon as the last is answered. What the API does beside: it checks Host, Origin,
token and rate, reads JSON within limits, and has the method called on the node's own thread.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import selectors
import socket
import sys
import threading
import time
from multiprocessing.process import BaseProcess
from typing import Any

import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from concurrence.nodes.common_methods import register_common
from concurrence.nodes.reactor import Reactor
from concurrence.telemetry.stats import Stats
from concurrence.transport.http_pages import HttpPages, HttpSettings
from concurrence.transport.http_server import HttpServer
from concurrence.transport.remote import ApiService
from concurrence.transport.security import Role
from concurrence.transport.tokens import ApiTokens

CALL = b'{"jsonrpc": "2.0", "method": "ping", "id": 1}'
BATCH = b"[" + b",".join([CALL] * 100) + b"]"
_ANSWER_SECONDS = 30.0


def serve_bare(pipe: Any) -> None:
    """A Starlette application that echoes what is posted, on uvicorn, in this process."""

    async def endpoint(request: Request) -> Response:
        await request.body()
        return Response(b'{"jsonrpc":"2.0","result":"pong","id":1}', media_type="application/json")

    _stay_on_one_core()
    app = Starlette(routes=[Route("/api/1", endpoint, methods=["POST"])])
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    pipe.send((listener.getsockname()[1], ""))
    pipe.recv()
    server.should_exit = True
    thread.join(5.0)


def serve_api(pipe: Any) -> None:
    """The API of a node, with the node's poll loop in this process."""
    _stay_on_one_core()
    reactor, stats, service, tokens = Reactor(), Stats(), ApiService(), ApiTokens.create()
    register_common(service, stats)
    settings = HttpSettings("127.0.0.1", 0, tokens, rate=1e9)
    server = HttpServer(settings, service, HttpPages(), reactor.post, logging.getLogger(), stats)
    loop = threading.Thread(target=reactor.run, daemon=True)
    loop.start()
    server.start()
    pipe.send((server.port, tokens.token(Role.ADMIN)))
    pipe.recv()
    server.stop()
    reactor.post(reactor.stop)
    loop.join(5.0)
    reactor.close()


def _stay_on_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def measure(
    server: psutil.Process, port: int, token: str, body: bytes, seconds: float, connections: int
) -> tuple[float, float]:
    """Requests in a second, and in a second of the server's CPU time."""
    head = "POST /api/1 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += f"authorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    waiting = selectors.DefaultSelector()
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port), _ANSWER_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting.register(connection, selectors.EVENT_READ)
        connection.sendall(request)
    answered = 0
    before = sum(server.cpu_times()[:2])
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for key, _ in waiting.select(_ANSWER_SECONDS):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            _read_answer(connection)
            answered += 1
            connection.sendall(request)
    took = time.perf_counter() - begun
    spent = sum(server.cpu_times()[:2]) - before
    for key in list(waiting.get_map().values()):
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()
    return answered / took, answered / max(0.01, spent)


def _read_answer(connection: socket.socket) -> None:
    received = connection.recv(65_536)
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator or not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"no answer: {received[:300]!r}")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    missing = int(length.partition(b":")[2]) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65_536))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    spawning = multiprocessing.get_context("spawn")
    servers: list[tuple[Any, BaseProcess]] = []
    for serve in (serve_bare, serve_api):
        ours, theirs = spawning.Pipe()
        process = spawning.Process(target=serve, args=(theirs,))
        process.start()
        servers.append((ours, process))
    bare, api = [(psutil.Process(process.pid), *pipe.recv()) for pipe, process in servers]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[1:] or cores))
    cases = {
        "bare Starlette endpoint": (bare, CALL, 1),
        "JSON-RPC, one call a request": (api, CALL, 1),
        "JSON-RPC, 100 calls a request": (api, BATCH, 100),
    }
    best = dict.fromkeys(cases, (0.0, 0.0))
    for _ in range(options.rounds):  # in turn, so that what else the machine does hits all alike
        for name, ((server, port, token), body, calls) in cases.items():
            rates = measure(server, port, token, body, options.seconds, options.connections)
            best[name] = (max(best[name][0], calls * rates[0]), max(best[name][1], calls * rates[1]))
    for name, (rate, by_cpu) in best.items():
        print(f"{name:<32} {rate:>9,.0f} calls/s   {by_cpu:>9,.0f} calls per CPU second of the server")
    for pipe, process in servers:
        pipe.send(None)
        process.join(10.0)
    share = best["JSON-RPC, one call a request"][1] / best["bare Starlette endpoint"][1]
    print(
        f"on one core the API answers {share:.0%} of what the bare endpoint does; best of {options.rounds} rounds"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
