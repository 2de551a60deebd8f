"""A node's link to its master: greeting, heartbeats, and what to do when either fails. Pure.

Events and the time go in; what is to be sent collects in ``outgoing``, what happened in ``events``.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from msgspec.structs import replace

from concurrence.errors import AuthenticationFailed, ConcurrenceError, ConnectionFailed, Refused
from concurrence.wire.messages import Bye, Hello, Message, Ping, Pong, Refusal, Welcome


class LinkState(Enum):
    """How far the link is."""

    CONNECTING = "connecting"
    GREETING = "greeting"
    READY = "ready"
    FAILED = "failed"


class LinkEvent(Enum):
    """What a link tells its node."""

    READY = "ready"
    """Welcomed, for the first time or as the same incarnation as before."""
    FORGOTTEN = "forgotten"
    """Welcomed by a master that does not know this incarnation any more: what was under way is lost."""
    LOST = "lost"
    """The connection broke, or the master fell silent; the link goes on trying."""
    DISMISSED = "dismissed"
    """The master said goodbye: it stops, or it needs this node no more. A loss follows."""
    FAILED = "failed"
    """The link has given up; see :attr:`MasterLink.error`."""


_RETRY_SECONDS = 2.0  # at least, and at most twice as long
_SPREAD = 0.5  # of a lease, over which nodes that all lost their master give it up
_HELLO_SECONDS = 1.0
_FIRST_LEASE = 10.0  # seconds, until the master's welcome says its own


class MasterLink:
    """The state of one node's link.

    Args:
        make_hello: Makes the greeting; told whether this incarnation was welcomed before.
        address: Where the master is, for the texts of errors.
        now: The time.
        patience: Seconds until the first welcome after which the link gives up; None for never.
        chance: Numbers from 0 to below 1: what many nodes notice together, they do not all do at once.
    """

    def __init__(
        self,
        make_hello: Callable[[bool], Hello],
        address: str,
        now: float,
        *,
        patience: float | None,
        chance: Callable[[], float] = float,
    ) -> None:
        self._make_hello = make_hello
        self._address = address
        self._deadline = None if patience is None else now + patience
        self._chance = chance
        self._stretch = 1.0
        self._heard = now
        self._sent = now
        self._hello_at = now
        self._greeting_since = now
        self._pinged = now
        self._ticked = now
        self._greetings = 0
        self._was_connected = False
        self._auth_failures = 0
        self._retry_at: float | None = None
        self.state = LinkState.CONNECTING
        self.welcome: Welcome | None = None
        self.error: ConcurrenceError | None = None
        self.outgoing: list[Message] = []
        self.events: list[LinkEvent] = []
        self.wants_reconnect = False

    @property
    def ready(self) -> bool:
        """Whether other messages may be sent."""
        return self.state is LinkState.READY

    def connection(self, event: str, now: float) -> None:
        """The transport reports ``connected``, ``disconnected`` or ``auth_failed``."""
        if self.state is LinkState.FAILED:
            return
        if event == "connected":
            self._was_connected = True
            self._greet(now)
        elif event == "disconnected":
            self._lose()
        elif event == "auth_failed":
            self._auth_failures += 1
            if self.welcome is None:
                self._fail(self._authentication_error())
            else:
                # It was right before: a master that restarts may hang up a few times.
                self._lose()
                self._retry_at = now + _RETRY_SECONDS * (1.0 + self._chance())

    def message(self, message: Message, now: float) -> bool:
        """A message arrived; returns True if it was the link's own business."""
        if self.state is LinkState.FAILED:
            return True
        self._heard = now
        if isinstance(message, Welcome):
            self._welcomed(message)
        elif isinstance(message, Refusal):
            self._refused(message, now)
        elif isinstance(message, Ping):
            self.outgoing.append(Pong(message.number))
        elif isinstance(message, Bye):
            self.events.append(LinkEvent.DISMISSED)
            self._lose()
        else:
            return isinstance(message, Pong)
        return True

    def sent(self, now: float) -> None:
        """Something was sent: no ping is needed for a while."""
        self._sent = now

    def tick(self, now: float) -> None:
        """Time passes: heartbeats, silence, deadlines."""
        if self.state is LinkState.FAILED:
            return
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self.wants_reconnect = True
        heartbeat = self.welcome.heartbeat if self.welcome else 1.0
        pause, self._ticked = now - self._ticked, now
        lease = self.welcome.lease if self.welcome else _FIRST_LEASE
        if pause > lease / 2:
            # This process was stopped: the silence was its own.
            self._heard += pause
            self._greeting_since += pause
        if self.state is LinkState.READY:
            if now - self._heard > lease * self._stretch:
                self._reconnect(now)
            elif now - min(self._sent, self._heard) >= heartbeat and now - self._pinged >= heartbeat:
                # Also when much was sent: a master that has nothing to say says at least Pong.
                self._sent = self._pinged = now
                self.outgoing.append(Ping())
        elif self.state is LinkState.GREETING:
            if now - self._greeting_since > lease * self._stretch:
                self._reconnect(now)
            elif now - self._hello_at >= _HELLO_SECONDS:
                # The answer may have been lost with a connection that broke unseen.
                self._greet(now)
        if self._deadline is not None and self.welcome is None and now >= self._deadline:
            self._fail(self._no_answer())

    def _greet(self, now: float) -> None:
        if self.state is not LinkState.GREETING:
            self._greeting_since = now
            self._stretch = 1.0 + _SPREAD * self._chance()
        self.state = LinkState.GREETING
        self._hello_at = self._sent = now
        self._greetings += 1
        registration = self.welcome.registration if self.welcome is not None else 0
        hello = self._make_hello(self.welcome is not None)
        self.outgoing = [replace(hello, registration=registration, greeting=self._greetings)]

    def _welcomed(self, welcome: Welcome) -> None:
        if self.state not in (LinkState.GREETING, LinkState.READY):
            return
        before, self.welcome = self.welcome, welcome
        is_other = before is not None and before.registration != welcome.registration
        if self.state is LinkState.READY:
            # The answer to a hello that was repeated, or the master's limits changed.
            if is_other:
                self.events.append(LinkEvent.FORGOTTEN)
            return
        self.state = LinkState.READY
        is_known = before is None or (welcome.known and not is_other)
        self.events.append(LinkEvent.READY if is_known else LinkEvent.FORGOTTEN)

    def _refused(self, refusal: Refusal, now: float) -> None:
        if refusal.retry:
            if self.state is not LinkState.GREETING:
                self._lose()
                self._greet(now)
            return
        self._fail(Refused(f"the master at {self._address} refused: {refusal.text}", hint=refusal.hint))

    def _reconnect(self, now: float) -> None:
        self._lose()
        self.wants_reconnect = True
        self._heard = now

    def _lose(self) -> None:
        self.outgoing.clear()
        if self.state is LinkState.READY:
            self.events.append(LinkEvent.LOST)
        if self.state is not LinkState.FAILED:
            self.state = LinkState.CONNECTING

    def _fail(self, error: ConcurrenceError) -> None:
        self.error = error
        self.state = LinkState.FAILED
        self.outgoing.clear()
        self.events.append(LinkEvent.FAILED)

    def _authentication_error(self) -> AuthenticationFailed:
        return AuthenticationFailed(
            f"the master at {self._address} does not accept this key",
            hint="The connect file is not, or no longer, one of this master's: fetch a fresh one from connect/ in "
            "the folder of the master's environment. Or the master has no room for more connections: see its log.",
        )

    def _no_answer(self) -> ConcurrenceError:
        if self._was_connected or self._auth_failures:
            return AuthenticationFailed(
                f"something listens at {self._address}, but did not answer as the master of this connect file",
                hint="Another master or another program may have taken the address. Fetch a fresh connect file.",
            )
        return ConnectionFailed(
            f"no master answers at {self._address}",
            hint="Check that it runs (concurrence master), that the address is right, and that no firewall is "
            "between.",
        )
