"""Tasks push tasks: with their result, all or none, as tasks of the owner's own classes, within bounds."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from owner_story import SYSTEM, Add, owned
from test_owner import Handlers, Story, story

from concurrence import (
    ApplicationNode,
    ITaskMaster,
    ITaskSystem,
    Shared,
    Task,
    TaskError,
    push_task,
    push_tasks,
    task,
)
from concurrence.errors import PackingError, UsageError
from concurrence.nodes import room as room_module
from concurrence.nodes import sources as sources_module
from concurrence.tasks import nursery as nursery_module
from concurrence.tasks.children import Offspring, pack_child
from concurrence.tasks.values import pack_value
from concurrence.testing import run_app, run_system, run_task, swarm
from concurrence.wire.codec import Parcel, decode_tasks, encode_results
from concurrence.wire.messages import FAILED, FINISHED, PackedResult, Results

__all__ = ["story"]


class Tree(Task):
    """Pushes as many trees as its size says, each smaller by one."""

    ended: list[tuple[int, int]] = []  # noqa: RUF012  of the owner's process, which is this one

    def __init__(self, size: int) -> None:
        super().__init__(f"tree {size}")
        self.size = size

    def __call__(self) -> int:
        for size in range(self.size):
            self.push_task(Tree(size))
        return self.size

    def finished(self, result: Any, error: TaskError | None) -> None:
        self.ended.append((self.depth, result))


class Notes:
    """What inline tasks note; the class travels by name, so that it is this one."""

    lines: list[Any] = []  # noqa: RUF012  of this process


class Awaited(Task):
    async def __call__(self) -> None:
        """Nobody awaits it."""


class Pushing(Task):
    """Calls a function that may push."""

    def __init__(self, work: Callable[[Task], Any], **options: Any) -> None:
        super().__init__()
        self.work = work
        self.__dict__.update(options)

    def __call__(self) -> Any:
        return self.work(self)


@task(name="leaf")
def leaf(n: int) -> int:
    return n


@task
def stem(n: int) -> str:
    push_task(leaf.task(n))
    push_tasks(leaf.task(m) for m in range(n))
    return "stem"


class Recording(ApplicationNode, abstract=True):
    """Notes every end, and what was known then."""

    def app_init(self) -> None:
        self.ends: list[tuple[Task, Any, TaskError | None]] = []
        self.works = 0

    def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
        self.ends.append((task, result, error))

    def work_finished(self, result: Any, system_id: Any) -> None:
        self.works += 1
        self.shutdown_main_loop()

    def errors(self) -> list[str]:
        return [str(error) for _, _, error in self.ends if error is not None]


def run_one(pushed: Task, *overrides: str) -> Recording:
    """Run an application that pushes one task."""

    class One(Recording):
        def start_processing(self) -> None:
            self.push_task(pushed)

    return run_app(One, overrides=overrides).app


class TestFamilies:
    def test_children_are_told_like_any_other_and_the_work_ends_with_the_last(self) -> None:
        Tree.ended.clear()
        app = run_one(Tree(4))
        assert len(app.ends) == 16
        assert app.works == 1
        assert all(type(each) is Tree and error is None for each, _, error in app.ends)
        assert sorted(Tree.ended) == sorted((each.depth, result) for each, result, _ in app.ends)
        assert {each.depth for each, _, _ in app.ends} == set(range(5))
        assert len({each.task_id for each, _, _ in app.ends}) == 16
        assert len({each.system_id for each, _, _ in app.ends}) == 1

    def test_functions_push_functions_which_keep_their_options(self) -> None:
        app = run_one(stem.task(3))
        assert sorted(str(result) for _, result, _ in app.ends) == ["0", "1", "2", "3", "stem"]
        assert [each.name for each, _, _ in app.ends].count("leaf") == 4
        assert all(each.function in (stem, leaf) for each, _, _ in app.ends)  # type: ignore[attr-defined]

    def test_a_child_is_as_it_was_when_it_was_pushed(self) -> None:
        def work(parent: Task) -> None:
            child = Tree(0)
            for size in (0, 0):
                child.size = size
                child.name = f"was {len(child.name)}"
                parent.push_task(child)

        app = run_one(Pushing(work))
        assert sorted(each.name for each, _, _ in app.ends[1:]) == ["was 5", "was 6"]

    def test_the_children_are_there_before_the_parents_end_is_told(self) -> None:
        counts: list[int] = []

        class Looking(Recording):
            def start_processing(self) -> None:
                self.push_task(Tree(2))

            def task_finished(self, task: Task, result: Any, error: TaskError | None) -> None:
                run = self._current_run()
                assert run.owner.is_idle == (len(counts) == 3)
                counts.append(run.owner.counts.pushed)

        run_app(Looking)
        assert counts == [3, 3, 4, 4] or counts == [3, 4, 4, 4]

    def test_those_of_a_failure_go_with_it_and_a_retry_pushes_its_own(self) -> None:
        Notes.lines.clear()

        def work(parent: Task) -> None:
            parent.push_tasks([Tree(0), Tree(0)])
            Notes.lines.append(1)
            if len(Notes.lines) < 3:
                raise LookupError

        app = run_one(Pushing(work, max_retries=5))
        assert len(Notes.lines) == 3
        assert len(app.ends) == 3
        assert app.errors() == []
        app = run_one(Pushing(lambda parent: parent.push_task(Tree(0)) or 1 / 0))
        assert len(app.ends) == 1

    def test_those_of_a_result_that_cannot_be_pickled_go_with_it(self) -> None:
        app = run_one(Pushing(lambda parent: parent.push_task(Tree(0)) or threading.Lock()))
        (error,) = app.errors()
        assert "lock" in error

    def test_clean_up_may_push_too(self) -> None:
        class Tidy(Task):
            def __call__(self) -> None:
                """Nothing."""

            def clean_up(self) -> None:
                self.push_task(leaf.task(7))

        app = run_one(Tidy())
        assert [result for _, result, _ in app.ends] == [None, 7]

    def test_a_result_with_large_buffers_and_children(self) -> None:
        np = pytest.importorskip("numpy")

        def work(parent: Task) -> Any:
            parent.push_task(leaf.task(1))
            return np.arange(100_000)

        app = run_one(Pushing(work))
        assert app.ends[0][1].sum() == sum(range(100_000))
        assert len(app.ends) == 2

    def test_a_shared_object_of_the_parent_is_shared_with_the_children(self) -> None:
        words = Shared(["a", "b"])

        def work(words: Shared[list[str]], parent: Task) -> None:
            parent.push_task(Pushing(lambda parent: words.value))

        app = run_one(Pushing(functools.partial(work, words)))
        assert app.ends[1][1] == ["a", "b"]

    def test_the_depth_is_bounded(self) -> None:
        def again(parent: Task) -> int:
            parent.push_task(Pushing(again))
            return parent.depth

        app = run_one(Pushing(again), "application.max_depth=5")
        assert [result for _, result, _ in app.ends] == [0, 1, 2, 3, 4, None]
        (error,) = app.errors()
        assert "5 tasks pushed one another before it" in error
        assert "max_depth" in error
        assert app.works == 1


class TestSystems:
    def test_those_of_a_systems_tasks_are_the_systems(self) -> None:
        class Growing(ITaskSystem):
            max_depth = 3

            def __init__(self) -> None:
                self.seen: list[tuple[str, int, Any, bool]] = []

            def generate_tasks(self, master: ITaskMaster) -> Iterator[Task]:
                yield Tree(3)
                yield Tree(4)

            def task_finished(self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None) -> None:
                self.seen.append((task.name, task.depth, result, error is None))

            def gather_result(self, master: ITaskMaster) -> Any:
                return self.seen, master.stats

        seen, stats = run_system(Growing())
        assert stats.unfinished == 0
        assert stats.pushed == len(seen) == 8 + 15  # of the fourth generation of the larger one nobody is born
        assert [(name, depth) for name, depth, _, is_well in seen if not is_well] == [("tree 1", 3)]
        assert stats.failed == 1


class TestScripts:
    def test_the_future_has_the_parents_result_and_the_block_waits_for_all(self) -> None:
        Tree.ended.clear()
        with swarm() as inline:
            assert inline.submit(Tree(3)).result() == 3
            inline.wait()
            assert len(Tree.ended) == 8
            assert inline.counts.finished == 8
            assert "0 unfinished" in repr(inline)

    def test_items_of_a_map_push_and_a_failing_one_pushes_nothing(self) -> None:
        def work(n: int) -> int:
            push_tasks(Tree(0) for _ in range(n))
            if n == 2:
                raise LookupError(n)
            return n

        Tree.ended.clear()
        with swarm() as inline:
            results = inline.map(work, range(5), pack=5)
            assert [next(results), next(results)] == [0, 1]
            with pytest.raises(LookupError):
                next(results)
            inline.wait()
            assert len(Tree.ended) == 1 + 3 + 4
        with swarm() as inline:
            results = inline.map(work, [2], pack=1)
            with pytest.raises(LookupError):
                next(results)
            inline.wait()
        assert len(Tree.ended) == 1 + 3 + 4

    def test_a_failing_child_is_reported_at_the_end(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING), swarm() as inline:
            failing = Pushing(lambda parent: 1 / 0)
            inline.submit(Pushing(lambda parent: parent.push_task(failing))).result()
            inline.wait()
            inline.close()
        assert "1 task failed and nobody asked for its result; the first: <Pushing" in caplog.text
        assert "division by zero" in caplog.text

    def test_run_task_runs_a_task_that_pushes(self) -> None:
        assert run_task(Tree(2)) == 2


class TestWhere:
    def test_not_where_no_task_runs(self) -> None:
        for push in (
            lambda: push_task(Tree(0)),
            lambda: push_tasks([]),
            lambda: Tree(1).push_task(Tree(0)),
            Tree(1),
        ):
            with pytest.raises(UsageError, match="where no task runs"):
                push()
        with swarm() as inline:
            inline.submit(leaf, 1)
            with pytest.raises(UsageError, match="where no task runs"):
                push_task(leaf.task(1))

    def test_not_in_a_handler_of_a_run_in_one_thread(self) -> None:
        class Careless(Recording):
            def start_processing(self) -> None:
                Tree(0).push_task(Tree(0))

        with pytest.raises(UsageError, match="where no task runs"):
            run_app(Careless)

    def test_not_of_another_task(self) -> None:
        def work(parent: Task) -> None:
            Tree(0).push_task(Tree(0))

        (error,) = run_one(Pushing(work)).errors()
        assert "push_task() of <tree 0> was called, but that is not the task that runs" in error

    def test_not_in_a_thread(self) -> None:
        def work(parent: Task) -> str:
            told: list[str] = []

            def push() -> None:
                try:
                    parent.push_task(Tree(0))
                except UsageError as error:
                    told.append(str(error))

            thread = threading.Thread(target=push)
            thread.start()
            thread.join()
            return told[0]

        app = run_one(Pushing(work))
        assert "from the thread that runs it" in app.ends[0][1]
        assert len(app.ends) == 1

    def test_not_in_a_fork(self) -> None:
        def work(parent: Task) -> int:
            child = os.fork()
            if not child:
                code = 1
                try:
                    parent.push_task(Tree(0))
                except UsageError:
                    code = 7
                os._exit(code)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        app = run_one(Pushing(work))
        assert app.ends[0][1] == 7

    def test_nothing_but_tasks_of_sound_options_that_can_be_pickled(self) -> None:
        def work(child: Any, parent: Task) -> None:
            made: Any = child() if callable(child) else child
            parent.push_task(made)

        def locked() -> Task:
            child = Tree(0)
            child.lock = threading.Lock()  # type: ignore[attr-defined]
            return child

        def odd() -> Task:
            child = Tree(0)
            child.priority = "high"  # type: ignore[assignment]
            return child

        (error,) = run_one(Pushing(functools.partial(work, 3))).errors()
        assert "'int' was pushed, and only tasks can be: 3" in error
        (error,) = run_one(Pushing(functools.partial(work, odd))).errors()
        assert "tree 0: the option priority='high' means nothing" in error
        (error,) = run_one(Pushing(functools.partial(work, locked))).errors()
        assert "attribute 'lock' of tree 0 is a _thread.lock" in error

    def test_what_a_worker_shared_itself_is_refused(self) -> None:
        with pytest.raises(PackingError, match="shared on the worker"):
            raise_error(*_end_with(Offspring(pack_value(1)[0], [b"\xc1shared object:\xc1" + bytes(16)], [])))


def raise_error(task: Task, result: Any, error: TaskError | None) -> None:
    """What an end says is wrong."""
    assert error is not None
    raise PackingError(error.message)


def _end_with(offspring: Offspring) -> tuple[Task, Any, TaskError | None]:
    tasks = owned()
    tasks.add(Add())
    tasks.on_children = lambda children, size: None
    body = encode_results([PackedResult(pack_value(offspring)[0])])
    message = Results(1, 1, SYSTEM, [0], bytes([FINISHED]), 0.5, "s", 1)
    (end,) = tasks.settle(Parcel(message, [body]))
    assert (tasks.counts.finished, tasks.counts.failed) == (0, 1)
    return end


class TestBounds:
    def test_a_task_pushes_so_many_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nursery_module, "MAX_CHILDREN", 10)
        Notes.lines.clear()

        def work(parent: Task) -> None:
            parent.push_tasks(Notes.lines.append(n) or Tree(0) for n in range(100))

        app = run_one(Pushing(work))
        (error,) = app.errors()
        assert "more than 10 tasks" in error
        assert "generator" in error
        assert len(Notes.lines) == 11
        assert len(app.ends) == 1

    def test_and_so_many_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nursery_module, "MAX_CHILDREN_BYTES", 10_000)
        (error,) = run_one(Pushing(lambda parent: parent.push_task(leaf.task("x" * 10_000)))).errors()  # type: ignore[arg-type]
        assert "a task pushed more than" in error

    def test_the_items_of_a_pack_each_have_that_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nursery_module, "MAX_CHILDREN", 3)
        monkeypatch.setattr(nursery_module, "MAX_LITTER", 7)

        def work(n: int) -> int:
            push_tasks(Tree(0) for _ in range(n))
            return n

        Tree.ended.clear()
        with swarm() as inline:
            results = inline.map(work, [3, 4, 3, 2, 1], pack=5)
            assert next(results) == 3
            with pytest.raises(UsageError, match="a task pushed more than 3 tasks"):
                next(results)
            assert next(results) == 3
            with pytest.raises(UsageError, match="one pack of map pushed more than 7"):
                next(results)
            assert next(results) == 1
            inline.wait()
        assert len(Tree.ended) == 7


def family(delivery: int, counter: int, children: list[Task]) -> Parcel[Results]:
    """The result of a task that pushed others."""
    offspring = Offspring(pack_value("value")[0], [pack_child(child) for child in children], [])
    body = encode_results([PackedResult(pack_value(offspring)[0])])
    return Parcel(Results(1, delivery, SYSTEM, [counter], bytes([FINISHED]), 0.5, "s", 1), [body])


class TestOwner:
    def take(self, story: Story, parcel: Parcel[Results]) -> None:
        story.channel.news.append(parcel)
        story.owner.turn(0)

    def test_a_result_that_is_delivered_twice_bears_once(self, story: Story) -> None:
        story.owner.push_task(Add())
        for delivery in (1, 1, 2):
            self.take(story, family(delivery, 0, [Add(), Add()]))
        assert story.owner.counts.pushed == 3

    def test_what_has_no_room_waits_the_last_first_and_is_never_refused(
        self, story: Story, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_module, "SOURCE_TASKS", 4)
        for _ in range(2):
            story.owner.push_task(Add())
        self.take(story, family(1, 0, [Add(n) for n in range(10)]))
        assert len(story.owner.tasks) == 4
        self.take(story, family(2, 1, [Add(n) for n in range(100, 110)]))
        assert story.owner.unfinished == 20
        assert not story.owner.is_idle
        while not story.owner.is_idle:
            story.owner.turn(0)
            story.channel.finish_all(3)
        story.owner.take(story.channel.receive(0))
        values = [ended.value for ended, _, _ in story.handlers.ended if isinstance(ended, Add) and ended.depth]
        assert sorted(values) == [*range(10), *range(100, 110)]
        assert values.index(109) < values.index(9)
        assert story.owner.counts.unfinished == 0

    def test_a_child_that_cannot_be_packed_here_fails_alone(self, story: Story) -> None:
        story.owner.push_task(Add())
        self.take(story, family(1, 0, [Add(1), Awaited(), Add(2)]))
        (_, failed) = story.handlers.ended
        assert failed[2] is not None
        assert "async" in failed[2].message
        assert failed[0].task_id is not None
        assert story.owner.counts.failed == 1
        assert len(story.owner.tasks) == 2

    def test_beyond_all_bounds_the_parent_fails(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sources_module, "MAX_CHILDREN", 3)
        story.owner.push_task(Add())
        self.take(story, family(1, 0, [Add() for _ in range(4)]))
        ((_, result, error),) = story.handlers.ended
        assert result is None
        assert error is not None
        assert "wait already" in error.message
        assert story.owner.counts.failed == 1
        assert story.owner.is_idle

    def test_what_was_cancelled_with_everything_bears_nothing_more(self, story: Story) -> None:
        story.owner.push_task(Add())
        story.owner.cancel(SYSTEM, None)
        later = Add()
        story.owner.push_task(later)
        self.take(story, family(1, 0, [Add()]))
        assert len(story.owner.tasks) == 1
        assert later.task_id is not None
        self.take(story, family(2, later.task_id.counter, [Add()]))
        assert len(story.owner.tasks) == 1

    def test_cancelling_everything_forgets_those_that_wait(
        self, story: Story, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_module, "SOURCE_TASKS", 1)
        story.owner.push_task(Add())
        self.take(story, family(1, 0, [Add() for _ in range(4)]))
        assert story.owner.unfinished == 4
        story.owner.cancel(SYSTEM, None)
        assert story.owner.unfinished == 1

    def test_failed_attempts_bear_nothing(self, story: Story) -> None:
        story.owner.push_task(Add())
        parcel = family(1, 0, [Add()])
        message = parcel.message
        failed = Results(1, 1, SYSTEM, [0], bytes([FAILED]), 0.5, "s", 1)
        self.take(story, Parcel(failed, parcel.frames))
        assert message.counters == [0]
        assert len(story.owner.tasks) == 0
        assert isinstance(story.handlers, Handlers)
        assert decode_tasks(story.channel.pushes[0].parcels[-1].frames)
