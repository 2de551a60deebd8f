"""The loop around an owner's tasks: pushing, handlers, bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from owner_story import SYSTEM, Add, Buffered, Other, System, owned, results

from concurrence.errors import Backpressure, ConcurrenceError, ConnectionFailed, TaskError
from concurrence.ids import SystemId
from concurrence.nodes import owner as owner_module
from concurrence.nodes import room as room_module
from concurrence.nodes.master_link import LinkEvent
from concurrence.nodes.owner import Owner
from concurrence.nodes.owner_channel import Notification
from concurrence.tasks import waiting
from concurrence.tasks.api import Task
from concurrence.tasks.ownership import Push
from concurrence.tasks.values import pack_value
from concurrence.wire import faults
from concurrence.wire.codec import Frame, Parcel, decode_tasks, encode_results
from concurrence.wire.messages import (
    FINISHED,
    Cancel,
    DefineFunction,
    Message,
    PackedResult,
    PushAccepted,
    PushRejected,
    PushSystem,
    PushTasks,
    SystemResult,
    ToOwner,
    Welcome,
)


class Channel:
    """A channel whose master says what the test wants."""

    def __init__(self) -> None:
        self.accepted_push = 0
        self.arrived = 0.0
        self.error: ConcurrenceError | None = None
        self.welcome: Welcome | None = None
        self.pushes: list[Push] = []
        self.sent: list[Message] = []
        self.acknowledged: list[int] = []
        self.news: deque[Notification] = deque()
        self.on_wait: Callable[[], None] = lambda: pytest.fail("waits for ever")

    def submit(self, push: Push) -> None:
        self.pushes.append(push)

    def send(self, message: Parcel[Message]) -> None:
        self.sent.append(message.message)

    def acknowledge(self, delivery: int) -> None:
        self.acknowledged.append(delivery)

    def receive(self, timeout: float | None) -> Notification | None:
        if not self.news and timeout != 0:
            self.on_wait()
        return self.news.popleft() if self.news else None

    def wake(self) -> None:
        """Nothing."""

    def close(self, reason: str) -> None:
        """Nothing."""

    def tell(self, message: ToOwner, frames: list[Frame] | None = None) -> None:
        if isinstance(message, PushAccepted):
            self.accepted_push = message.push
        self.news.append(Parcel(message, frames or []))

    def accept(self) -> None:
        if self.pushes:
            self.tell(PushAccepted(self.pushes[-1].number))

    def finish_all(self, delivery: int = 1) -> None:
        """Accept what was pushed, and finish all of it."""
        self.accept()
        for push in self.pushes:
            if isinstance(push.parcels[-1].message, Cancel):
                continue
            counters = [task.counter for task in decode_tasks(push.parcels[-1].frames)]
            self.news.append(results(delivery, counters))
        self.pushes.clear()


class Handlers:
    def __init__(self) -> None:
        self.ended: list[tuple[Task, Any, TaskError | None]] = []
        self.systems: list[tuple[int, Any, TaskError | None]] = []
        self.was_accepted: list[object] = []
        self.was_rejected: list[list[Task]] = []
        self.links: list[LinkEvent] = []
        self.others: list[object] = []
        self.idles = 0
        self.on_end: Callable[[Task], None] = lambda task: None

    def task_ended(self, task: Task, result: Any, error: TaskError | None) -> None:
        self.ended.append((task, result, error))
        self.on_end(task)

    def system_ended(self, system_id: SystemId, result: Any, error: TaskError | None) -> None:
        self.systems.append((system_id, result, error))

    def accepted(self, pushed: object) -> None:
        self.was_accepted.append(pushed)

    def rejected(self, tasks: list[Task], error: TaskError) -> None:
        self.was_rejected.append(tasks)

    def message(self, parcel: Parcel[ToOwner]) -> None:
        self.others.append(parcel.message)

    def link(self, event: LinkEvent) -> None:
        self.links.append(event)

    def idle(self) -> None:
        self.idles += 1


class Story:
    def __init__(self) -> None:
        self.channel = Channel()
        self.handlers = Handlers()
        self.owner = Owner(self.channel, owned(), self.handlers, patience=1.0)


@pytest.fixture
def story() -> Story:
    return Story()


class TestOwner:
    def test_a_task_goes_at_once_and_ends(self, story: Story) -> None:
        task = Add()
        assert story.owner.push_task(task) == (SYSTEM, 0)
        assert len(story.channel.pushes) == 1
        story.channel.finish_all()
        story.owner.turn(0)
        assert story.handlers.was_accepted == [task]
        assert story.handlers.ended == [(task, "value", None)]
        assert task.ended == ["value"]
        assert story.channel.acknowledged == [1]
        assert story.owner.is_idle
        assert story.owner.busy == 0.5

    def test_nobody_may_wait_in_handlers_and_sources(self, story: Story) -> None:
        places: list[waiting.Place | None] = []

        def generate() -> Iterator[Task]:
            places.append(waiting.place())
            yield Add()

        story.handlers.on_end = lambda task: places.append(waiting.place())
        story.owner.push_tasks(generate())
        story.channel.finish_all()
        story.owner.turn(0)
        assert places == [waiting.HANDLER, waiting.HANDLER]
        assert waiting.place() is None

    def test_with_pushes_under_way_tasks_wait_for_company(self, story: Story) -> None:
        for _ in range(100):
            story.owner.push_task(Add())
        assert [push.tasks for push in story.channel.pushes] == [1, 1, 1, 1]
        story.channel.accept()
        story.owner.turn(0)
        story.owner.turn(0)
        assert [push.tasks for push in story.channel.pushes][4:] == [96]

    def test_inside_handlers_pushing_does_not_wait(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room_module, "MAX_PENDING_TASKS", 3)
        raised: list[Backpressure] = []

        def push_more(task: Task) -> None:
            for _ in range(3):
                story.owner.push_task(Add())
            with pytest.raises(Backpressure, match="3 tasks are unfinished") as caught:
                story.owner.push_task(Add())
            raised.append(caught.value)

        story.handlers.on_end = push_more
        story.owner.push_task(Add())
        story.channel.finish_all()
        story.owner.turn(0)
        assert "generator" in raised[0].hint
        assert len(story.owner.tasks) == 3

    def test_what_large_tasks_hold_counts_too(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room_module, "MAX_PENDING_BYTES", 1_000)
        story.owner.push_task(Buffered(2_000))
        assert not story.owner.has_room
        story.channel.finish_all()
        story.owner.turn(0)
        assert story.owner.has_room

    def test_outside_handlers_pushing_waits_and_handles_what_comes(
        self, story: Story, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_module, "MAX_PENDING_TASKS", 3)
        story.channel.on_wait = story.channel.finish_all
        for _ in range(20):
            story.owner.push_task(Add())
        assert len(story.handlers.ended) >= 17

    def test_the_masters_window_counts_too(self, story: Story) -> None:
        story.channel.welcome = Welcome(1, "1.0", "m", False, 1.0, 10.0, task_window=5)
        story.channel.on_wait = story.channel.finish_all
        story.owner.push_tasks([Add() for _ in range(8)])
        assert len(story.owner.tasks) == 5
        story.owner.push_task(Add())
        assert len(story.handlers.ended) == 5

    def test_without_room_in_time_pushing_fails(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room_module, "MAX_PENDING_TASKS", 1)
        times = iter(range(100))
        monkeypatch.setattr(owner_module.time, "monotonic", lambda: float(next(times)))
        story.channel.on_wait = lambda: None
        story.owner.push_task(Add())
        with pytest.raises(ConnectionFailed, match="none of 1 tasks ended within 1 s"):
            story.owner.push_task(Add())

    def test_who_stops_while_it_waits_does_not_wait(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room_module, "MAX_PENDING_TASKS", 2)
        story.owner.push_task(Add())
        story.owner.push_task(Add())
        story.handlers.on_end = lambda task: story.owner.stop()
        story.channel.on_wait = lambda: story.channel.news.append(results(1, []))
        story.owner.stop()
        story.owner.push_task(Add())

    def test_a_generator_is_drained_as_room_comes(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room_module, "SOURCE_TASKS", 10)
        drained: list[int] = []

        def generate() -> Iterator[Task]:
            for number in range(35):
                drained.append(number)
                yield Add(number)

        generator = generate()
        story.owner.push_tasks(generator)
        assert len(drained) == 10
        assert story.owner.counts.undrained == 1
        assert story.owner.expected == 0
        while not story.owner.is_idle:
            story.channel.finish_all()
            story.owner.turn(0)
            assert len(story.owner.tasks) <= 10
        assert [task.value for task, _, _ in story.handlers.ended if isinstance(task, Add)] == list(range(35))
        assert story.handlers.was_accepted[-1] is generator

    def test_a_generator_of_large_tasks_is_drained_by_their_bytes(
        self, story: Story, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_module, "SOURCE_BYTES", 1_000_000)
        story.owner.push_tasks(Buffered(300_000) for _ in range(20))
        most = 0
        while not story.owner.is_idle:
            most = max(most, len(story.owner.tasks))
            story.channel.finish_all()
            story.owner.turn(0)
        assert most == 4, "the one that exceeds the bound is the last"
        assert len(story.handlers.ended) == 20

    def test_what_follows_from_results_does_not_wait_for_the_end_of_a_generator(
        self, story: Story, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_module, "SOURCE_TASKS", 10)
        most = 0

        def follow(task: Task) -> None:
            nonlocal most
            if not isinstance(task, Other):
                story.owner.push_tasks([Other()])
            most = max(most, story.owner.counts.undrained)

        story.handlers.on_end = follow
        story.owner.push_tasks(Add() for _ in range(500))
        while not story.owner.is_idle:
            story.channel.finish_all()
            story.owner.turn(0)
        assert len(story.handlers.ended) == 1_000
        assert most <= 11

    def test_lists_tell_how_many_there_will_be(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room_module, "SOURCE_TASKS", 2)
        story.owner.push_tasks([Add(), Add(), Add()])
        assert story.owner.expected == 3

    def test_a_rejected_push_ends_its_tasks_and_does_not_stop_others(self, story: Story) -> None:
        tasks = [Add() for _ in range(10)]
        for task in tasks:
            story.owner.push_task(task)
        for number in range(1, 5):
            story.channel.tell(PushRejected(number, "too many"))
        story.channel.tell(PushRejected(1, "too many"))
        story.owner.turn(0)
        assert [rejected for (rejected,) in story.handlers.was_rejected] == tasks[:4]
        assert [task for task, _, _ in story.handlers.ended] == tasks[:4]
        story.owner.turn(0)
        assert [push.tasks for push in story.channel.pushes][4:] == [6]

    def test_forgotten_by_the_master_everything_fails(self, story: Story) -> None:
        story.owner.push_task(Add())
        system = story.owner.push_system(System())
        for _ in range(5):
            story.owner.push_task(Add())
        story.channel.news.append(LinkEvent.FORGOTTEN)
        story.owner.turn(0)
        assert [error.kind for _, _, error in story.handlers.ended if error] == [faults.KIND_LOST] * 6
        assert [each for each, _, _ in story.handlers.systems] == [system]
        assert story.owner.is_idle
        before = len(story.channel.pushes)
        story.owner.push_task(Add())
        assert isinstance(story.channel.pushes[before].parcels[0].message, DefineFunction)

    def test_what_was_on_its_way_to_a_master_that_forgot_it_is_cancelled(self, story: Story) -> None:
        # It comes late, to a master that takes it for new, though its author was told that it is lost.
        kept, lost = story.owner.push_system(System()), story.owner.push_system(System())
        story.owner.push_task(Add())
        story.channel.tell(PushAccepted(1))
        story.channel.news.append(LinkEvent.FORGOTTEN)
        before = len(story.channel.pushes)

        def push_more(_: Task) -> None:
            story.owner.push_task(Add())

        story.handlers.on_end = push_more
        story.owner.turn(0)
        later = [push.parcels[-1].message for push in story.channel.pushes[before:]]
        assert [(each.system, each.counters) for each in later if isinstance(each, Cancel)] == [
            (lost, None),
            (SYSTEM, None),
        ], f"not {kept}, which was accepted, and lives on if it is detached"
        assert [type(each) for each in later] == [Cancel, Cancel, PushTasks], "before what is pushed from now on"
        assert story.channel.pushes[before].number == 4, "answered in turn, whatever connections break"

    def test_a_system_ends_once(self, story: Story) -> None:
        system = story.owner.push_system(System())
        assert isinstance(story.channel.pushes[0].parcels[-1].message, PushSystem)
        body = encode_results([PackedResult(pack_value(42, "")[0])])
        for _ in range(2):
            story.channel.tell(SystemResult(1, 3, system, FINISHED), [body])
        story.owner.turn(0)
        assert story.handlers.systems == [(system, 42, None)]
        assert story.channel.acknowledged == [3]

    def test_cancelling_forgets_what_is_not_drained(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room_module, "SOURCE_TASKS", 2)
        story.owner.push_tasks(Add() for _ in range(100))
        story.owner.cancel(SYSTEM, None)
        story.owner.cancel(SYSTEM, list(range(5_000)))
        pushes = [push.parcels[-1].message for push in story.channel.pushes]
        cancels = [message for message in pushes if isinstance(message, Cancel)]
        assert cancels[0] == Cancel(SYSTEM, None, 2), "in turn with what was pushed before it"
        assert [len(message.counters or []) for message in cancels[1:]] == [4_096, 904]
        story.channel.finish_all()
        story.owner.turn(0)
        assert story.owner.is_idle

    def test_the_loop_tells_once_that_nothing_is_left_and_ends(self, story: Story) -> None:
        story.channel.on_wait = story.owner.stop
        story.owner.push_task(Add())
        story.channel.finish_all()
        story.channel.tell(Welcome(1, "1", "m", True, 1.0, 1.0))
        story.owner.run()
        assert story.handlers.idles == 1
        assert len(story.handlers.others) == 1

    def test_a_channel_that_gave_up_ends_the_loop(self, story: Story) -> None:
        story.channel.error = ConnectionFailed("no master")
        story.channel.news.append(LinkEvent.FAILED)
        with pytest.raises(ConnectionFailed, match="no master"):
            story.owner.run()

    def test_thousands_of_pushes_are_accepted_one_by_one(self, story: Story) -> None:
        for number in range(20_000):
            story.owner.tasks.add(Add() if number % 2 else Other())
        story.owner.turn(0)
        for push in story.channel.pushes:
            story.channel.tell(PushAccepted(push.number))
        while story.channel.news:
            story.owner.turn(0)
        assert not len(story.owner._pushes)  # pyright: ignore[reportPrivateUsage]
