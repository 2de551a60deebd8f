"""What every task scheduler has to keep; see :mod:`concurrence.testing.conformance`.

The scheduler decides in a real core of a master, whose peers the tests play: without processes, in virtual time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, ClassVar

import pytest

from concurrence.component import Component
from concurrence.env.environment import Environment
from concurrence.scheduling.api import ITaskScheduler
from concurrence.testing.api import environment
from concurrence.testing.driven import (
    SYSTEM,
    DrivenMaster,
    DrivenOwner,
    counters_of,
    ends,
    fault_of,
    machine,
)
from concurrence.testing.histories import PATIENCE, History, finish
from concurrence.wire.codec import Parcel
from concurrence.wire.messages import (
    CANCELLED,
    EXPIRED,
    FAILED,
    FINISHED,
    LOST,
    RETURNED,
    Assign,
    Cancel,
    Drain,
    Results,
    TakeBack,
)


class SchedulerConformance:
    """Inherit it under a name that begins with ``Test``, and say which policy.

    Attributes:
        policy: The scheduler's class.
        components: Further components that it needs.
        overrides: Options, as texts ``section.name=value``.
    """

    policy: ClassVar[type[Component]]
    components: ClassVar[Sequence[type[Component]]] = ()
    overrides: ClassVar[Sequence[str]] = ()

    _environment: Environment

    @pytest.fixture(autouse=True)
    def _with_environment(self) -> Iterator[None]:
        with environment(self.policy, *self.components, overrides=self.overrides) as opened:
            self._environment = opened
            yield

    def master(self, **limits: Any) -> DrivenMaster:
        """A master with a scheduler of this policy.

        Args:
            limits: Fields of :class:`~concurrence.scheduling.api.Limits`.

        Raises:
            TypeError: The policy is no task scheduler.
        """
        scheduler = self._environment.component(self.policy)
        if not isinstance(scheduler, ITaskScheduler):
            raise TypeError(f"{self.policy.__name__} is no ITaskScheduler")
        return DrivenMaster(scheduler, **limits)

    def client(self, master: DrivenMaster, name: str = "client", system: int = SYSTEM) -> DrivenOwner:
        """A client that has defined its function."""
        client = master.client(name, system)
        client.define()
        return client

    # --- ends ---

    def test_every_task_ends_once(self) -> None:
        """All tasks of all kinds run, on several slaves, and are told once."""
        master = self.master()
        client = self.client(master)
        slaves = [master.slave("a", machine(1, 2)), master.slave("b", machine(3, 6, gpu=1.0))]
        client.push(1, range(40))
        client.push(2, range(40, 50), priority=2)
        client.push(3, range(50, 60), resources={"gpu": 1.0})
        finish(master, *slaves, awake=[client])
        assert ends(client.messages(Results)) == dict.fromkeys(range(60), FINISHED)

    def test_work_waits_for_slaves(self) -> None:
        """Tasks that came before any slave go to the first one."""
        master = self.master()
        client = self.client(master)
        client.push(1, range(5))
        master.wait(3.0, client)
        finish(master, master.slave(), awake=[client])
        assert set(ends(client.messages(Results)).values()) == {FINISHED}

    # --- whose turn it is ---

    def test_clients_share_fairly_before_any_priority(self) -> None:
        """Of two clients that have work each gets half, however important the tasks of one are to it."""
        master = self.master()
        one, two = self.client(master, "one", 1), self.client(master, "two", 2)
        one.push(1, range(200), system=1, priority=9)
        two.push(1, range(200), system=2)
        slave = master.slave(description=machine(2, 4))
        done: Counter[int] = Counter()
        while done.total() < 120:
            for chunk in slave.pull():
                done[chunk.message.system] += len(counters_of(chunk))
                slave.answer(chunk, busy=0.01 * len(counters_of(chunk)))
        assert abs(done[1] - done[2]) <= 0.2 * done.total()

    def test_a_crowd_of_tasks_does_not_delay_a_few(self) -> None:
        """Ten tasks of a client are done after about as many of another that has thousands queued."""
        master = self.master()
        crowd, few = self.client(master, "crowd", 1), self.client(master, "few", 2)
        slave = master.slave(description=machine(2, 4))
        crowd.push(1, range(4_000), system=1)
        for chunk in slave.pull():
            slave.answer(chunk, busy=0.01)
        few.push(1, range(10), system=2)
        others, left = 0, 10
        while left:
            for chunk in slave.pull():
                count = len(counters_of(chunk))
                others, left = (others, left - count) if chunk.message.system == 2 else (others + count, left)
                slave.answer(chunk, busy=0.01 * count)
        assert others <= 30

    def test_priority_within_a_client(self) -> None:
        """What is more important goes first, once there is room."""
        master = self.master()
        client, slave = self.client(master), master.slave(description=machine(1, 1))
        client.push(1, [0])
        client.push(2, [1, 2], priority=1)
        client.push(3, [3], priority=2)
        assert slave.work_off() == [0, 3, 1, 2]

    # --- failures ---

    def test_what_fails_is_tried_again_as_often_as_it_may(self) -> None:
        """A task that raises is retried, each time under a new attempt; others of its chunk are not."""
        master = self.master()
        client, slave = self.client(master), master.slave()
        client.push(1, range(6), max_retries=2)
        attempts: Counter[int] = Counter()
        end = master.now + PATIENCE
        while master.ledger.jobs[SYSTEM].tasks:
            assert master.now < end, "a task that may be tried again waits for ever"
            for chunk in slave.pull():
                attempts.update(counters_of(chunk))
                slave.answer(chunk, status=lambda counter: FAILED if counter % 2 else FINISHED)
            master.wait(0.25, client, slave)
        assert attempts == Counter({counter: 3 if counter % 2 else 1 for counter in range(6)})
        assert ends(client.messages(Results)) == {n: FAILED if n % 2 else FINISHED for n in range(6)}

    def test_time_outs_travel_and_end_tasks(self) -> None:
        """The slave is told how long a task may take, and that one took longer is an end like others."""
        master = self.master()
        client, slave = self.client(master), master.slave()
        client.push(1, [0], timeout=2.5)
        (chunk,) = slave.pull()
        assert chunk.message.timeout == 2.5
        slave.answer(chunk, status=EXPIRED)
        assert ends(client.messages(Results)) == {0: EXPIRED}

    def test_a_task_that_kills_workers_is_given_up_and_its_neighbours_are_not(self) -> None:
        """Only the running task is charged for the death of its worker."""
        master = self.master(max_attempts=2)
        client, slave = self.client(master), master.slave(description=machine(1, 2))
        client.push(1, range(3))
        end = master.now + PATIENCE
        while master.ledger.jobs[SYSTEM].tasks:
            assert master.now < end, "tasks wait for ever"
            for chunk in slave.pull():
                if 1 in counters_of(chunk):
                    slave.lose(chunk, 1)
                else:
                    slave.answer(chunk)
            master.wait(0.25, client, slave)
        told = client.take(Results)
        assert ends([parcel.message for parcel in told]) == {0: FINISHED, 1: LOST, 2: FINISHED}
        (lost,) = [parcel for parcel in told if 1 in parcel.message.counters]
        assert "killed 2 workers" in fault_of(lost).message

    def test_cancelled_tasks_end_wherever_they_are(self) -> None:
        """Queued and running ones, once; what runs is told to the slave; others go on."""
        master = self.master()
        client, slave = self.client(master), master.slave(description=machine(1, 1))
        client.push(1, range(4))
        (running,) = slave.pull()
        client.say(Cancel(SYSTEM, [*counters_of(running), 3]))
        assert slave.one(TakeBack) == TakeBack(running.message.chunk, kill=True)
        slave.answer(running, status=RETURNED)
        finish(master, slave, awake=[client])
        told = ends(client.messages(Results))
        gone = {*counters_of(running), 3}
        assert told == {n: CANCELLED if n in gone else FINISHED for n in range(4)}

    # --- what slaves offer ---

    def test_labels_lead_to_the_slaves_that_have_them(self) -> None:
        """Never more at a time than there are; and work without labels does not wait behind it."""
        master = self.master()
        client = self.client(master)
        plain, gpu = master.slave("plain"), master.slave("gpu", machine(4, 8, gpu=2.0))
        client.push(1, range(6), resources={"gpu": 1.0})
        client.push(2, range(6, 12))
        marked = set(range(6))
        held = gpu.pull()
        assert sum(marked.issuperset(counters_of(chunk)) for chunk in held) == 2
        assert not any(isinstance(each.message, Assign) and had([each]) & marked for each in plain.inbox)
        for chunk in held:
            gpu.answer(chunk)
        finish(master, gpu, plain, awake=[client])
        assert len(ends(client.messages(Results))) == 12

    def test_a_task_has_the_workers_that_it_needs(self) -> None:
        """``cpu=k`` takes k workers of one slave, also of those that others could have."""
        master = self.master()
        client, slave = self.client(master), master.slave(description=machine(4, 8))
        client.push(1, range(3), resources={"cpu": 3.0}, priority=1)
        client.push(2, range(3, 40))
        chunks = slave.pull()
        wide = [chunk for chunk in chunks if chunk.message.cores == 3]
        assert len(wide) == 1
        assert len(chunks) <= 1 + 2, "the part of three workers in the credit is in use"
        for chunk in chunks:
            slave.answer(chunk)
        finish(master, slave, awake=[client])
        assert len(ends(client.messages(Results))) == 40

    def test_what_is_sent_and_queued_stays_within_the_credit(self) -> None:
        """At no time is more under way than all slaves have announced, and none is sent more than its own."""
        master = self.master()
        client = self.client(master)
        slaves = [master.slave("a", machine(1, 2)), master.slave("b", machine(2, 4))]
        client.push(1, range(300))
        for _ in range(30):
            assert len(master.ledger.assignments) <= 6
            for slave, credit in zip(slaves, (2, 4), strict=True):
                chunks = slave.take(Assign)
                assert len(chunks) <= credit
                for chunk in [*chunks, *slave.pull(1)]:
                    slave.answer(chunk)

    def test_a_slave_that_drains_gets_nothing(self) -> None:
        """What it had not started goes elsewhere, and new work too."""
        master = self.master()
        client = self.client(master)
        slave, other = master.slave("leaves", drains=True), master.slave("stays")
        client.push(1, range(10))
        assert not slave.take(Assign)
        assert not slave.take(Drain)
        finish(master, other, awake=[client])
        assert set(ends(client.messages(Results)).values()) == {FINISHED}

    # --- losses ---

    def test_what_a_lost_slave_had_runs_elsewhere_and_late_results_do_not_count(self) -> None:
        """Under a new attempt; nothing is charged, nothing ends twice."""
        master = self.master(max_attempts=1)
        client = self.client(master)
        lost = master.slave("lost")
        client.push(1, range(6))
        taken = lost.pull()
        assert taken
        lost.vanish()
        master.wait(3.0, client)
        other = master.slave("other")
        again = other.pull()
        assert {chunk.message.attempt for chunk in again if set(counters_of(chunk)) & had(taken)} <= {2}
        late = master.slave("late")
        for chunk in taken:
            late.answer(chunk)
        assert not client.take(Results)
        for chunk in again:
            other.answer(chunk)
        finish(master, other, late, awake=[client])
        assert ends(client.messages(Results)) == dict.fromkeys(range(6), FINISHED)

    def test_a_slave_that_comes_back_goes_on_with_what_it_has(self) -> None:
        """And what got lost on the way to it is given out again."""
        master = self.master()
        client = self.client(master)
        slave = master.slave("slave", machine(2, 4))
        client.push(1, range(4))
        taken = slave.pull()
        assert len(taken) >= 2
        slave.vanish()
        kept = taken[0]
        back = master.slave("slave", machine(2, 4), resumes=True, chunks=[kept.message.chunk])
        back.answer(kept)
        finish(master, back, awake=[client])
        assert ends(client.messages(Results)) == dict.fromkeys(range(4), FINISHED)

    def test_a_client_that_comes_back_is_told_what_it_missed(self) -> None:
        """Its tasks go on while it is away."""
        master = self.master()
        client, slave = self.client(master), master.slave()
        client.push(1, range(4))
        client.vanish()
        slave.work_off()
        back = master.client(resumes=True)
        finish(master, slave, awake=[back])
        assert ends(back.messages(Results)) == dict.fromkeys(range(4), FINISHED)

    def test_a_client_that_leaves_takes_its_tasks_along(self) -> None:
        """Others have the slaves then."""
        master = self.master()
        gone, stays = self.client(master, "gone", 1), self.client(master, "stays", 2)
        slave = master.slave(description=machine(1, 1))
        gone.push(1, range(50), system=1)
        stays.push(1, range(5), system=2)
        gone.vanish()
        master.wait(30.0, stays, slave)
        assert 1 not in master.ledger.jobs
        finish(master, slave, awake=[stays])
        assert len(ends(stays.messages(Results))) == 5

    @pytest.mark.parametrize("seed", range(12))
    def test_whatever_happens_every_task_ends_once(self, seed: int) -> None:
        """Slaves come, work, fail, lose workers, give back and vanish, in an order that the seed decides."""
        master = self.master()
        history = History(master, self.client(master), Random(seed))
        for _ in range(60):
            history.step()
        history.check()


def had(chunks: Sequence[Parcel[Assign]]) -> set[int]:
    """The numbers of the tasks in chunks."""
    return {counter for chunk in chunks for counter in counters_of(chunk)}
