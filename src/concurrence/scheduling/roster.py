"""Which slaves are connected, and which of them have room for what: kept up with every chunk that comes or goes.

A policy that looked at each slave for each chunk would cost more, the larger the swarm is. Pure.
"""

from __future__ import annotations

from concurrence.scheduling.load import Needs, cores_of
from concurrence.scheduling.members import Members
from concurrence.scheduling.registry import SlaveNodeRecord

EXACT = 32
"""So many slaves are all looked at."""

_MOST_ANSWERS = 1_000  # about what different tasks need; more are found out anew

SAMPLE = 8
"""Of more than these so many, each time the next ones."""


class Roster:
    """The connected slaves that take work: all but those that drain, or rest because everything failed there.

    Attributes:
        connected: All of them.
        idle: Those with a worker that has nothing to do.
        roomy: Those that take a further chunk.
        crowded: Those where chunks wait behind others.
        credit: Chunks that all of them together take at once.
        workers: Their workers.
        held: How much of the credit is in use by what they have.
        idle_workers: Workers that have nothing to do.
        power: Their speed scores, each as often as it has workers.
        unscored: Workers of those without a speed score.
        version: Another number whenever a slave came or went.
    """

    def __init__(self) -> None:
        self.connected: Members[SlaveNodeRecord] = Members()
        self.idle: Members[SlaveNodeRecord] = Members()
        self.roomy: Members[SlaveNodeRecord] = Members()
        self.crowded: Members[SlaveNodeRecord] = Members()
        self.credit = self.workers = self.held = self.idle_workers = self.unscored = 0
        self.power = 0.0
        self.version = 0
        self._free: dict[str, Members[SlaveNodeRecord]] = {}  # with room, and with something free of a label
        self._offering: dict[str, Members[SlaveNodeRecord]] = {}
        self._answers: dict[Needs, bool] = {}  # whether any offers this, as of this version
        self._asked_at = 0
        self._number = 0

    # --- events ---

    def enter(self, slave: SlaveNodeRecord) -> None:
        """A slave is connected, or works again; one that drains or rests counts as if it were not."""
        if slave.is_draining or not slave.circuit.is_closed:
            self.leave(slave)
            return
        if not slave.number:
            self._number += 1
            slave.number = self._number
        if slave in self.connected:
            return
        self.connected.add(slave)
        self._count(slave, 1)
        for label in slave.description.labels:
            self._offering.setdefault(label, Members()).add(slave)
            self._free.setdefault(label, Members())
        self.place(slave)

    def leave(self, slave: SlaveNodeRecord) -> None:
        """A slave is not connected any more; it keeps what it has until it is given up."""
        if slave not in self.connected:
            return
        self.connected.discard(slave)
        self._count(slave, -1)
        for members in (self.idle, self.roomy, self.crowded):
            members.discard(slave)
        for label in slave.description.labels:
            self._offering[label].discard(slave)
            self._free[label].discard(slave)

    def give(self, slave: SlaveNodeRecord, chunk: int, needs: Needs) -> None:
        """A slave has a chunk, whose tasks need so much."""
        used, idle = slave.used, slave.idle_workers
        slave.add(chunk, needs)
        if slave in self.connected:
            self.held += slave.used - used
            self.idle_workers += slave.idle_workers - idle
            self.place(slave)

    def free(self, slave: SlaveNodeRecord, chunk: int) -> None:
        """A slave does not have a chunk any more."""
        used, idle = slave.used, slave.idle_workers
        slave.discard(chunk)
        if slave in self.connected:
            self.held += slave.used - used
            self.idle_workers += slave.idle_workers - idle
            self.place(slave)

    def place(self, slave: SlaveNodeRecord) -> None:
        """What a slave has, or who may use it, has changed."""
        has_room = _has_room(slave)
        _put(self.roomy, slave, has_room)
        _put(self.idle, slave, has_room and slave.idle_workers > 0)
        _put(self.crowded, slave, len(slave.chunks) > slave.workers)
        for label, amount in slave.description.labels.items():
            is_free = has_room and amount > slave.taken.get(label, 0.0) and label not in slave.kept_for
            _put(self._free[label], slave, is_free)

    # --- questions ---

    def able(self, needs: Needs) -> list[SlaveNodeRecord]:
        """Slaves that have room and all of this free: all such, or of many a few, idle ones first.

        Args:
            needs: Amounts by name.
        """
        members = self._candidates(needs)
        if len(members) <= EXACT:
            return [slave for slave in members.all() if slave.has_free(needs)]
        if not needs:
            # An idle one is better than one that is not, wherever tasks take their time; but not if it is slow.
            found = self.idle.some(SAMPLE // 2)
            return found + [slave for slave in self.roomy.some(SAMPLE - len(found)) if slave not in found]
        return [slave for slave in members.some(2 * EXACT) if slave.has_free(needs)][:SAMPLE]

    def sample(self) -> tuple[list[SlaveNodeRecord], float]:
        """All slaves, or of many a few; and how many each of them stands for."""
        found = self.connected.some(EXACT)
        return found, len(self.connected) / max(1, len(found))

    def offering(self, needs: Needs) -> Members[SlaveNodeRecord]:
        """Slaves that may offer this when nothing else takes it: to be asked, each of them."""
        found = [self._offering.get(name, Members[SlaveNodeRecord]()) for name, _ in needs if name != "cpu"]
        return min(found, key=len, default=self.connected)

    def offers(self, needs: Needs) -> bool:
        """Whether any slave offers this when nothing else takes it: looked up once until one comes or goes."""
        if self._asked_at != self.version or len(self._answers) >= _MOST_ANSWERS:
            self._asked_at = self.version
            self._answers.clear()
        key = tuple(needs)
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = any(slave.offers(needs) for slave in self.offering(needs))
        return answer

    def _count(self, slave: SlaveNodeRecord, sign: int) -> None:
        self.version += 1
        self.credit += sign * slave.description.credit
        self.workers += sign * slave.workers
        self.held += sign * slave.used
        self.idle_workers += sign * slave.idle_workers
        self.power = max(0.0, self.power + sign * slave.workers * max(0.0, slave.description.speed))
        self.unscored += sign * slave.workers * (slave.description.speed <= 0)

    def _candidates(self, needs: Needs) -> Members[SlaveNodeRecord]:
        members = [self._free.get(name, Members[SlaveNodeRecord]()) for name, _ in needs if name != "cpu"]
        if cores_of(needs) > 1:
            members.append(self.idle)
        return min(members, key=len, default=self.roomy)

    def sanity_check(self) -> None:
        """Check that what is kept up is true.

        Raises:
            AssertionError: It is not; the text says what.
        """
        slaves = list(self.connected)
        for slave in slaves:
            slave.sanity_check()
            has_room = _has_room(slave)
            assert (slave in self.roomy) == has_room, f"{slave} has room or has not"
            assert (slave in self.idle) == (has_room and slave.idle_workers > 0), f"{slave} is idle or not"
            assert (slave in self.crowded) == (len(slave.chunks) > slave.workers), f"{slave} is crowded or not"
        assert len(self.roomy) + len(self.idle) + len(self.crowded) == sum(
            (slave in self.roomy) + (slave in self.idle) + (slave in self.crowded) for slave in slaves
        ), "a slave that is not connected has room"
        assert self.credit == sum(slave.description.credit for slave in slaves), "the credit is counted wrongly"
        assert self.workers == sum(slave.workers for slave in slaves), "the workers are counted wrongly"
        assert self.idle_workers == sum(slave.idle_workers for slave in slaves), "idle workers are counted wrongly"
        assert self.held == sum(slave.used for slave in slaves), "what slaves have is counted wrongly"


def _has_room(slave: SlaveNodeRecord) -> bool:
    return slave.room > 0 and "cpu" not in slave.kept_for


def _put(members: Members[SlaveNodeRecord], slave: SlaveNodeRecord, is_member: bool) -> None:
    if is_member:
        members.add(slave)
    else:
        members.discard(slave)
