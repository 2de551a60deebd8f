"""The story of tasks: what is told per chunk is joined to one task's life, within bounds."""

from __future__ import annotations

import pytest
from swarm_story import SYSTEM, Master, counters_of

from concurrence.scheduling.ledger.jobs import Job
from concurrence.scheduling.ledger.ledger import Ledger
from concurrence.scheduling.ledger.records import TaskRecord, TaskSpec
from concurrence.scheduling.ledger.sanity import FULL_EVERY, SanityCheck
from concurrence.scheduling.ledger.story import MAX_NOTE, Event, Story
from concurrence.wire.messages import CANCELLED, FAILED, FINISHED, Cancel


def steps(master: Master, counter: int) -> list[str]:
    return [f"{entry.event} {entry.who}".strip() for entry in master.ledger.story.of(SYSTEM, counter)]


@pytest.mark.usefixtures("each_policy")
def test_a_task_has_a_story_from_push_to_end() -> None:
    master = Master()
    client, slave = master.client(), master.slave()
    client.define()
    client.push(1, range(3))
    master.now += 1.0
    slave.work_off()
    story = steps(master, 1)
    assert story[0] == "accepted"
    assert story[-1] == "finished"
    assert "claimed the slave" in story or "sent the slave" in story
    assert [entry.at for entry in master.ledger.story.of(SYSTEM, 1)] == sorted(
        entry.at for entry in master.ledger.story.of(SYSTEM, 1)
    )
    assert master.ledger.story.of(SYSTEM, 1)[-1].at == master.now


def test_retries_deaths_and_cancellations_are_told_of_whom_they_concern() -> None:
    master = Master()
    client, slave = master.client(), master.slave()
    client.define()
    client.push(1, [0, 1], max_retries=1)
    failed = [False]

    def once(counter: int) -> int:
        if counter == 0 and not failed[0]:
            failed[0] = True
            return FAILED
        return FINISHED

    chunks = slave.pull()
    for chunk in chunks:
        slave.answer(chunk, status=once)
    assert "failed; is tried again later" in steps(master, 0)
    assert "failed; is tried again later" not in steps(master, 1)
    (again,) = slave.pull()
    slave.lose(again, counters_of(again)[0])
    charged = next(entry for entry in master.ledger.story.of(SYSTEM, 0) if entry.event is Event.CHARGED)
    assert (charged.attempt, charged.note) == (2, "killed by signal 9")
    client.say(Cancel(SYSTEM, [0]))
    assert steps(master, 0)[-1] == "cancelled"
    assert steps(master, 7) == []


def test_the_ring_is_bounded_in_entries_counters_and_notes() -> None:
    story = Story(max_entries=10, max_counters=20)
    for number in range(30):
        story.tell(Event.ACCEPTED, 1, counters=[number], note="x" * 1_000)
    assert len(story) == 10
    assert story.of(1, 5) == []
    assert len(story.of(1, 29)[0].note) == MAX_NOTE
    for number in range(4):
        story.tell(Event.TAKEN, 1, number + 1, counters=[1, 5, 3, 2, 9, 8])  # no range: kept one by one
    assert len(story) == 3
    assert len(story.of(1, 9)) == 3
    story.tell(Event.TAKEN, 1, 9, counters=list(range(1_000_000)))
    assert len(story) == 4, "a range takes no room"
    assert len(story.of(1, 4)) == 1


def test_what_looks_like_a_range_and_is_none_is_kept_exactly() -> None:
    story = Story()
    story.tell(Event.TAKEN, 1, 1, counters=[1, 9, 3])
    assert story.of(1, 2) == []
    assert len(story.of(1, 9)) == 1


def test_what_was_told_last_can_be_read_again() -> None:
    story = Story(max_entries=3)
    for number in range(5):
        story.tell(Event.ACCEPTED, number)
    assert [entry.system for entry in story.since(3)] == [3, 4]
    assert [entry.system for entry in story.since(0)] == [2, 3, 4]
    assert story.since(5) == []


@pytest.fixture
def checked() -> tuple[Ledger, Job, SanityCheck]:
    ledger = Ledger()
    job = ledger.open(Job(7, "client", "client"))
    check = SanityCheck(ledger.jobs, ledger.assignments, ledger.story)
    ledger.accept(job, TaskSpec(1), [TaskRecord(counter, b"12345") for counter in range(8)])
    check()
    return ledger, job, check


def test_the_check_sees_a_task_that_got_lost(checked: tuple[Ledger, Job, SanityCheck]) -> None:
    ledger, job, check = checked
    chunk = ledger.take(job, 4, 0.0)
    del chunk.pending[2]
    with pytest.raises(AssertionError, match="counts its running tasks wrongly"):
        check()


def test_the_check_sees_an_ended_task_that_is_still_there(checked: tuple[Ledger, Job, SanityCheck]) -> None:
    ledger, job, check = checked
    chunk = ledger.take(job, 4, 0.0)
    record = chunk.pending[2]
    ledger.settle(chunk.chunk, [2], bytes([CANCELLED]), 0.0)
    job.tasks[2] = record
    with pytest.raises(AssertionError):
        check()


def test_the_check_sees_a_wrong_state(checked: tuple[Ledger, Job, SanityCheck]) -> None:
    ledger, job, check = checked
    ledger.take(job, 4, 0.0).pending[1].state = 0
    with pytest.raises(AssertionError, match="under way but not assigned"):
        check()


def test_now_and_then_everything_is_checked(checked: tuple[Ledger, Job, SanityCheck]) -> None:
    ledger, job, check = checked
    job.bytes_held += 1  # nothing that an event touched
    check()
    while ledger.story.count < FULL_EVERY - 1:
        ledger.recall(ledger.take(job, 1, 0.0).chunk)
        check()
    ledger.recall(ledger.take(job, 1, 0.0).chunk)
    with pytest.raises(AssertionError, match="bytes"):
        check()
