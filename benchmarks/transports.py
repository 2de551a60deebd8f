"""What the transports carry: no-op tasks and megabytes a second through a swarm, bare bandwidth, and remote calls.

    python benchmarks/transports.py [--tasks N] [--megabytes N] [--calls N]

Each figure is that of a fresh process (both ends of a bare connection in two), on the loopback interface. "tcp, no
tls" encrypts nothing. The tasks of the bandwidth each take one megabyte there and back.
"""
# ruff: noqa: T201

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from concurrence import (
    ApplicationNode,
    KeyRing,
    Role,
    RpcClient,
    RpcServer,
    Task,
    TaskError,
    open_transport,
    run,
    run_until,
    task,
    tcpremote,
)
from concurrence.transport.api import IClient, IServer
from concurrence.transport.security import Credentials

KINDS = {"zmq": ("zmq",), "tcp": ("tcp",), "tcp, no tls": ("tcp", "transport.tls=false"), "memory": ("memory",)}
_ANYWHERE = "tcp://127.0.0.1:0"
_MEGABYTE = 1024 * 1024
_WINDOW = 16
_PATIENCE = 120.0

Ready: TypeAlias = "Callable[[Credentials], None]"


@task
def echo(data: Any) -> Any:
    """As little as a task can do."""
    return data


