"""Tasks that no connected slave can ever run: they wait, and their client knows why; or they fail."""

from __future__ import annotations

from typing import Any

import pytest
from swarm_story import SYSTEM, Master, Owner, each_policy, ends, fault_of, machine

from concurrence.scheduling import draining
from concurrence.scheduling.api import Alone
from concurrence.scheduling.impossible import TELL_SECONDS
from concurrence.scheduling.registry import SlaveNodeRecord
from concurrence.wire import faults
from concurrence.wire.messages import FINISHED, REFUSED, Output, Results

__all__ = ["each_policy"]

pytestmark = pytest.mark.usefixtures("each_policy")
PATIENCE = 20.0
GPU = {"gpu": 1.0}


def swarm(**limits: Any) -> tuple[Master, Owner]:
    master = Master(impossible_fails=True, impossible_patience=PATIENCE, **limits)
    client = master.client()
    client.define()
    return master, client


def test_they_fail_with_what_is_needed_what_is_lacking_and_the_fix() -> None:
    master, client = swarm()
    slave = master.slave("a", name="attic")
    client.push(1, range(3), resources=GPU)
    client.push(2, range(3, 6))
    slave.work_off()
    client.take(Results)
    master.wait(PATIENCE - 1.0, client, slave)
    assert not client.take(Results)
    (warning,) = client.messages(Output)
    assert warning.text.endswith("They fail if that takes longer than 20 s.")
    master.wait(2.0, client, slave)
    (results,) = client.take(Results)
    assert ends([results.message]) == dict.fromkeys(range(3), REFUSED)
    for entry in range(3):
        fault = fault_of(results, entry)
        assert fault.kind == faults.KIND_IMPOSSIBLE
        assert fault.message == "f needs gpu=1, which no connected slave offers: attic has no gpu"
        assert fault.hint == (
            'Start a slave that offers it: concurrence slave --set "slavenode.labels=gpu=1"; or let the task need '
            "less gpu."
        )
    job = master.ledger.jobs[SYSTEM]
    assert (job.failed, job.queued, job.finished) == (3, 0, 3)
    assert master.ledger.story.of(SYSTEM, 0)[-1].event == "failed"


def test_others_of_the_same_job_are_not_touched() -> None:
    master, client = swarm()
    busy = master.slave("a", machine(1, 1))
    client.push(1, range(2))
    client.push(2, range(2, 4), resources=GPU)
    client.push(3, range(4, 6), resources={"cpu": 1.0})
    held = busy.pull()
    master.wait(PATIENCE + 2.0, client, busy)
    assert ends(client.messages(Results)) == dict.fromkeys((2, 3), REFUSED)
    for chunk in held:
        busy.answer(chunk)
    busy.work_off()
    assert ends(client.messages(Results)) == dict.fromkeys((0, 1, 4, 5), FINISHED)


def test_without_any_slave_they_wait() -> None:
    master, client = swarm()
    client.push(1, range(3), resources=GPU)
    master.wait(5 * PATIENCE, client)
    assert not client.take(Results)
    slave = master.slave("a")
    master.wait(PATIENCE - 1.0, client, slave)
    assert not client.take(Results), "their time begins with the first slave"
    gpu = master.slave("gpu", machine(1, 2, gpu=1.0))
    master.wait(PATIENCE, client, slave, gpu)
    assert sorted(gpu.work_off()) == [0, 1, 2]


def test_a_slave_that_drains_could_run_them_later() -> None:
    master, client = swarm()
    slave, gpu = master.slave("a"), master.slave("gpu", machine(1, 2, gpu=1.0))
    record = master.core.swarm.registry.at(gpu.name)
    assert isinstance(record, SlaveNodeRecord)
    draining.order(master.core.swarm, record, is_on=True, stops=False)
    client.push(1, range(3), resources=GPU)
    master.wait(3 * PATIENCE, client, slave, gpu)
    assert not client.take(Results)
    text = "WARNING f needs gpu=1, which only slaves that drain offer: the gpu; 3 tasks wait"
    assert [output.text for output in client.messages(Output)] == [text]


