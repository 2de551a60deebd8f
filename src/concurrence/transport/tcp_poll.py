"""What the ends of the TCP transport sleep on: descriptors that stand for many, a bell, and an alarm clock.

An end has many sockets and its owner's poll loop one descriptor for it: an epoll object, which is readable when
one of its sockets is ready. A bell in it makes it readable too while messages wait that were read already, and
when a deadline has come, about which the alarm clock's thread knows. That thread handles no payload.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

READ: int = getattr(select, "EPOLLIN", 1)
WRITE: int = getattr(select, "EPOLLOUT", 4)

Handler: TypeAlias = Callable[[int], None]
"""What is called with the events of a descriptor."""


class Bell:
    """A descriptor that is readable from when it was rung until it is silenced; any thread may ring."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_rung = False

    def fileno(self) -> int:
        """What to poll."""
        return self._descriptor

    def ring(self) -> None:
        """Let it be readable."""
        if not self._is_rung and self._descriptor >= 0:
            self._is_rung = True
            os.eventfd_write(self._descriptor, 1)

    def silence(self) -> None:
        """Let it be unreadable."""
        # In this order a bell that is rung meanwhile rings once too often, never once too seldom.
        self._is_rung = False
        if self._descriptor >= 0:
            with suppress(BlockingIOError):
                os.eventfd_read(self._descriptor)

    def close(self) -> None:
        """Close it. Repeatable."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Ready:
    """Descriptors, each with its handler, that are polled as one."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, tuple[Handler, int]] = {}

    def fileno(self) -> int:
        """What to poll: readable when one of the descriptors is ready."""
        return self._epoll.fileno()

    def watch(self, descriptor: int, handler: Handler, events: int = READ) -> None:
        """Call the handler with what a descriptor is ready for; what was watched before is replaced."""
        known = self._handlers.get(descriptor)
        if known is None:
            self._epoll.register(descriptor, events)
        elif known[1] != events:
            self._epoll.modify(descriptor, events)
        self._handlers[descriptor] = handler, events

    def unwatch(self, descriptor: int) -> None:
        """Watch no more, before the descriptor is closed; harmless if it is not watched."""
        if self._handlers.pop(descriptor, None) is not None:
            with suppress(OSError):
                self._epoll.unregister(descriptor)

    def run(self) -> bool:
        """Call the handlers of what is ready now, without waiting; whether there were any."""
        ready = self._epoll.poll(0)
        for descriptor, events in ready:
            # An earlier one of these may have closed it, or put another in its place: that is not ready then.
            handler = self._handlers.get(descriptor)
            if handler is not None:
                handler[0](events)
        return bool(ready)

    def close(self) -> None:
        """Close it; the descriptors are their owners' to close. Repeatable."""
        self._handlers.clear()
        if not self._epoll.closed:
            self._epoll.close()


class AlarmClock:
    """Rings bells at their times, from a thread that exists while there is one to ring."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[Bell, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def set(self, bell: Bell, when: float | None) -> None:
        """Ring a bell at this time, and at no other; None for never."""
        with self._changed:
            if self._times.get(bell) == when:
                return
            if when is None:
                self._times.pop(bell, None)
                return
            self._times[bell] = when
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="concurrence-alarm", daemon=True)
                self._thread.start()
            elif when <= min(self._times.values()):
                self._changed.notify()

    def close(self) -> None:
        """Forget all bells and end the thread. Repeatable."""
        with self._changed:
            self._times.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with self._changed:
            while self._times:
                bell, when = min(self._times.items(), key=_time_of)
                wait = when - self._clock()
                if wait > 0:
                    self._changed.wait(wait)
                else:
                    del self._times[bell]
                    bell.ring()
            self._thread = None


def _time_of(entry: tuple[Bell, float]) -> float:
    return entry[1]


def has_epoll() -> bool:
    """Whether this system has what this module needs."""
    return hasattr(select, "epoll") and hasattr(os, "eventfd")


def close_quietly(closable: Any) -> None:
    """Close what may fail while it closes, as a connection does that its other end has reset."""
    with suppress(OSError):
        closable.close()