class Echo(ApplicationNode):
    """Pushes a warm-up, and then what is measured."""

    argument: Any = 0
    count = 0
    seconds = 0.0

    def start_processing(self) -> None:
        """Warm up."""
        self._begun = 0.0
        self.push_tasks(echo.task(self.argument) for _ in range(max(100, self.count // 50)))

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        """Give up on the first failure."""
        if error is not None:
            raise error

    def work_finished(self, result: Any, system_id: int) -> None:
        """Begin, or end."""
        if self._begun:
            type(self).seconds = time.perf_counter() - self._begun
            self.shutdown_main_loop()
            return
        self._begun = time.perf_counter()
        self.push_tasks(echo.task(self.argument) for _ in range(self.count))


def swarm_seconds(kind: str, count: int, size: int) -> float:
    """How long a private swarm takes for so many tasks, in a process of its own."""
    words = [sys.executable, __file__, "--swarm", f"{count},{size}"]
    name, *settings = KINDS[kind]
    variables = {"CONCURRENCE_NODE__TRANSPORT": name}
    if settings:
        variables["CONCURRENCE_TRANSPORT__TLS"] = "false"
    done = subprocess.run(words, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1].removeprefix("seconds: "))


def in_swarm(count: int, size: int) -> int:
    """The child of :func:`swarm_seconds`."""
    Echo.count, Echo.argument = count, os.urandom(size) if size else 0
    del sys.argv[1:]
    code = run(Echo)
    print(f"seconds: {Echo.seconds}")
    return code


def sink(kind: str, ready: Any, count: int) -> None:
    """The other end of a bare connection: takes messages and answers each with a small one."""
    transport = open_transport(*KINDS[kind])
    keys = KeyRing.create()
    server = transport.server(_ANYWHERE, keys)
    ready.send(keys.invite(server.address, Role.CLIENT))
    echo_back(server, count)
    transport.close()


def echo_back(server: IServer, count: int) -> None:
    """Answer so many messages."""
    while count:
        message = server.receive()
        if message is None:
            wait(server.pollable)
            continue
        count -= 1
        while not server.send(message[0], [b"taken"]):
            server.receive()


def wait(*pollables: Any) -> None:
    """Until one of them is readable, or a moment has passed."""
    import zmq  # noqa: PLC0415  only what polls needs it

    poller = zmq.Poller()
    for pollable in pollables:
        poller.register(getattr(pollable, "readable", pollable), zmq.POLLIN)
    poller.poll(50)


def bare_bandwidth(kind: str, megabytes: int) -> float:
    """Megabytes a second over a bare connection to another process, a few of them under way."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=sink, args=(kind, there, megabytes + 1))
    process.start()
    transport = open_transport(*KINDS[kind])
    try:
        client = transport.client(here.recv())
        body = os.urandom(_MEGABYTE)
        seconds = pump(client, body, 1)
        begun = time.perf_counter()
        pump(client, body, megabytes)
        seconds = time.perf_counter() - begun
    finally:
        transport.close()
        process.join(_PATIENCE)
    return megabytes / seconds


def pump(client: IClient, body: bytes, count: int) -> float:
    """Send so many messages, and wait for all answers."""
    sent = taken = 0
    begun = time.perf_counter()
    while taken < count:
        if time.perf_counter() - begun > _PATIENCE:
            raise TimeoutError("the other end takes nothing")
        client.connection_events()
        while sent < count and sent - taken < _WINDOW and client.send([body]):
            sent += 1
        if client.receive() is not None:
            taken += 1
        else:
            wait(client.pollable, client.events_pollable)
    return time.perf_counter() - begun


def serve_calls(kind: str, ready: Any) -> None:
    """A server of one remote method, until it is told to stop."""
    transport = open_transport(*KINDS[kind])
    keys = KeyRing.create()
    server = RpcServer.listen(transport, _ANYWHERE, keys)

    @tcpremote(server)
    def same(handler: object, request: object, value: int) -> int:
        if value < 0:
            server.stop()
        return value

    ready.send(keys.invite(server.address, Role.CLIENT))
    server.run()
    transport.close()


class Caller:
    """Calls the next time when an answer comes."""

    def __init__(self, kind: str, access: Credentials) -> None:
        self.transport = open_transport(*KINDS[kind])
        self.client = RpcClient.connect(self.transport, access, self)
        self.answers = 0
        self.target = 0

    def same_response(self, value: int) -> None:
        """Go on."""
        self.answers += 1
        if self.answers < self.target:
            self.client.proxy.same(value + 1)

    def call(self, count: int) -> float:
        """Seconds for so many calls, one after the other."""
        self.answers, self.target = 0, count
        begun = time.perf_counter()
        self.client.proxy.same(0)
        if not run_until([self.client], lambda: self.answers >= count, _PATIENCE):
            raise TimeoutError("no answer")
        return time.perf_counter() - begun


def round_trip(kind: str, calls: int) -> float:
    """Microseconds of one call and its answer, between two processes."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve_calls, args=(kind, there))
    process.start()
    caller = Caller(kind, here.recv())
    caller.call(100)
    samples = [caller.call(calls // 5) / (calls // 5) for _ in range(5)]
    caller.target = 0
    caller.client.proxy.same(-1)
    run_until([caller.client], lambda: not process.is_alive(), _PATIENCE)
    caller.client.close()
    caller.transport.close()
    process.join(_PATIENCE)
    return statistics.median(samples) * 1e6


def memory_round_trip(calls: int) -> float:
    """The same within one process and thread."""
    transport, keys = open_transport("memory"), KeyRing.create()
    server = RpcServer.listen(transport, _ANYWHERE, keys)

    @tcpremote(server)
    def same(handler: object, request: object, value: int) -> int:
        return value

    caller = Caller("memory", keys.invite(server.address, Role.CLIENT))
    caller.target = calls
    begun = time.perf_counter()
    caller.client.proxy.same(0)
    run_until([server, caller.client], lambda: caller.answers >= calls, _PATIENCE)
    seconds = time.perf_counter() - begun
    transport.close()
    caller.transport.close()
    return seconds / calls * 1e6


def memory_bandwidth(megabytes: int) -> float:
    """Megabytes a second within one process and thread."""
    transport, keys = open_transport("memory"), KeyRing.create()
    server = transport.server(_ANYWHERE, keys)
    client = transport.client(keys.invite(server.address, Role.CLIENT))
    body = os.urandom(_MEGABYTE)
    begun = time.perf_counter()
    for _ in range(megabytes):
        client.send([body])
        server.receive()
    seconds = time.perf_counter() - begun
    transport.close()
    return megabytes / seconds


def main() -> int:
    """Measure all kinds, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--swarm", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.swarm:
        count, size = arguments.swarm.split(",")
        return in_swarm(int(count), int(size))
    print(f"{'':12} {'no-op tasks/s':>14} {'MB/s of tasks':>14} {'MB/s bare':>10} {'us a remote call':>17}")
    through = max(50, arguments.megabytes // 5)
    for kind in KINDS:
        if kind == "memory":
            bare, trip = memory_bandwidth(arguments.megabytes), memory_round_trip(arguments.calls)
            print(f"{kind:12} {'-':>14} {'-':>14} {bare:>10,.0f} {trip:>17,.0f}")
            continue
        rate = arguments.tasks / swarm_seconds(kind, arguments.tasks, 0)
        moved = through / swarm_seconds(kind, through, _MEGABYTE)
        bare, trip = bare_bandwidth(kind, arguments.megabytes), round_trip(kind, arguments.calls)
        print(f"{kind:12} {rate:>14,.0f} {moved:>14,.0f} {bare:>10,.0f} {trip:>17,.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