def test_the_clock_begins_anew_when_it_was_possible_meanwhile() -> None:
    master, client = swarm()
    slave = master.slave("a")
    client.push(1, range(40), resources=GPU)
    master.wait(PATIENCE / 2, client, slave)
    gpu = master.slave("gpu", machine(1, 1, gpu=1.0))
    master.wait(1.0, client, slave, gpu)
    gpu.vanish()
    master.wait(PATIENCE - 2.0, client, slave)
    assert not [message for message in client.messages(Results) if REFUSED in message.statuses]


def test_to_wait_is_the_default_and_can_be_changed_meanwhile() -> None:
    master = Master()
    client, slave = master.client(), master.slave("a")
    client.define()
    client.push(1, range(3), resources=GPU)
    master.wait(3 * PATIENCE, client, slave)
    assert not client.take(Results)
    changed, _ = swarm()
    master.core.set_limits(changed.core.swarm.limits, master.now)
    master.wait(1.0, client, slave)
    assert ends(client.messages(Results)) == dict.fromkeys(range(3), REFUSED)


def test_each_kind_is_told_once() -> None:
    master, client = swarm()
    slave = master.slave("a", name="attic")
    client.push(1, [0], resources=GPU)
    client.push(2, [1], resources={"tpu": 1.0})
    master.wait(TELL_SECONDS + 1.0, client, slave)
    texts = [output.text for output in client.messages(Output)]
    assert [text.partition(",")[0] for text in sorted(texts)] == ["WARNING f needs gpu=1", "WARNING f needs tpu=1"]
    client.push(3, [2], resources=GPU)
    master.wait(PATIENCE / 2, client, slave)
    assert not client.take(Output)
    kept = [piece.text for piece in master.core.swarm.past.log(SYSTEM)]
    assert kept == texts, "and it is among the job's lines"


class TestAloneSwarms:
    """Swarms that no further slave can ever join: what their slave cannot run fails at once."""

    def test_they_fail_at_once_whatever_the_options_say(self) -> None:
        master = Master(alone=Alone.PRIVATE, impossible_patience=PATIENCE)
        client = master.client()
        client.define()
        client.push(1, range(2), resources={"cpu": 4.0, **GPU})
        client.push(2, range(2, 4))
        master.wait(2 * PATIENCE, client)
        assert not client.take(Results), "its slave is still to come"
        slave = master.slave("a", name="attic")
        slave.work_off()
        client.take(Results)
        master.wait(0.5, client, slave)
        (results,) = client.take(Results)
        assert ends([results.message]) == dict.fromkeys(range(2), REFUSED)
        assert not any("which no connected" in each.text for each in client.messages(Output)), "the ends say it"
        fault = fault_of(results)
        assert fault.kind == faults.KIND_IMPOSSIBLE
        assert fault.message == (
            "f needs cpu=4, gpu=1, which no connected slave offers: attic has 2 workers and not 4 and has no gpu"
        )
        assert fault.hint == (
            "No other slave can join a private swarm. Start it with more: --workers 4 "
            '--set "slavenode.labels=gpu=1", in a script '
            'local_swarm(workers=4, overrides=["slavenode.labels=gpu=1"]); or let the task need less '
            "cpu and gpu."
        )

    def test_inline_there_is_another_way(self) -> None:
        master = Master(alone=Alone.INLINE)
        client, slave = master.client(), master.slave("a", machine(1, 2))
        client.define()
        client.push(1, range(2), resources={"cpu": 2.0})
        master.wait(0.5, client, slave)
        (results,) = client.take(Results)
        assert fault_of(results).hint == (
            "Inline there is one worker, without labels. Run it in a private swarm: --workers 2, in a script "
            "local_swarm(workers=2); or let the task need less cpu."
        )

    def test_while_its_slave_is_started_again_they_wait(self) -> None:
        master = Master(alone=Alone.PRIVATE)
        client, slave = master.client(), master.slave("a", machine(2, 4))
        client.define()
        slave.vanish()
        client.push(1, range(2), resources={"cpu": 2.0})
        master.wait(5.0, client)
        assert not client.take(Results)
        master.slave("b", machine(2, 4)).work_off()
        assert ends(client.messages(Results)) == dict.fromkeys(range(2), FINISHED)
