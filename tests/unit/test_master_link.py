"""A node's link to its master: greeting, silence, refusals."""

from __future__ import annotations

import pytest
from swarm_story import hello

from concurrence.errors import AuthenticationFailed, ConnectionFailed, Refused
from concurrence.nodes.master_link import LinkEvent, LinkState, MasterLink
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
