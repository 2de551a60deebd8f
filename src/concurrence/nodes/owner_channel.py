"""An owner's compute channel: an I/O thread of its own, so that a handler may take as long as it likes.

The owner's main thread submits pushes and takes notifications; everything else, greeting, heartbeats,
reconnecting, sending again what was not accepted, happens here.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, Protocol, TypeAlias

from concurrence.errors import ConcurrenceError, ConnectionFailed, MessageTooLarge, ProtocolError
from concurrence.nodes.exchange import Exchange
from concurrence.nodes.master_link import LinkEvent, MasterLink
from concurrence.nodes.owner_traffic import OwnerTraffic
from concurrence.nodes.reactor import Reactor
from concurrence.tasks.ownership import Push
from concurrence.transport.api import IClient
from concurrence.wire import faults
from concurrence.wire.codec import Parcel, decoder_to_owner, encode_results
from concurrence.wire.messages import (
    FAILED,
    Bye,
    Hello,
    Message,
    Output,
    PackedResult,
    PushRejected,
    PushTasks,
    Results,
    SystemEnded,
    SystemResult,
    ToOwner,
    Welcome,
)

Notification: TypeAlias = Parcel[ToOwner] | LinkEvent
"""What the main thread is told: a message of the master, or news of the link."""

ENDS: Final = (Results, SystemResult)
"""The messages that tell of ends."""

_TICK_SECONDS = 0.25
_MAX_WAITING = 10_000  # notifications, beyond which output is dropped
_FLUSH_SECONDS = 2.0


class IOwnerChannel(Protocol):
    """What an owner's main thread needs of its channel."""

    @property
    def accepted_push(self) -> int:
        """The number of the newest push that the master accepted; read from any thread."""
        ...

    @property
    def arrived(self) -> float:
        """When the newest ends of tasks or of a task system came, by the monotonic clock; 0 before any."""
        ...

    @property
    def error(self) -> ConcurrenceError | None:
        """Why the channel gave up; None while it has not."""
        ...

    @property
    def welcome(self) -> Welcome | None:
        """The master's newest welcome."""
        ...

    def submit(self, push: Push) -> None:
        """Send a push; again after a reconnect, until it is accepted."""
        ...

    def send(self, message: Parcel[Message]) -> None:
        """Send a message once, when there is a connection."""
        ...

    def acknowledge(self, delivery: int) -> None:
        """Everything up to this delivery was handled."""
        ...

    def receive(self, timeout: float | None) -> Notification | None:
        """The next notification; None if none came in time.

        Args:
            timeout: Seconds; None to wait for ever, 0 not to wait.
        """
        ...

    def wake(self) -> None:
        """From any thread: let :meth:`receive` return None at once."""
        ...

    def close(self, reason: str) -> None:
        """Say goodbye and end; what an owner still has at the master is cancelled."""
        ...


