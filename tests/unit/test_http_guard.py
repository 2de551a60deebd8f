"""Who may come in over HTTP: hosts, origins, tokens, cookies, rates, roles; how refusals are counted and told."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrence.errors import UsageError
from concurrence.telemetry.stats import Stats
from concurrence.transport.http_guard import BAD_TOKENS_AT_ONCE, Guard, HttpRefused, Request, allow
from concurrence.transport.http_limits import MAX_CALLERS, TELL_SECONDS, RateLimit, Refusals
from concurrence.transport.http_pages import PEOPLE, HttpSettings, is_loopback
from concurrence.transport.security import Role
from concurrence.transport.tokens import ApiTokens, Caller, Sessions

COOKIE = "concurrence_7780"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Door:
    """A guard with all that it needs."""

    def __init__(self, rate: float = 0.0, host: str = "127.0.0.1", hosts: tuple[str, ...] = ()) -> None:
        self.clock = Clock()
        self.tokens = ApiTokens.create()
        self.sessions = Sessions(self.clock)
        settings = HttpSettings(host, 7780, self.tokens, hosts=hosts)
        self.guard = Guard(self.tokens, self.sessions, settings.own_hosts(), COOKIE, rate, self.clock)

    def ask(self, path: str = "/status", role: Role | None = Role.ADMIN, **headers: str) -> Caller | None:
        """Ask with a good token unless told otherwise."""
        sent = {"host": "127.0.0.1:7780"}
        if role is not None:
            sent["authorization"] = f"Bearer {self.tokens.token(role)}"
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        return self.guard.check(Request("192.0.2.7", path, sent))

    def refused(self, *arguments: Any, **named: Any) -> tuple[int, str]:
        """How it is refused."""
        with pytest.raises(HttpRefused) as caught:
            self.ask(*arguments, **named)
        return caught.value.status, caught.value.kind


def test_a_token_is_asked_for_everywhere_but_where_it_cannot_be() -> None:
    door = Door()
    for role in (Role.ADMIN, Role.CLIENT, Role.SLAVE):
        caller = door.ask(role=role)
        assert caller is not None
        assert caller.role is role
    for path in (
        "/",
        "/ping",
        "/status",
        "/stats",
        "/metrics",
        "/ready",
        "/events",
        "/api/1",
        "/nothing",
        "//health",
    ):
        assert door.refused(path, role=None) == (401, "token")
        door.clock.now += 10
    assert door.ask("/health", role=None) is None
    assert door.ask("/login", role=None) is None


@pytest.mark.parametrize("scheme", ["Basic {}", "bearer{}", "Bearer", "{}", "Bearer {}x", "Bearer x{}"])
def test_what_is_no_bearer_token_is_refused(scheme: str) -> None:
    door = Door()
    token = door.tokens.token(Role.ADMIN)
    assert door.refused(authorization=scheme.format(token)) == (401, "token")


def test_a_header_that_counts_may_come_once() -> None:
    door = Door()
    token = f"Bearer {door.tokens.token(Role.ADMIN)}"
    headers = {"host": "localhost", "authorization": token, "origin": "http://localhost"}
    assert door.guard.check(Request("192.0.2.7", "/status", headers)) is not None
    for name, status in (("host", 421), ("authorization", 401), ("origin", 403)):
        with pytest.raises(HttpRefused) as caught:
            door.guard.check(Request("192.0.2.7", "/status", headers, [name]))
        assert caught.value.status == status


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7780", "localhost", "LOCALHOST:1", "[::1]:7780", "localhost.", "swarm.example"]
)
def test_own_hosts(host: str) -> None:
    assert Door(hosts=("Swarm.Example",)).ask(host=host) is not None


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "evil.example",
            "evil.example:7780",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "127.0.0.1:x",
        ),
        *("127.0.0.1:7780:1", "127.0.0.1/", " localhost", "localhost, evil.example", "[::1", "::1", "2130706433"),
        *("127.0.0.2", "0.0.0.0", "x" * 10_000, "localhost\0"),
    ],
)
def test_other_hosts_are_refused_with_and_without_a_token_and_on_every_path(host: str) -> None:
    door = Door()
    assert door.refused(host=host) == (421, "host")
    assert door.refused("/health", role=None, host=host) == (421, "host")


def test_a_node_that_listens_for_all_goes_by_the_names_that_it_was_given() -> None:
    door = Door(host="0.0.0.0", hosts=("master.example",))
    assert door.ask(host="master.example:7780") is not None
    assert door.refused(host="evil.example")[0] == 421
    assert Door(host="::1").ask(host="[::1]") is not None


@pytest.mark.parametrize("origin", ["http://127.0.0.1:7780", "http://localhost:3000", "https://localhost"])
def test_own_origins(origin: str) -> None:
    assert Door().ask(origin=origin) is not None


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://evil.example", "http://127.0.0.1.evil.example", "file://", "http://", "localhost"],
)
def test_other_origins_are_refused_whatever_the_token(origin: str) -> None:
    door = Door()
    assert door.refused(origin=origin) == (403, "origin")
    assert door.refused("/health", role=None, origin=origin) == (403, "origin")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, identity", "x"])
def test_packed_bodies_are_refused(encoding: str) -> None:
    assert Door().refused(content_encoding=encoding) == (415, "encoding")
    assert Door().ask(content_encoding="identity") is not None


def test_a_browsers_session_may_look_and_only_from_its_own_pages() -> None:
    door = Door()
    cookie = door.sessions.redeem(door.sessions.new_code(Role.ADMIN, "key"))
    good = f"other=1; {COOKIE}={cookie}; more=2"
    assert door.ask(role=None, cookie=good) == Caller(Role.ADMIN, "key", reads_only=True)
    assert door.ask(role=None, cookie=good, sec_fetch_site="same-origin") is not None
    assert door.ask(role=None, cookie=good, sec_fetch_site="none") is not None
    for site in ("same-site", "cross-site", "x"):
        assert door.refused(role=None, cookie=good, sec_fetch_site=site) == (403, "origin")
    assert door.refused(role=None, cookie=f"{COOKIE}=x{cookie}")[0] == 401
    assert door.refused(role=None, cookie=f"x{COOKIE}={cookie}")[0] == 401
    # A token that is wrong is not made good by a cookie.
    assert door.refused(authorization="Bearer x", cookie=good)[0] == 401
    # A token needs no page: programs do not tell where they come from.
    assert door.ask(sec_fetch_site="cross-site") is not None


def test_who_guesses_is_slowed_down_and_who_knows_is_not() -> None:
    door = Door()
    statuses = [door.refused(authorization=f"Bearer {number}")[0] for number in range(int(BAD_TOKENS_AT_ONCE) + 5)]
    assert statuses == [401] * int(BAD_TOKENS_AT_ONCE) + [429] * 5
    assert door.ask() is not None
    door.clock.now += 60
    assert door.refused(authorization="Bearer x")[0] == 401


def test_each_caller_has_a_rate() -> None:
    door = Door(rate=10.0)
    for _ in range(20):
        door.ask()
    assert door.refused() == (429, "rate")
    assert door.ask(role=Role.CLIENT) is not None
    assert door.ask("/health", role=None) is None
    door.clock.now += 1.0
    for _ in range(10):
        door.ask()
    assert door.refused()[0] == 429


def test_rates_of_any_number_of_callers_take_bounded_room() -> None:
    limit = RateLimit(1.0, 2.0)
    for number in range(3 * MAX_CALLERS):
        assert limit.allows(f"caller {number}", 0.0)
    assert len(vars(limit)["_buckets"]) == MAX_CALLERS


def test_roles() -> None:
    admin, client, slave = (Caller(role, "key") for role in (Role.ADMIN, Role.CLIENT, Role.SLAVE))
    assert allow(admin, (), "x") is admin
    assert allow(client, PEOPLE, "x") is client
    for caller in (slave, None):
        with pytest.raises(HttpRefused) as caught:
            allow(caller, PEOPLE, "the status")
        assert (caught.value.status, caught.value.kind) == (403, "role")


def test_refusals_are_counted_all_and_told_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    clock, stats = Clock(), Stats()
    refusals = Refusals(logging.getLogger("test"), stats, clock)
    for number in range(1_000):
        refusals.add("bytes", f"192.0.2.{number % 250}", "no HTTP")
    refusals.add("token", "192.0.2.1", "no token")
    clock.now += TELL_SECONDS
    refusals.add("bytes", "192.0.2.9", "no HTTP")
    texts = [record.getMessage() for record in caplog.records]
    assert texts == [
        "HTTP request from 192.0.2.0 refused: no HTTP",
        "HTTP request from 192.0.2.1 refused: no token",
        "HTTP request from 192.0.2.9 refused: no HTTP (999 more of this kind before)",
    ]
    assert stats.snapshot()["api.refused.bytes"].events == 1_001


def test_without_tokens_nobody_listens_beyond_loopback() -> None:
    HttpSettings("127.0.0.1", 0, ApiTokens({})).check()
    HttpSettings("0.0.0.0", 0, ApiTokens.create()).check()
    with pytest.raises(UsageError, match="without tokens"):
        HttpSettings("0.0.0.0", 0, ApiTokens({})).check()
    assert [is_loopback(host) for host in ("127.9.9.9", "::1", "[::1]", "localhost", "10.0.0.1", "x.example")] == [
        *(True, True, True, True),
        *(False, False),
    ]


@given(
    st.dictionaries(
        st.sampled_from(["host", "origin", "authorization", "cookie", "content-encoding", "sec-fetch-site"]),
        st.one_of(st.text(max_size=60), st.sampled_from(["localhost", "Bearer x", "null", f"{COOKIE}=x"])),
    ),
    st.sampled_from(["/", "/health", "/login", "/api/1", ""]),
)
def test_whatever_headers_say_nobody_comes_in_without_a_secret(headers: dict[str, str], path: str) -> None:
    door = Door()
    refused: HttpRefused | None = None
    caller: Caller | None = None
    try:
        caller = door.guard.check(Request("192.0.2.7", path, headers))
    except HttpRefused as error:
        refused = error
    assert caller is None
    if refused is None:
        assert path in ("/health", "/login")
    else:
        assert 400 <= refused.status < 500
        assert len(refused.message) < 700
        assert refused.message.isprintable()
