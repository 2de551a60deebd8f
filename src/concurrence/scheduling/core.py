"""The master's core: every event of every peer goes in, instructions collect in the outbox. Pure.

Whoever drives it (the master node, a simulation, a one-process run) calls ``greet`` and ``receive`` for what
peers send, ``unreachable`` for what could not be delivered, ``tick`` a few times a second, and ``conclude`` at
the end of each cycle; then it empties the outbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from concurrence.errors import ProtocolError, Refused
from concurrence.scheduling import (
    draining,
    greetings,
    notices,
    resting,
    slave_events,
    status,
    system_events,
)
from concurrence.scheduling.api import ITaskScheduler, Limits, SwarmState
from concurrence.scheduling.handlers import OF_OWNERS, OF_SLAVES, Handler
from concurrence.scheduling.impossible import Impossible
from concurrence.scheduling.ledger.ledger import Ledger
from concurrence.scheduling.ledger.records import Backoff
from concurrence.scheduling.outbox import Outbox
from concurrence.scheduling.probing import PROBE_SECONDS, Probing
from concurrence.scheduling.registry import Node, OwnerNode, SlaveNodeRecord
from concurrence.transport.api import Origin
from concurrence.wire import messages as wire
from concurrence.wire.codec import Parcel

AWAY_SECONDS = 1.0
"""A slave whose connection broke and that does not come back for so long is dead."""

REFUSALS_A_SECOND = 3
"""The log tells of no more refused nodes; all are counted."""

PROGRESS_SECONDS = 0.2
"""How often a client hears how its jobs are, while they change."""

_SILENT = "nothing was heard of it for too long"
_AWAY = "its connection has ended, and it did not come back"


class MasterCore:
    """The pure part of a master.

    Args:
        scheduler: The policy.
        limits: Bounds and periods.
        master: The master's node id.
        package: This version of Concurrent.
        new_ticket: Makes the secret that a task system's host must show.
        first_chunk: See :class:`~concurrence.scheduling.ledger.ledger.Ledger`.
        chance: See :class:`~concurrence.scheduling.ledger.ledger.Ledger`.

    Attributes:
        PROBE_SECONDS: How often :meth:`probe` is called.
    """

    PROBE_SECONDS = PROBE_SECONDS

    def __init__(
        self,
        scheduler: ITaskScheduler,
        limits: Limits,
        *,
        master: str,
        package: str,
        new_ticket: Callable[[], str],
        first_chunk: int = 1,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.master = master
        self.package = package
        self.work_address = ""
        self.rejected = 0
        self.refused = 0
        ledger = Ledger(
            first_chunk=first_chunk,
            max_attempts=limits.max_attempts,
            backoff=Backoff(limits.retry_delay, limits.longest_retry_delay),
            chance=chance,
        )
        self.swarm = SwarmState(ledger, limits, package, new_ticket, first_registration=first_chunk)
        self._story = ledger.story
        self._away: dict[str, float] = {}
        self._probing = Probing()
        self._impossible = Impossible()
        self._next_progress = 0.0
        self._lonely_since: float | None = None
        self._started: float | None = None
        self._ticked = 0.0
        self._refusals_until = 0.0
        self._refusals = 0
        self._slaves_changed = False
        self._answered: set[tuple[str, type[wire.Message]]] = set()  # who asked for what in this cycle
        self._of_owners: dict[type[Any], Handler] = {
            **OF_OWNERS,
            wire.Bye: self._bye,
            wire.StatusRequest: self._status,
            wire.AskUsage: self._ask_usage,
        }
        self._of_slaves: dict[type[Any], Handler] = {
            **OF_SLAVES,
            wire.Bye: self._bye,
            wire.Claimed: self._claimed,
        }

    @property
    def outbox(self) -> Outbox:
        """What is to be done."""
        return self.swarm.outbox

    # --- events ---

    def receive(
        self, peer: bytes, parcel: Parcel[wire.ToMaster], origin: Callable[[], Origin], now: float
    ) -> None:
        """A peer sent a message.

        Args:
            peer: Its connection.
            parcel: The message.
            origin: Tells who it is as authenticated; asked only for a hello.
            now: The time.
        """
        self._story.now = now
        message = parcel.message
        node = self.swarm.registry.at(peer)
        if isinstance(message, wire.Hello):
            self._greet(peer, message, origin(), now)
            return
        if node is None:
            greetings.demand_hello(self.swarm, peer)
            return
        node.heard = now
        handlers = self._of_slaves if isinstance(node, SlaveNodeRecord) else self._of_owners
        handler = handlers.get(type(message))
        if handler is None:
            self._reject(node, ProtocolError(f"a {node.hello.kind} may not send {type(message).__name__}"))
            return
        try:
            handler(self.swarm, node, parcel, now)
        except ProtocolError as error:
            self._reject(node, error)

    def hears(
        self, peer: bytes, message: wire.Piece | wire.PieceTaken, now: float, *, is_much: bool = False
    ) -> bool:
        """A piece of a message came, or the answer to one; False if the peer has not introduced itself."""
        return greetings.hears(self.swarm, peer, message, now, is_much=is_much)

    def garbage(self, peer: bytes, error: ProtocolError) -> None:
        """A peer sent bytes that are no message: count it, tell it, and end the connection."""
        self.rejected += 1
        self.outbox.send(peer, Parcel(wire.Refusal("protocol", error.message, error.hint)))
        self.outbox.dropped.append(peer)
        node = self.swarm.registry.at(peer)
        if node is not None:
            self._lost(node, "it sent what is no message")

    def unreachable(self, peer: bytes, now: float) -> None:
        """A message could not be delivered: the connection is gone; its node may come back on another one."""
        self._story.now = now
        node = self.swarm.registry.disconnect(peer)
        self.outbox.dropped.append(peer)
        if node is not None and node.peer is None:
            self._away[node.id] = now
            self.swarm.changed = True

    def behind(self, now: float) -> None:
        """More has arrived than was taken in: what peers are believed to owe may be in there."""
        self.swarm.behind_at = now

    def probe(self, hung_up: Iterable[bytes], now: float) -> None:
        """Send something to slaves that may be gone; called every ``PROBE_SECONDS``.

        Args:
            hung_up: Connections that have ended since the last time, as far as the transport knows.
            now: The time.
        """
        for peer in self._probing.due(self.swarm.registry, hung_up, now):
            self.outbox.send(peer, Parcel(wire.Ping()))

    def work_not_taken(self, chunk: int) -> None:
        """A chunk could not be put on the work queue: it waits for its turn again."""
        self.swarm.unclaimed.pop(chunk, None)
        self.swarm.ledger.recall(chunk)

    def host_exited(self, system: int, text: str) -> None:
        """The process that hosted a task system ended."""
        system_events.host_exited(self.swarm, system, text)
        self.swarm.changed = True

    def tick(self, now: float) -> None:
        """Time passes: leases, stuck work, progress."""
        self._story.now = now
        registry = self.swarm.registry
        if self._started is None:
            self._started = self._ticked = now
        pause = now - self._ticked
        self._ticked = now
        if pause > self.swarm.limits.lease / 2:
            # The master itself was stopped: what it did not hear meanwhile is nobody's fault.
            for node in registry:
                node.heard += pause
            for node_id in self._away:
                self._away[node_id] += pause
        for node_id, since in list(self._away.items()):
            node = registry.get(node_id)
            if node is None or node.peer is not None:
                del self._away[node_id]
            elif isinstance(node, SlaveNodeRecord) and now - since >= AWAY_SECONDS:
                del self._away[node_id]
                self._lost(node, _AWAY)
        for node in registry.silent(now):
            self._lost(node, _SILENT)
        system_events.end_overdue(self.swarm, now)
        resting.tick(self.swarm, now)
        self.swarm.fairness.admit()
        self.swarm.reservations.prune(self.swarm.ledger.jobs)
        self.scheduler.tick(self.swarm, now)
        self._lonely_since = notices.tell_lonely(self.swarm, self._lonely_since, now)
        self._impossible.look(self.swarm, now)
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_SECONDS
            for job in self.swarm.ledger.jobs.values():
                if job.changed:
                    notices.send_progress(self.swarm, job)
        self.swarm.changed = True

    def set_limits(self, limits: Limits, now: float) -> None:
        """Adopt other bounds and periods; all nodes are told theirs, and their leases begin anew."""
        self.swarm.set_limits(limits)
        for node in self.swarm.registry:
            node.heard = max(node.heard, now)  # it was right to be silent for as long as its old heartbeat
            self.outbox.send(node.peer, Parcel(self._welcome(node, known=True)))
        self.swarm.changed = True

    def conclude(self, now: float) -> None:
        """The end of a cycle: give out work if anything happened that may have made room for it."""
        self._story.now = now
        self._answered.clear()
        if self.swarm.ledger.wake(now) or self.swarm.changed:
            self.swarm.changed = False
            self.swarm.fulfil_reservations(now)
            resting.give_trials(self.swarm, now)
            self.scheduler.dispatch(self.swarm, now)
            self.swarm.end_round()
        greetings.tell_slaves(self.swarm, now)

    # --- greeting and leaving ---

    def _greet(self, peer: bytes, hello: wire.Hello, origin: Origin, now: float) -> None:
        registry = self.swarm.registry
        if registry.is_outdated(hello, origin):
            self.outbox.dropped.append(peer)  # its node has given this connection up
            return
        try:
            job = system_events.check_system(self.swarm, hello)
            self._check_room(hello)
            node, known, previous, replaced = registry.greet(peer, hello, origin, now)
        except Refused as error:
            self.outbox.send(peer, Parcel(wire.Refusal("refused", error.message, error.hint)))
            self._tell_refused(
                f"{hello.kind} {hello.name} from {origin.address} was refused: {error.message}", now
            )
            return
        if previous is not None and previous != peer:
            self.outbox.dropped.append(previous)
        if replaced is not None:
            self._lost(replaced, "another incarnation took its place")
        self._away.pop(node.id, None)
        self.outbox.admitted.append(peer)
        # It may greet on the very connection with which it was given up in this cycle: that begins anew.
        self.outbox.dropped = [dropped for dropped in self.outbox.dropped if dropped != peer]
        self.swarm.changed = True
        self.outbox.tell(node, f"{'is back' if known else 'registered'} from {origin.address}")
        self.outbox.send(peer, Parcel(self._welcome(node, known=known)))
        if isinstance(node, SlaveNodeRecord):
            draining.greeted(self.swarm, node)
            # One that is not known drops what it has as soon as it hears so.
            slave_events.reconcile(self.swarm, node, hello.chunks if known else [], hello.left)
            self.swarm.slaves_changed = True
        elif isinstance(node, OwnerNode):
            greetings.greet_owner(self.swarm, node, job)

    def _tell_refused(self, text: str, now: float) -> None:
        """News, but not so much that somebody who is refused again and again could fill the disk."""
        self.refused += 1
        if now >= self._refusals_until:
            self._refusals_until, self._refusals = now + 1.0, 0
        self._refusals += 1
        if self._refusals <= REFUSALS_A_SECOND:
            self.outbox.news.append(text)

    def _check_room(self, hello: wire.Hello) -> None:
        """Whether there is room for one more node; who asks how the master is comes in anyway.

        Raises:
            Refused: There is none.
        """
        limit, registry = self.swarm.limits.max_connections, self.swarm.registry
        if not limit or hello.kind == "admin" or hello.node in registry or 2 * len(registry) < limit:
            return
        queues = 1 if self.work_address else 0
        if len(registry) + queues * registry.slave_count >= limit:
            raise Refused(
                f"the master has {len(registry)} nodes, as many as its limit of open files allows",
                hint="Raise that limit where the master runs: ulimit -n, or LimitNOFILE in a unit of systemd.",
            )

    def _welcome(self, node: Node, *, known: bool) -> wire.Welcome:
        limits = self.swarm.limits
        return wire.Welcome(
            protocol=wire.PROTOCOL_VERSION,
            package=self.package,
            master=self.master,
            known=known,
            heartbeat=limits.heartbeat,
            lease=limits.lease,
            task_window=limits.task_window,
            byte_window=limits.byte_window,
            work_address=self.work_address if node.hello.kind == "slave" else "",
            registration=node.registration,
        )

    def _lost(self, node: Node, reason: str) -> None:
        if node.peer is not None:
            self.outbox.dropped.append(node.peer)
        self.outbox.tell(node, f"is gone: {reason}")
        self.swarm.registry.remove(node)
        if isinstance(node, SlaveNodeRecord):
            slave_events.slave_lost(self.swarm, node)
            self.swarm.slaves_changed = True
        elif isinstance(node, OwnerNode):
            system_events.owner_lost(self.swarm, node, reason)
        self.swarm.changed = True

    def _reject(self, node: Node, error: ProtocolError) -> None:
        self.rejected += 1
        self.outbox.send(node.peer, Parcel(wire.Refusal("protocol", error.message, error.hint)))
        self._lost(node, error.message)

    # --- messages ---

    def _bye(self, swarm: SwarmState, node: Node, parcel: Parcel[wire.Bye], now: float) -> None:
        self._lost(node, parcel.message.reason)

    def _claimed(self, swarm: SwarmState, node: Any, parcel: Parcel[wire.Claimed], now: float) -> None:
        self.scheduler.claimed(swarm, node, parcel.message.chunks, now)

    def uptime(self, now: float) -> float:
        """Seconds since the master began to look at the time."""
        return now - self._started if self._started is not None else 0.0

    def status(self, request: int, now: float) -> wire.Status:
        """The state of the swarm, as the answer to a request of this number."""
        stats = {"messages_rejected": float(self.rejected), "chunks_unclaimed": float(len(self.swarm.unclaimed))}
        stats["nodes_refused"] = float(self.refused)
        return wire.Status(
            request,
            self.master,
            self.package,
            self.uptime(now),
            type(self.scheduler).__name__,
            status.nodes_of(self.swarm, now),
            status.systems_of(self.swarm),
            stats,
        )

    def _status(self, swarm: SwarmState, node: Node, parcel: Parcel[wire.StatusRequest], now: float) -> None:
        if self._may_ask(node, wire.StatusRequest):
            self.outbox.send(node.peer, Parcel(self.status(parcel.message.request, now)))

    def _ask_usage(self, swarm: SwarmState, node: Node, parcel: Parcel[wire.AskUsage], now: float) -> None:
        if self._may_ask(node, wire.AskUsage):
            slaves = swarm.registry.slaves()
            usage = swarm.usages.told(node.id, parcel.message.request, swarm.ledger, slaves, now)
            self.outbox.send(node.peer, Parcel(usage))

    def _may_ask(self, node: Node, question: type[wire.Message]) -> bool:
        """Whether it did not ask this in this cycle: an answer is long, and a message that asks for it short."""
        asked = (node.id, question)
        if asked in self._answered:
            return False
        self._answered.add(asked)
        return True
