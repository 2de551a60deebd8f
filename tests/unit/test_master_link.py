"""A node's link to its master: greeting, silence, refusals."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from random import Random

import pytest
from swarm_story import hello

from concurrence.errors import AuthenticationFailed, ConnectionFailed, Refused
from concurrence.nodes.master_link import LinkEvent, LinkState, MasterLink
from concurrence.transport.zmq_sockets import reconnect_intervals
from concurrence.wire.messages import Bye, Delivered, Hello, Ping, Pong, Refusal, Welcome


class Story:
    def __init__(self, patience: float | None = None) -> None:
        self.now = 0.0
        self.hellos: list[bool] = []
        self.link = MasterLink(self.hello, "tcp://master", 0.0, patience=patience)

    def hello(self, resumes: bool) -> Hello:
        self.hellos.append(resumes)
        return hello("client", "c", resumes=resumes)

    def welcome(self, *, known: bool = False) -> None:
        self.link.message(Welcome(1, "1.0", "m", known, 2.0, 10.0), self.now)

    def ready(self) -> MasterLink:
        self.link.connection("connected", self.now)
        self.sent()
        self.welcome()
        assert self.events() == [LinkEvent.READY]
        return self.link

    def wait(self, seconds: float) -> list[str]:
        """Ticks four times a second; what was sent meanwhile."""
        sent: list[str] = []
        for _ in range(int(seconds * 4)):
            self.now += 0.25
            self.link.tick(self.now)
            sent += self.sent()
        return sent

    def sent(self) -> list[str]:
        sent = [type(message).__name__ for message in self.link.outgoing]
        self.link.outgoing.clear()
        return sent

    def events(self) -> list[LinkEvent]:
        events = list(self.link.events)
        self.link.events.clear()
        return events


def test_a_welcome_follows_a_hello() -> None:
    story = Story()
    story.link.connection("connected", 0.0)
    assert story.sent() == ["Hello"]
    assert not story.link.ready
    story.welcome()
    assert story.link.ready
    story.welcome()
    assert story.events() == [LinkEvent.READY]


def test_a_lost_answer_is_asked_for_again_and_a_dead_connection_replaced() -> None:
    story = Story()
    story.link.connection("connected", 0.0)
    assert story.wait(5.0) == ["Hello"] * 6
    story.wait(5.5)
    assert story.link.wants_reconnect
    assert story.link.state is LinkState.CONNECTING


def test_it_resumes_or_was_forgotten() -> None:
    story = Story()
    link = story.ready()
    for known, event in ((True, LinkEvent.READY), (False, LinkEvent.FORGOTTEN)):
        link.connection("disconnected", story.now)
        assert story.events() == [LinkEvent.LOST]
        link.connection("connected", story.now)
        story.welcome(known=known)
        assert story.events() == [event]
    assert story.hellos == [False, True, True]


def test_a_welcome_that_nobody_waits_for_changes_nothing() -> None:
    story = Story()
    link = story.ready()
    link.connection("disconnected", story.now)
    story.events()
    story.welcome(known=True)
    assert link.state is LinkState.CONNECTING


def test_another_welcome_changes_the_terms_and_nothing_else() -> None:
    story = Story()
    link = story.ready()
    story.events()
    link.message(Welcome(1, "1.0", "m", True, 0.5, 3.0), story.now)
    assert link.ready
    assert story.events() == []
    assert link.welcome is not None
    assert (link.welcome.heartbeat, link.welcome.lease) == (0.5, 3.0)
    assert story.wait(0.6) == ["Ping"]


def test_heartbeats_keep_the_link_while_both_have_nothing_to_say() -> None:
    story = Story()
    link = story.ready()
    for _ in range(20):
        assert story.wait(2.0) == ["Ping"]
        link.message(Pong(), story.now)
    assert link.ready


def test_a_node_that_talks_all_the_time_hears_from_a_silent_master_too() -> None:
    story = Story()
    link = story.ready()
    pings = 0
    for _ in range(60):
        link.sent(story.now)
        for name in story.wait(0.5):
            assert name == "Ping"
            pings += 1
            link.message(Pong(), story.now)
    assert link.ready
    assert 10 <= pings <= 15


def test_silence_ends_the_connection() -> None:
    story = Story()
    link = story.ready()
    assert story.wait(10.0) == ["Ping"] * 5
    story.wait(0.5)
    assert link.wants_reconnect
    assert story.events() == [LinkEvent.LOST]
    link.wants_reconnect = False
    story.wait(60.0)
    assert story.events() == []


def test_the_nodes_own_pause_is_no_silence() -> None:
    story = Story()
    link = story.ready()
    story.now += 3_600.0
    link.tick(story.now)
    assert link.ready
    story.wait(10.5)
    assert not link.ready


def test_pings_are_answered_and_other_messages_are_not_its_business() -> None:
    story = Story()
    link = story.ready()
    assert link.message(Ping(3), 0.0)
    assert link.outgoing == [Pong(3)]
    assert not link.message(Delivered(1), 0.0)


def test_a_goodbye_is_a_loss() -> None:
    story = Story()
    link = story.ready()
    assert link.message(Bye("the master stops"), 0.0)
    assert story.events() == [LinkEvent.DISMISSED, LinkEvent.LOST]


def test_a_master_that_does_not_know_the_connection_is_greeted_again() -> None:
    story = Story()
    link = story.ready()
    link.message(Refusal("hello", "say hello", "", retry=True), story.now)
    assert story.sent() == ["Hello"]
    assert story.events() == [LinkEvent.LOST]
    link.message(Refusal("hello", "say hello", "", retry=True), story.now)
    assert story.sent() == []


def test_a_refusal_is_final() -> None:
    story = Story()
    story.link.connection("connected", 0.0)
    story.link.message(Refusal("refused", "wrong version", "install another"), 0.0)
    assert isinstance(story.link.error, Refused)
    assert "wrong version" in story.link.error.message
    assert story.link.error.hint == "install another"
    story.link.message(Refusal("hello", "say hello", "", retry=True), 0.0)
    story.link.message(Refusal("refused", "again", ""), 0.0)
    story.link.connection("connected", 1.0)
    story.welcome()
    assert story.wait(20.0) == []
    assert story.link.state is LinkState.FAILED
    assert story.events() == [LinkEvent.FAILED]


def test_a_key_that_was_never_right() -> None:
    story = Story()
    story.link.connection("auth_failed", 0.0)
    assert isinstance(story.link.error, AuthenticationFailed)
    assert story.events() == [LinkEvent.FAILED]


def test_a_key_that_was_right_is_tried_again() -> None:
    story = Story()
    link = story.ready()
    link.connection("auth_failed", story.now)
    assert story.events() == [LinkEvent.LOST]
    story.wait(1.75)
    assert not link.wants_reconnect
    story.wait(0.25)
    assert link.wants_reconnect


@pytest.mark.parametrize(("connects", "error"), [(False, ConnectionFailed), (True, AuthenticationFailed)])
def test_patience_ends(connects: bool, error: type[Exception]) -> None:
    story = Story(patience=5.0)
    if connects:
        story.link.connection("connected", 0.0)
    story.wait(4.75)
    assert story.link.error is None
    story.wait(0.25)
    assert type(story.link.error) is error


def test_patience_is_for_the_first_welcome_only() -> None:
    story = Story(patience=5.0)
    link = story.ready()
    link.connection("disconnected", story.now)
    story.wait(60.0)
    assert link.error is None


# --- many links at once ---


def reconnects(count: int, strike: Callable[[MasterLink], None], seconds: float) -> list[float]:
    """When each of many links that are struck at the same moment wants a new connection."""
    found: list[float] = []
    for seed in range(count):
        chance = Random(seed)
        link = MasterLink(lambda _: hello("slave", "s"), "tcp://master", 0.0, patience=None, chance=chance.random)
        link.connection("connected", 0.0)
        link.message(Welcome(1, "1.0", "m", False, 2.0, 10.0), 0.0)
        strike(link)
        now = 0.25 * chance.random()  # their ticks are not in step
        while not link.wants_reconnect:
            now += 0.25
            assert now < seconds
            link.tick(now)
        found.append(now)
    return found


def most_at_once(times: list[float], within: float) -> int:
    """The largest number of events in any window of time."""
    times = sorted(times)
    return max(bisect_left(times, start + within) - position for position, start in enumerate(times))


def test_a_thousand_links_that_miss_their_master_do_not_reconnect_at_once() -> None:
    times = reconnects(1_000, lambda _: None, 20.0)
    assert min(times) >= 10.0, "nobody gives its master up before the lease is over"
    assert max(times) <= 16.0
    assert most_at_once(times, 0.5) < 200


def test_a_thousand_links_that_were_turned_away_do_not_come_back_at_once() -> None:
    times = reconnects(1_000, lambda link: link.connection("auth_failed", 0.0), 20.0)
    assert min(times) >= 2.0
    assert max(times) <= 4.5
    assert most_at_once(times, 0.25) < 250


def libzmq_attempts(chance: Random, until: float) -> Iterator[float]:
    """When a socket tries to connect after a loss, in seconds: intervals double, and vary a little."""
    shortest, longest = reconnect_intervals(chance.random)
    now, interval = 0.0, shortest
    while now < until:
        now += (interval + chance.randrange(shortest)) / 1_000
        yield now
        interval = min(2 * interval, longest)


@pytest.mark.parametrize("outage", [0.0, 5.0, 60.0])
def test_a_thousand_sockets_come_back_to_a_master_over_some_time(outage: float) -> None:
    waits = [
        next(at for at in libzmq_attempts(Random(seed), outage + 10.0) if at >= outage) - outage
        for seed in range(1_000)
    ]
    assert max(waits) < 3.5, "a master gets everybody back soon"
    assert most_at_once(waits, 0.1) < 300
    if not outage:
        assert max(waits) < 0.8, "who lost only a connection is back before it is taken for dead"


def test_greetings_are_counted_over_all_connections() -> None:
    story = Story()
    counted: list[int] = []
    for _ in range(3):
        story.link.connection("connected", story.now)
        counted += [message.greeting for message in story.link.outgoing if isinstance(message, Hello)]
        story.sent()
        story.link.connection("disconnected", story.now)
    assert counted == [1, 2, 3]
