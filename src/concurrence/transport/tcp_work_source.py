"""A slave's end of the global work socket over TCP: it asks for as much as it is ready to take."""

from __future__ import annotations

import time
from collections.abc import Callable

from concurrence.transport.tcp_connector import Destination
from concurrence.transport.tcp_dialing import DialingEnd
from concurrence.transport.tcp_link import Link
from concurrence.transport.tcp_poll import AlarmClock
from concurrence.transport.tcp_work_queue import ASK, ASKED_FOR, PAUSE, RESUME

# A pausing slave takes what is on its way for so long.
_QUIET_SECONDS = 0.005
_LOOKS = 5


class TCPWorkSource(DialingEnd):
    """A slave's end, which connects already; its arguments are those of every :class:`DialingEnd`."""

    def __init__(
        self,
        destination: Destination,
        alarm: AlarmClock,
        max_frame_bytes: int,
        on_close: Callable[[TCPWorkSource], None],
    ) -> None:
        super().__init__(destination, alarm, max_frame_bytes, on_close)
        self._is_paused = False
        self._asked = 0
        self._connector.start()

    @property
    def pollable(self) -> int:
        """A descriptor that is readable when there is work, or something to be done by receiving."""
        return self._ready.fileno()

    def pause(self) -> None:
        """Ask for no more, and have the master send none of what was asked for.

        What is on its way is kept for :meth:`receive`. This may wait for some milliseconds.
        """
        if self._is_paused or self._is_closed:
            return
        self._is_paused = True
        self._order(PAUSE)
        for _ in range(_LOOKS):
            if self._stream is None:
                break
            self._ready.run()
            while self._is_readable:
                self._read()
            time.sleep(_QUIET_SECONDS / _LOOKS)
        if self._inbox:
            self._bell.ring()

    def resume(self) -> None:
        """Ask again."""
        if not self._is_paused or self._is_closed:
            return
        self._is_paused = False
        if self._stream is not None:
            self._order(RESUME)
        elif self._connector.is_resting:
            self._connector.start()

    def close(self) -> None:
        """Close. Repeatable."""
        if not self._is_closed:
            self._drop()
            self._close()

    def _opened(self, link: Link) -> None:
        self._asked = 0
        if self._is_paused:
            self._order(PAUSE)

    def _took(self, count: int) -> None:
        self._asked = max(0, self._asked - count)

    def _drained(self) -> None:
        while self._stream is not None and not self._is_paused and self._asked < ASKED_FOR:
            self._asked += 1
            self._order(ASK)

    def _order(self, order: int) -> None:
        self._send([memoryview(bytes((order,)))], 1)
