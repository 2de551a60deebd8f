"""What the listening ends have in common: many connections behind one descriptor, which come and go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from concurrence.transport.api import Origin
from concurrence.transport.rejections import Rejections
from concurrence.transport.tcp_link import ConnectionLost, Link
from concurrence.transport.tcp_listener import Listener
from concurrence.transport.tcp_poll import READ, WRITE, AlarmClock, Bell, Ready

Listen: TypeAlias = Callable[[Ready, Bell, Callable[[Link, Origin], None]], Listener]
"""Makes the listener, given what it polls with, its bell and who is told of newcomers."""


class IClosable(Protocol):
    """What is closed with an end."""

    def close(self) -> None:
        """Close."""
        ...


class Connection:
    """A connection whose other end is known.

    Attributes:
        link: Its bytes.
        origin: Who is there.
        is_blocked: Whether it is waited for that it takes more.
    """

    __slots__ = ("is_blocked", "link", "origin")

    def __init__(self, link: Link, origin: Origin) -> None:
        self.link = link
        self.origin = origin
        self.is_blocked = False


ConnectionT = TypeVar("ConnectionT", bound=Connection)


class ListeningEnd(ABC, Generic[ConnectionT]):
    """An end that listens already.

    Args:
        listen: Makes the listener.
        alarm: Tells when time is over.
        max_frame_bytes: The largest frame that is sent or taken.
        on_close: Called once, after the sockets are closed.
        others: What else is closed with it.
    """

    def __init__(
        self,
        listen: Listen,
        alarm: AlarmClock,
        max_frame_bytes: int,
        on_close: Callable[[Any], None],
        others: Iterable[IClosable] = (),
    ) -> None:
        self._alarm = alarm
        self._max_frame_bytes = max_frame_bytes
        self._on_close = on_close
        self._is_closed = False
        self._ready = Ready()
        self._bell = Bell()
        self._others = [*others, self._ready, self._bell]
        self._readable: dict[ConnectionT, None] = {}  # in the order of their turns
        self._ready.watch(self._bell.fileno(), self._on_bell)
        try:
            self._listener = listen(self._ready, self._bell, self._admit)
        except BaseException:
            self._close_others()
            raise

    @property
    def address(self) -> str:
        """Where it really listens, as ``tcp://host:port``."""
        return self._listener.address

    @property
    def rejections(self) -> Rejections:
        """How often something was turned away here."""
        return self._listener.rejections

    @property
    def half_open(self) -> int:
        """How many connections have not proven yet who they are."""
        return self._listener.half_open

    # --- for subclasses ---

    @abstractmethod
    def _admit(self, link: Link, origin: Origin) -> None:
        """Somebody has connected; :meth:`_welcome` it."""

    @abstractmethod
    def _lose(self, connection: ConnectionT, flush_until: float | None = None) -> None:
        """Let a connection go, and :meth:`_let_go` of it."""

    def _welcome(self, connection: ConnectionT) -> None:
        self._watch(connection)
        self._readable[connection] = None  # TLS may hold what came already

    def _watch(self, connection: ConnectionT) -> None:
        link = connection.link
        connection.is_blocked = link.waits_to_send
        events = READ | (WRITE if connection.is_blocked else 0)
        self._ready.watch(link.fileno(), lambda events: self._on_ready(connection, events), events)

    def _has_role(self, origin: Origin) -> bool:
        return self._listener.keys.role_of(origin.key) is origin.role

    def _reject(self, connection: ConnectionT, reason: str) -> None:
        self.rejections.dropped += 1
        self._listener.log.reject(reason, connection.origin.address)
        self._lose(connection)

    def _let_go(self, connection: ConnectionT, flush_until: float | None) -> None:
        self._readable.pop(connection, None)
        if connection.link.fileno() >= 0:
            self._ready.unwatch(connection.link.fileno())
        connection.link.close(flush_until)

    def _close(self, connections: Iterable[ConnectionT], flush_until: float | None = None) -> None:
        self._is_closed = True
        self._listener.close()
        for connection in list(connections):
            self._lose(connection, flush_until)
        self._close_others()
        self._on_close(self)

    # --- what is ready ---

    def _on_bell(self, events: int) -> None:
        self._bell.silence()
        self._listener.look()

    def _on_ready(self, connection: ConnectionT, events: int) -> None:
        if events & ~WRITE:
            self._readable[connection] = None
        if events & WRITE:
            try:
                connection.link.flush()
            except ConnectionLost:
                self._lose(connection)
            else:
                self._watch(connection)

    def _close_others(self) -> None:
        for each in self._others:
            if isinstance(each, Bell):
                self._alarm.set(each, None)
            each.close()
