"""Random histories of a driven master, and how they come to a good end."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from concurrence.testing.driven import (
    SYSTEM,
    DrivenMaster,
    DrivenOwner,
    DrivenSlave,
    counters_of,
    ends,
    machine,
)
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    CANCELLED,
    FAILED,
    FINISHED,
    LOST,
    RETURNED,
    Assign,
    Cancel,
    Results,
    TakeBack,
)

PATIENCE = 60.0
"""Seconds of virtual time in which whatever can end has to."""


def give_back(slave: DrivenSlave) -> None:
    """A slave that has started nothing answers what is to be taken back."""
    for message in slave.messages(TakeBack):
        for chunk in [each for each in slave.inbox if isinstance(each.message, Assign)]:
            if chunk.message.chunk == message.chunk:
                slave.inbox.remove(chunk)
                slave.answer(Parcel(chunk.message, chunk.frames), status=RETURNED, busy=0.0)


def finish(master: DrivenMaster, *slaves: DrivenSlave, awake: Sequence[DrivenOwner] = ()) -> None:
    """Let slaves work off everything.

    Args:
        master: The master.
        slaves: The slaves.
        awake: Owners that give signs of life meanwhile.

    Raises:
        AssertionError: Something waits for ever.
    """
    end = master.now + PATIENCE
    while any(job.tasks for job in master.ledger.jobs.values()):
        assert master.now < end, f"tasks wait for ever: {list(master.ledger.jobs.values())}"
        for slave in slaves:
            give_back(slave)
            slave.work_off()
        master.wait(0.25, *slaves, *awake)


class History:
    """A client and up to four slaves to which all sorts of things happen.

    Args:
        master: The master.
        client: A client that has defined its function.
        chance: Decides what happens.
    """

    _ACTIONS = (
        "push",
        "push",
        "work",
        "work",
        "work",
        "fail",
        "lose",
        "return",
        "vanish",
        "join",
        "cancel",
        "wait",
    )

    def __init__(self, master: DrivenMaster, client: DrivenOwner, chance: Random) -> None:
        self._chance = chance
        self._master = master
        self._client = client
        self._slaves: dict[int, DrivenSlave] = {}
        self._pushed = self._pushes = self._joined = 0

    def step(self) -> None:
        """Something happens."""
        action, number, count = (
            self._chance.choice(self._ACTIONS),
            self._chance.randrange(4),
            self._chance.randint(1, 9),
        )
        slave = self._slaves.get(number)
        if action == "push":
            self._push(number, count)
        elif action == "cancel":
            self._client.say(Cancel(SYSTEM, list(range(number, self._pushed, count))))
        elif action == "wait":
            self._master.wait(count / 4, self._client, *self._slaves.values())
        elif slave is None:
            self._joined += 1
            description = machine(1 + number % 3, 2 + 2 * (number % 3), gpu=2.0)
            self._slaves[number] = self._master.slave(f"slave {self._joined}", description)
        elif action == "vanish":
            del self._slaves[number]
            slave.vanish()
        else:
            self._work(slave, action, count)

    def _push(self, number: int, count: int) -> None:
        needs = [{}, {}, {"gpu": 1.0}, {"cpu": 2.0}][number]
        self._pushes += 1
        counters = range(self._pushed, self._pushed + count)
        self._client.push(self._pushes, counters, max_retries=1, resources=needs)
        self._pushed += count

    def _work(self, slave: DrivenSlave, action: str, count: int) -> None:
        for chunk in slave.pull(count):
            if action == "lose":
                slave.lose(chunk, counters_of(chunk)[0])
            elif action == "return":
                slave.answer(chunk, status=RETURNED, busy=0.0)
            else:
                slave.answer(chunk, status=FAILED if action == "fail" else FINISHED, busy=0.01 * count)

    def check(self) -> None:
        """Slaves that behave do the rest, and then every task has ended once.

        Raises:
            AssertionError: One has not, or more than once.
        """
        for slave in self._slaves.values():
            slave.vanish()
        last = self._master.slave("last", machine(2, 4, gpu=2.0))
        finish(self._master, last, awake=[self._client])
        ended = ends(self._client.messages(Results))
        assert sorted(ended) == list(range(self._pushed))
        assert set(ended.values()) <= {FINISHED, FAILED, CANCELLED, LOST}