class OwnerChannel:
    """The channel over a transport's client.

    Args:
        make_client: Makes the client; called in the I/O thread, which owns it.
        make_hello: Makes the greeting; told whether this incarnation was welcomed before.
        address: Where the master is.
        patience: Seconds until the first welcome after which it gives up; None for never.

    Attributes:
        arrived: When the newest ends came, by the monotonic clock: they may wait long for a slow handler.
    """

    def __init__(
        self,
        make_client: Callable[[], IClient],
        make_hello: Callable[[bool], Hello],
        address: str,
        *,
        patience: float | None,
    ) -> None:
        self.arrived = 0.0
        self._traffic = OwnerTraffic()
        self._make_client = make_client
        self._reactor = Reactor()
        self._link = MasterLink(make_hello, address, self._reactor.now(), patience=patience, chance=random.random)
        self._notifications: SimpleQueue[Notification | None] = SimpleQueue()
        self._client: IClient | None = None
        self._exchange: Exchange[ToOwner] | None = None
        self._is_watching = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="compute-channel", daemon=True)

    @property
    def accepted_push(self) -> int:
        """The number of the newest push that the master answered."""
        return self._traffic.accepted_push

    @property
    def error(self) -> ConcurrenceError | None:
        """Why the channel gave up."""
        return self._link.error

    @property
    def welcome(self) -> Welcome | None:
        """The master's newest welcome."""
        return self._link.welcome

    def start(self) -> None:
        """Start the I/O thread and begin to connect."""
        self._thread.start()

    def submit(self, push: Push) -> None:
        """From any thread: send a push; again after a reconnect, until it is accepted."""
        self._reactor.post(lambda: self._traffic.submit(push))

    def send(self, message: Parcel[Message]) -> None:
        """From any thread: send a message once, when there is a connection; after the pushes before it."""
        self._reactor.post(lambda: self._traffic.send_once(message))

    def acknowledge(self, delivery: int) -> None:
        """From any thread: everything up to this delivery was handled."""
        self._reactor.post(lambda: self._traffic.acknowledge(delivery))

    def receive(self, timeout: float | None) -> Notification | None:
        """The next notification; None if none came in time."""
        try:
            if timeout == 0:
                return self._notifications.get_nowait()
            return self._notifications.get(timeout=timeout)
        except Empty:
            return None

    def wake(self) -> None:
        """From any thread: let :meth:`receive` return None at once."""
        self._notifications.put(None)

    def close(self, reason: str) -> None:
        """Say goodbye and end the thread; repeatable."""
        if not self._thread.is_alive():
            return

        def leave() -> None:
            self._traffic.send_once(Parcel(Bye(reason)))
            self._closing = True

        self._reactor.post(leave)
        self._thread.join(_FLUSH_SECONDS + 1.0)

    # --- the I/O thread ---

    def _run(self) -> None:
        try:
            self._client = self._make_client()
            self._exchange = Exchange(self._client, self._link, decoder_to_owner(), self._instead)
            self._reactor.register(self._client.pollable, self._drain)
            self._reactor.register(self._client.events_pollable, self._drain)
            self._reactor.on_cycle_end(self._conclude)
            self._reactor.call_every(_TICK_SECONDS, self._tick)
            self._reactor.run()
        except Exception as error:  # noqa: BLE001  a dead thread must not leave its owner waiting for ever
            self._link.error = (
                error
                if isinstance(error, ConcurrenceError)
                else ConnectionFailed(f"the compute channel failed: {type(error).__name__}: {error}")
            )
            self._notifications.put(LinkEvent.FAILED)
        finally:
            if self._client is not None:
                self._client.close()
            self._reactor.close()

    def _tick(self) -> None:
        self._link.tick(self._reactor.now())
        self._drain()

    def _drain(self) -> None:
        client, exchange = self._client, self._exchange
        if client is None or exchange is None:
            return
        now = self._reactor.now()
        self._drain_connection_events(client, exchange)
        while (frames := client.receive()) is not None:
            try:
                parcels = exchange.received(frames, now)
            except ProtocolError as error:
                raise ConnectionFailed(f"the master sent what is no message: {error.message}") from error
            for parcel in parcels:
                self._take(parcel, now)

    def _take(self, parcel: Parcel[ToOwner], now: float) -> None:
        message = parcel.message
        if self._link.message(message, now):
            self._take_events()
            return
        self._traffic.received(message)
        if isinstance(message, ENDS):
            self.arrived = now
        if isinstance(message, Output) and self._notifications.qsize() > _MAX_WAITING:
            return  # the application does not keep up with what its tasks print; results have bounds of their own
        self._notifications.put(parcel)

    def _take_events(self) -> None:
        for event in self._link.events:
            if event is LinkEvent.READY:
                self._traffic.resumed()
            elif event is LinkEvent.FORGOTTEN:
                self._traffic.forgotten()
            self._notifications.put(event)
        self._link.events.clear()

    def _conclude(self) -> None:
        client, exchange = self._client, self._exchange
        if client is None or exchange is None:
            return
        if self._link.wants_reconnect:
            self._link.wants_reconnect = False
            exchange.lost()
            client.reconnect()
        self._drain_connection_events(client, exchange)
        exchange.send(self._traffic.take, self._reactor.now())
        if exchange.is_stuck != self._is_watching:
            self._is_watching = exchange.is_stuck
            self._reactor.watch_writable(client.pollable, (lambda: None) if self._is_watching else None)
        if self._closing and not (exchange.is_blocked and self._link.ready):
            self._reactor.stop()

    def _instead(self, parcel: Parcel[Message], error: MessageTooLarge) -> list[Parcel[Message]]:
        """What is sent in the place of what is too large: tasks are rejected, a system's result is its failure."""
        message = parcel.message
        if isinstance(message, PushTasks):
            self._traffic.settle(message.push)
            hint = f"{error.hint} Put what many tasks use into a Shared, which travels in pieces: docs/data.md."
            self._notifications.put(Parcel(PushRejected(message.push, error.message, hint)))
            return []
        if not isinstance(message, SystemEnded) or message.status == FAILED:
            raise error
        text = f"the result of the task system is too large: {error.message}"
        fault = faults.encode_fault(faults.Fault(faults.KIND_RESULT, text, hint=error.hint))
        return [Parcel(SystemEnded(1, message.system, FAILED), [encode_results([PackedResult(fault)])])]

    def _drain_connection_events(self, client: IClient, exchange: Exchange[ToOwner]) -> None:
        now = self._reactor.now()
        for event in client.connection_events():
            self._link.connection(event, now)
            exchange.lost()
        self._take_events()
