"""What is kept of the lines that jobs wrote, and of jobs that ended: never more than its bounds."""

from __future__ import annotations

import pytest
from swarm_story import SYSTEM, Master

from concurrence.scheduling import past
from concurrence.scheduling.past import EndedJob, JobLog, Past
from concurrence.wire.messages import Bye, Output


def output(text: str, system: int = 1, counter: int | None = 7) -> Output:
    return Output(system, counter, "stdout", "attic", text)


def ended(system: int) -> EndedJob:
    return EndedJob(system, "", "me", "complete", 0.0, 1.0, 1, 0, 0)


class TestJobLog:
    def test_the_newest_lines_stay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(past, "MAX_LINES", 5)
        log = JobLog()
        for number in range(4):
            log.add(output(f"{number}\n{number}"), 1.0)
        assert [piece.text for piece in log] == ["2\n2", "3\n3"]
        assert [piece.number for piece in log.since(3)] == [4]
        assert log.since(99) == []

    def test_so_many_characters_at_most_but_one_piece_always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(past, "MAX_CHARACTERS", 10)
        log = JobLog()
        for text in ("aaaa", "bbbb", "cccc", "d" * 100):
            log.add(output(text), 1.0)
            assert log.characters == sum(len(piece.text) for piece in log)
        assert [piece.text for piece in log] == ["d" * 100]


class TestPast:
    def test_all_jobs_together_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(past, "MAX_ALL_CHARACTERS", 100)
        kept = Past()
        for system in range(10):
            kept.add(output("x" * 30, system), 1.0)
        kept.add(output("y" * 30, 8), 1.0)
        assert {system: len(list(kept.log(system))) for system in range(10)} == {
            **dict.fromkeys(range(8), 0),
            8: 2,
            9: 1,
        }
        kept.add(output("z" * 30, 0), 1.0)
        assert [piece.number for piece in kept.log(0)] == [2], "numbers are not used again"

    def test_jobs_that_ended_are_remembered_with_their_lines_until_many_others_have(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(past, "MAX_ENDED", 2)
        kept = Past()
        for system in range(3):
            kept.add(output("last words", system), 1.0)
            kept.end(ended(system))
        assert [job.system for job in kept.ended] == [1, 2]
        assert kept.ended_job(0) is None
        assert not list(kept.log(0))
        assert [piece.text for piece in kept.log(2)] == ["last words"]


class TestAtTheMaster:
    def test_lines_of_tasks_are_kept_with_the_name_that_people_see(self) -> None:
        master = Master()
        client = master.client()
        master.slave("a", name="attic")
        second = master.slave("b", name="attic")
        client.define()
        client.push(1, [0])
        second.say(Output(SYSTEM, 0, "stdout", "attic", "hello"))
        second.say(Output(SYSTEM + 1, 0, "stdout", "attic", "of no job"))
        (piece,) = master.core.swarm.past.log(SYSTEM)
        assert (piece.source, piece.counter, piece.text, piece.at) == ("attic-2", 0, "hello", master.now)
        assert not list(master.core.swarm.past.log(SYSTEM + 1))

    def test_a_client_that_leaves_leaves_its_job_behind(self) -> None:
        master = Master()
        client, slave = master.client(), master.slave()
        client.define()
        client.push(1, range(4))
        slave.work_off()
        client.push(2, range(4, 10))
        client.say(Bye("it had enough"))
        (job,) = master.core.swarm.past.ended
        assert (job.system, job.client, job.finished, job.cancelled) == (SYSTEM, "the client", 4, 6)
        assert job.how == "its client has left: it had enough"

    def test_a_client_that_pushed_nothing_is_not_worth_it(self) -> None:
        master = Master()
        master.client().say(Bye("it only asked"))
        assert not master.core.swarm.past.ended
