"""The MD5 sample without a swarm: the loop, the pieces, the early stop."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from typing import cast

import pytest

from concurrence.env.environment import Environment
from concurrence.errors import ConfigError, TaskError, UsageError
from concurrence.ids import TaskId
from concurrence.samples.md5 import MD5
from concurrence.samples.md5_tasks import Found, ReverseHash, find_number, ranges
from concurrence.tasks.api import ITaskMaster


def digest_of(number: int) -> bytes:
    return hashlib.md5(str(number).encode()).digest()


class FakeMaster:
    """A master's handle that remembers what was cancelled."""

    def __init__(self) -> None:
        self.log = logging.getLogger(__name__)
        self.cancelled: list[Iterable[TaskId] | None] = []

    def cancel(self, task_ids: Iterable[TaskId] | None = None) -> None:
        self.cancelled.append(task_ids)

    def report_progress(self, done: float, total: float, text: str = "") -> None:
        assert done <= total


@pytest.mark.parametrize("number", [0, 7, 10, 999])
def test_the_loop_finds_the_number_and_stops(number: int) -> None:
    assert find_number(digest_of(number), range(1000)) == number
    assert find_number(digest_of(number), range(number + 1, 1000)) is None


@pytest.mark.parametrize(("first", "last", "count"), [(1, 10, 3), (5, 5, 1), (1, 3, 128), (1, 10_000_000, 128)])
def test_the_pieces_are_all_numbers_once(first: int, last: int, count: int) -> None:
    pieces = ranges(first, last, count)
    assert len(pieces) == min(count, last - first + 1)
    assert [piece.stop for piece in pieces[:-1]] == [piece.start for piece in pieces[1:]]
    assert (pieces[0].start, pieces[-1].stop) == (first, last + 1)
    lengths = {len(piece) for piece in pieces}
    assert max(lengths) - min(lengths) <= 1


def story(number: int) -> tuple[ReverseHash, FakeMaster]:
    return ReverseHash(digest_of(number), ranges(1, 100, 10)), FakeMaster()


def test_the_hit_cancels_the_rest_once() -> None:
    system, fake = story(25)
    master = cast("ITaskMaster", fake)
    tasks = list(system.generate_tasks(master))
    for task in tasks[:2]:
        system.task_finished(master, task, task(), None)
    assert fake.cancelled == []
    system.task_finished(master, tasks[2], tasks[2](), None)
    assert fake.cancelled == [None]
    system.task_finished(master, tasks[3], tasks[3](), None)  # it was just ready
    for task in tasks[4:]:
        system.task_finished(master, task, None, TaskError("cancelled", kind="cancelled"))
    assert fake.cancelled == [None]
    assert system.gather_result(master) == Found(25, 10 + 10 + 5 + 10, 4, 6, [])


def test_without_a_hit_everything_was_tried() -> None:
    system, fake = story(1_000)
    master = cast("ITaskMaster", fake)
    for task in system.generate_tasks(master):
        system.task_finished(master, task, task(), None)
    assert system.gather_result(master) == Found(None, 100, 10, 0, [])
    assert fake.cancelled == []


def test_a_failure_before_the_hit_is_told() -> None:
    system, fake = story(1_000)
    master = cast("ITaskMaster", fake)
    task = next(iter(system.generate_tasks(master)))
    system.task_finished(master, task, None, TaskError("it broke", kind="lost"))
    assert system.gather_result(master).failures == ["numbers 1-10: it broke"]


def app(*settings: str) -> MD5:
    with Environment.ephemeral(overrides=settings, plugins=False) as environment:
        environment.register(MD5)
        environment.check()
        made = environment.component(MD5)
        made.app_init()
        return made


def test_the_default_is_the_seeds() -> None:
    assert bytes.fromhex(app().digest) == digest_of(8_819_825)


@pytest.mark.parametrize("text", ["", "28238d", "28238d467c88ae233a214d38c02dbccg"])
def test_what_is_no_hash_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="32 hexadecimal digits"):
        app(f"md5.hash={text}")


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(UsageError, match="no number from 10 to 3"):
        app("md5.first=10", "md5.last=3")
