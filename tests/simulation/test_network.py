"""The simulated network: what TCP promises holds, and nothing more."""

from __future__ import annotations

from random import Random
from typing import Any

from concurrence.testing.simulation.network import Connection, Link, Network
from concurrence.testing.simulation.timeline import Timeline
from concurrence.testing.simulation.work_queue import WorkQueue
from concurrence.wire.codec import Parcel, encode_tasks
from concurrence.wire.messages import Assign, PackedTask, Ping


class Node:
    """A node that notes what it hears; the master does too."""

    name = "node"

    def __init__(self, seed: int = 1) -> None:
        self.timeline = Timeline()
        self.network = Network(self.timeline, Random(seed), codec=False)
        self.network.master = self
        self.events: list[str] = []
        self.received: list[int] = []
        self.arrived: list[int] = []
        self.link = Link(self.network, self, 0.01)
        self.link.connect()
        self.pass_time(1.0)

    def connection(self, event: str) -> None:
        self.events.append(event)

    def receive(self, payload: Any) -> None:
        self.received += [parcel.message.number for parcel in payload]

    def heard(self, now: float) -> None:
        """Nothing to note."""

    def arrive(self, connection: Connection, payload: Any) -> None:
        self.arrived += [parcel.message.number for parcel in payload]

    def pass_time(self, seconds: float) -> None:
        self.timeline.is_over = False
        self.timeline.after(seconds, self._end)
        self.timeline.run()

    def _end(self, _: Any) -> None:
        self.timeline.is_over = True

    def say(self, *numbers: int) -> None:
        for number in numbers:
            self.link.send([Parcel(Ping(number))])

    def hear(self, *numbers: int) -> bool:
        current = self.link.current
        assert current is not None
        taken = [self.network.send(current.peer, [Parcel(Ping(number))]) for number in numbers]
        return all(taken)


def test_order_is_kept_in_both_directions() -> None:
    node = Node()
    node.say(*range(50))
    node.hear(*range(50))
    node.pass_time(1.0)
    assert node.arrived == node.received == list(range(50))


def test_a_reset_loses_what_is_under_way_and_another_connection_follows() -> None:
    for seed in range(20):
        node = Node(seed)
        before = node.link.current
        node.say(1, 2, 3)
        node.hear(4, 5)
        node.link.reset()
        node.pass_time(2.0)
        assert node.events == ["connected", "disconnected", "connected"]
        assert node.received == []
        assert node.arrived in ([], [1, 2, 3], [2, 3], [3]), "what was not written yet goes first on the next one"
        assert before is not None
        assert not node.network.send(before.peer, []), "the master knows by now"


def test_what_is_cut_off_waits_and_keeps_its_order() -> None:
    node = Node()
    node.say(1)
    node.link.cut()
    node.say(2)
    node.hear(3)
    node.pass_time(1.0)
    assert node.arrived == node.received == []
    node.say(4)
    node.link.heal()
    node.say(5)
    node.pass_time(1.0)
    assert node.arrived == [1, 2, 4, 5]
    assert node.received == [3]


def test_silence_is_noticed_by_nobody() -> None:
    node = Node()
    node.link.fall_silent()
    node.say(1)
    assert node.hear(2), "the master does not know"
    node.pass_time(10.0)
    assert (node.events, node.arrived, node.received) == (["connected"], [], [])
    node.link.reconnect()
    node.pass_time(1.0)
    node.say(3)
    node.pass_time(1.0)
    assert node.arrived == [3]


def chunk(number: int, size: int = 10) -> Parcel[Assign]:
    return Parcel(Assign(1, number, 1, 1, 1, 1), [encode_tasks([PackedTask(0, bytes(size))])])


def pulled(queue: WorkQueue, pipe: Any) -> list[int]:
    numbers: list[int] = []
    while (payload := queue.pull(pipe)) is not None:
        numbers += [parcel.message.chunk for parcel in payload]
    return numbers


class TestWorkQueue:
    def test_slaves_are_given_in_turn_and_keep_order(self) -> None:
        node = Node()
        queue = WorkQueue(node.network, lambda: None)
        pipes = [queue.attach(node.link, lambda: None) for _ in range(2)]
        node.pass_time(1.0)
        assert [queue.send(chunk(number)) for number in range(6)] == [True] * 6
        node.pass_time(1.0)
        assert sorted([pulled(queue, pipe) for pipe in pipes]) == [[0, 2, 4], [1, 3, 5]]

    def test_buffers_hide_much_and_not_everything(self) -> None:
        node = Node()
        room: list[int] = []
        queue = WorkQueue(node.network, lambda: room.append(1))
        pipe = queue.attach(node.link, lambda: None)
        node.pass_time(1.0)
        taken = 0
        while queue.send(chunk(taken, 1000)):
            taken += 1
        assert 100 < taken < 200
        node.pass_time(1.0)
        assert not room
        assert len(pulled(queue, pipe)) == taken
        assert room
        assert queue.send(chunk(1))

    def test_what_lies_in_a_buffer_is_lost_with_its_connection(self) -> None:
        node = Node()
        queue = WorkQueue(node.network, lambda: None)
        pipe = queue.attach(node.link, lambda: None)
        node.pass_time(1.0)
        queue.send(chunk(1))
        node.pass_time(1.0)
        queue.send(chunk(2))
        queue.reset(pipe)
        node.pass_time(1.0)
        queue.send(chunk(3))
        node.pass_time(1.0)
        assert pulled(queue, pipe) == [3]
