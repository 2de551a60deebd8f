"""The smallest poll loop: for programs that have no other to turn their servers and clients with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from time import monotonic
from typing import Any

import zmq

from concurrence.transport.api import SplitPollable


class Turning(ABC):
    """Something that works when its descriptors are ready."""

    def __init__(self) -> None:
        self._is_stopped = False

    @abstractmethod
    def pollables(self) -> list[tuple[Any, bool]]:
        """What wakes it when it is readable, and whether also when it is writable."""

    @abstractmethod
    def work(self) -> None:
        """Do what there is to do, without blocking."""

    def turn(self, seconds: float | None = None) -> None:
        """Wait until there is something to do, and do it.

        Args:
            seconds: How long to wait at most; None for as long as it takes.
        """
        turn_all([self], seconds)

    def run(self) -> None:
        """Work until :meth:`stop`."""
        while not self._is_stopped:
            self.turn()

    def stop(self) -> None:
        """End :meth:`run` after what it does now; for its own thread, as in a method or a notification."""
        self._is_stopped = True


def turn_all(ends: list[Turning], seconds: float | None = None) -> None:
    """Wait until one of several has something to do, and let all of them do it.

    Args:
        ends: Servers and clients of remote methods.
        seconds: How long to wait at most; None for as long as it takes.
    """
    poller = zmq.Poller()
    for end in ends:
        for pollable, writes in end.pollables():
            if isinstance(pollable, SplitPollable):
                poller.register(pollable.readable, zmq.POLLIN)
                if writes:
                    poller.register(pollable.writable, zmq.POLLIN)
            else:
                poller.register(pollable, zmq.POLLIN | zmq.POLLOUT if writes else zmq.POLLIN)
    poller.poll(None if seconds is None else int(seconds * 1000))
    for end in ends:
        end.work()


def run_until(ends: list[Turning], condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Let all of them work until a condition holds; whether it does before the time is over.

    Args:
        ends: Servers and clients of remote methods.
        condition: Asked after each turn.
        seconds: How long at most.
    """
    deadline = monotonic() + seconds
    while not condition():
        left = deadline - monotonic()
        if left <= 0:
            return False
        turn_all(ends, min(left, 1.0))
    return True
