"""A relay for TCP connections that misbehaves as networks do: it delays, stalls, throttles and cuts."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TypeAlias

_PIECE = 16_384
_QUEUED = 64  # pieces under way in each direction: then the sender is slowed down, as on a real line
_LOOK_SECONDS = 0.1
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST instead of FIN

_Pieces: TypeAlias = Queue[tuple[float, bytes]]

IN = "in"
"""Towards whoever listens: from a node to its master."""

OUT = "out"
"""The other way."""


class Line:
    """One relayed connection: four threads, the last of which closes it.

    Args:
        relay: What it belongs to, and how that behaves now.
        here: The end of whoever connected.
        there: The end of whoever listens.
    """

    def __init__(self, relay: Relay, here: socket.socket, there: socket.socket) -> None:
        self._relay = relay
        self._ends = {IN: (here, there), OUT: (there, here)}
        self._lock = threading.Lock()
        self.is_open = True
        for end in (here, there):
            end.settimeout(_LOOK_SECONDS)
        self.threads: list[threading.Thread] = []
        for direction in (IN, OUT):
            pieces: Queue[tuple[float, bytes]] = Queue(_QUEUED)
            for work in (self._read, self._write):
                self.threads.append(
                    threading.Thread(target=self._run, args=(work, direction, pieces), daemon=True)
                )
        self._running = len(self.threads)
        for thread in self.threads:
            thread.start()

    def reset(self) -> None:
        """Both ends see the connection reset."""
        for end in self._ends[IN]:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.is_open = False

    def half_close(self, direction: str) -> None:
        """Nothing more comes in this direction, and its receiver is told so; the other one goes on."""
        with suppress(OSError):
            self._ends[direction][1].shutdown(socket.SHUT_WR)

    def finish(self) -> None:
        """Both ends see the connection ended in good order."""
        self.is_open = False
        for direction in (IN, OUT):
            self.half_close(direction)

    def _run(self, work: Callable[[str, _Pieces], None], direction: str, pieces: _Pieces) -> None:
        try:
            work(direction, pieces)
        except OSError:
            self.finish()  # one end is gone: so is the other
        with self._lock:
            self._running -= 1
            is_last = not self._running
        if is_last:
            self.is_open = False
            for end in self._ends[IN]:
                end.close()

    def _read(self, direction: str, pieces: _Pieces) -> None:
        source = self._ends[direction][0]
        data = b"?"
        while data and self.is_open:
            try:
                data = source.recv(_PIECE)
            except TimeoutError:
                continue
            piece = (time.monotonic() + self._relay.delay, data)
            while self.is_open:
                with suppress(Full):
                    pieces.put(piece, timeout=_LOOK_SECONDS)
                    break

    def _write(self, direction: str, pieces: _Pieces) -> None:
        while self.is_open:
            try:
                due, data = pieces.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            time.sleep(max(0.0, due - time.monotonic()))
            while self.is_open and not self._relay.flows[direction].wait(_LOOK_SECONDS):
                continue
            if not data:
                self.half_close(direction)
                return
            self._send(self._ends[direction][1], data)
            self._relay.passed[direction] += len(data)
            if self._relay.rate:
                time.sleep(len(data) / self._relay.rate)

    def _send(self, sink: socket.socket, data: bytes) -> None:
        left = memoryview(data)
        while left and self.is_open:
            with suppress(TimeoutError):
                left = left[sink.send(left) :]


class Relay:
    """Passes TCP connections on, and does to them what it is told.

    Args:
        target: The port.
        host: Where the target is.
        listen: The address to listen on.

    Attributes:
        delay: Seconds that everything is under way longer.
        rate: Bytes a second in each direction of a connection; 0 for no limit.
        passed: Bytes that went through so far, by direction.
        flows: Per direction, whether anything goes through.
    """

    def __init__(self, target: int, host: str = "127.0.0.1", listen: str = "127.0.0.1") -> None:
        self._target = (host, target)
        self._lines: list[Line] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((listen, 0))
        self._is_shut = False
        self.port = int(self._listener.getsockname()[1])
        self.delay = 0.0
        self.rate = 0.0
        self.passed = {IN: 0, OUT: 0}
        self.flows = {IN: threading.Event(), OUT: threading.Event()}
        self.resume()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def lines(self) -> list[Line]:
        """The connections that are open."""
        with self._lock:
            return [line for line in self._lines if line.is_open]

    def stall(self, *directions: str) -> None:
        """Let nothing through, without a word to anybody; in these directions, or both."""
        for direction in directions or (IN, OUT):
            self.flows[direction].clear()

    def resume(self) -> None:
        """Let everything through again, and new connections in."""
        self._is_shut = False
        for flow in self.flows.values():
            flow.set()

    def cut(self, *, reset: bool = False) -> int:
        """End all connections; new ones are passed on again. How many there were."""
        lines = self.lines
        for line in lines:
            (line.reset if reset else line.finish)()
        return len(lines)

    def half_close(self, direction: str) -> int:
        """End one direction of all connections; how many there were."""
        lines = self.lines
        for line in lines:
            line.half_close(direction)
        return len(lines)

    def shut(self) -> None:
        """Cut everything, and hang up on whoever connects, until :meth:`resume`."""
        self._is_shut = True
        self.cut(reset=True)

    def close(self) -> None:
        """End it all."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5.0)
        self.resume()
        self.cut(reset=True)
        for line in self._lines:
            for thread in line.threads:
                thread.join(5.0)

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            if self._is_shut:
                here.close()
                continue
            try:
                there = socket.create_connection(self._target, 5.0)
            except OSError:
                here.close()
                continue
            with self._lock:
                self._lines.append(Line(self, here, there))
