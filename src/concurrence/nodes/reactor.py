"""The poll loop of a node: one thread that sleeps in poll until a socket, a timer or a mailbox has something."""

from __future__ import annotations

import heapq
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import zmq

from concurrence.clock import IClock, MonotonicClock
from concurrence.transport.api import SplitPollable


class Timer:
    """A call in the future."""

    __slots__ = ("at", "callback")

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call; harmless afterwards."""
        self.callback = None


class Mailbox:
    """Calls from other threads; wakes the loop once, however many there are."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._signalled = False

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._reader.fileno()

    def post(self, call: Callable[[], None]) -> None:
        """From any thread: leave a call; after :meth:`close` it is dropped."""
        self._calls.append(call)
        if not self._signalled:
            self._signalled = True
            # A full pipe wakes the loop all the same; a closed one means that the loop has ended.
            with suppress(OSError):
                self._writer.send(b"\0")

    def drain(self) -> None:
        """Make the calls that were left."""
        with suppress(BlockingIOError):
            self._reader.recv(64)
        # Before the calls are taken: whoever posts from here on signals again.
        self._signalled = False
        for _ in range(len(self._calls)):
            self._calls.popleft()()

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()


class Reactor:
    """A poll loop over ZeroMQ sockets and file descriptors, with timers and a mailbox.

    Args:
        clock: What tells the time; the machine's monotonic clock by default.
    """

    def __init__(self, clock: IClock | None = None) -> None:
        self._clock = clock or MonotonicClock()
        self._poller = zmq.Poller()
        self._readers: dict[Any, Callable[[], None]] = {}
        self._writers: dict[Any, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._cycle_ends: list[Callable[[], None]] = []
        self._mailbox = Mailbox()
        self._stopped = False
        self.register(self._mailbox.fileno(), self._mailbox.drain)

    def now(self) -> float:
        """The loop's clock, in seconds."""
        return self._clock.now()

    def register(self, pollable: Any, on_readable: Callable[[], None]) -> None:
        """Call whenever the pollable is readable (level-triggered)."""
        key = _key(pollable)
        self._readers[key] = on_readable
        self._update(key)

    def watch_writable(self, pollable: Any, on_writable: Callable[[], None] | None) -> None:
        """Also call whenever it is writable; None ends that."""
        if isinstance(pollable, SplitPollable):
            if on_writable is None:
                self.unregister(pollable.writable)
            else:
                self.register(pollable.writable, on_writable)
            return
        key = _key(pollable)
        if on_writable is None:
            self._writers.pop(key, None)
        else:
            self._writers[key] = on_writable
        self._update(key)

    def unregister(self, pollable: Any) -> None:
        """Stop watching, before the pollable is closed; harmless if it is not watched."""
        if isinstance(pollable, SplitPollable):
            self.unregister(pollable.writable)
        key = _key(pollable)
        self._readers.pop(key, None)
        self._writers.pop(key, None)
        self._update(key)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call once after ``delay`` seconds."""
        timer = Timer(self.now() + delay, callback)
        heapq.heappush(self._timers, (timer.at, next(self._order), timer))
        return timer

    def call_every(self, period: float, callback: Callable[[], None]) -> None:
        """Call every ``period`` seconds until the loop ends."""

        def again() -> None:
            self.call_later(period, again)
            callback()

        self.call_later(period, again)

    def post(self, callback: Callable[[], None]) -> None:
        """From any thread, also from a signal handler: call on the loop's thread soon."""
        self._mailbox.post(callback)

    def on_cycle_end(self, callback: Callable[[], None]) -> None:
        """Call at the end of every cycle, after everything that was readable was drained."""
        self._cycle_ends.append(callback)

    def stop(self) -> None:
        """End the loop after this cycle; for the loop's own thread."""
        self._stopped = True

    def run(self) -> None:
        """Loop until :meth:`stop`."""
        while not self._stopped:
            self.cycle(None)

    def cycle(self, longest: float | None) -> None:
        """One turn: wait for something to do, do it, and call what ends a cycle.

        Args:
            longest: Seconds to wait at most; None to wait for the next event or timer.
        """
        for pollable, events in self._poller.poll(self._timeout(longest)):
            if events & (zmq.POLLIN | zmq.POLLERR):
                reader = self._readers.get(pollable)
                if reader is not None:
                    reader()
            if events & zmq.POLLOUT:
                writer = self._writers.get(pollable)
                if writer is not None:
                    writer()
        self._run_timers()
        for callback in self._cycle_ends:
            callback()

    def close(self) -> None:
        """Close the mailbox; what others registered is theirs to close."""
        self._mailbox.close()

    def _timeout(self, longest: float | None) -> int | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        waits = [longest] if longest is not None else []
        if self._timers:
            waits.append(self._timers[0][0] - self.now())
        if not waits:
            return None
        # Rounded up: a poll that ends a moment before its timer would spin.
        return max(0, int(min(waits) * 1000) + 1) if min(waits) > 0 else 0

    def _run_timers(self) -> None:
        if not self._timers:
            return
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()

    def _update(self, key: Any) -> None:
        flags = (zmq.POLLIN if key in self._readers else 0) | (zmq.POLLOUT if key in self._writers else 0)
        if flags:
            self._poller.register(key, flags)
        elif key in self._poller:
            self._poller.unregister(key)


def _key(pollable: Any) -> Any:
    """What poll names it by: a ZeroMQ socket itself, anything else by its descriptor."""
    if isinstance(pollable, SplitPollable):
        return pollable.readable
    return pollable if _is_native(pollable) else pollable.fileno()


def _is_native(pollable: object) -> bool:
    return isinstance(pollable, zmq.Socket | int)
