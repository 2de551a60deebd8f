"""The live status page of a master in a real browser: what it shows, what it asks for, and who may see it."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path

import pytest
from browserkit import Browser
from swarmkit import Swarm, until

EVIL = "<b>evil"
PICTURES = os.environ.get("CONCURRENCE_PICTURES")
"""A folder for pictures of the page, for people who change it."""


@pytest.fixture
def browser(tmp_path: Path) -> Generator[Browser]:
    browser = Browser(tmp_path)
    yield browser
    browser.close()


def opened(swarm: Swarm) -> str:
    """The address that ``concurrence status --open`` prints."""
    program = swarm.command("status", "--open", "--master", str(swarm.connect("admin")))
    assert program.finish() == 0, str(program)
    match = re.search(r"http://127\.0\.0\.1:\d+/login\?code=\S{40,}", program.output)
    assert match, str(program)
    return match[0]


def test_the_page_shows_a_swarm_that_works_and_nothing_that_names_say_becomes_markup(
    swarm: Swarm, browser: Browser
) -> None:
    swarm.master()
    swarm.slave("attic")
    swarm.slave(EVIL)
    app = swarm.run("shown.py")
    address = opened(swarm)
    base = address.partition("/login")[0]
    browser.open(address)
    until(lambda: browser.url == f"{base}/", what="the page went on by itself")
    until(lambda: browser.text("#finished") == "395", what="the tasks")
    assert browser.text("#link") == "live"
    assert (browser.text("#failed"), browser.text("#running"), browser.text("#slaves")) == ("4", "1", "2")
    assert "2" in browser.text("#workers")
    nodes = browser.text("#nodes")
    assert "attic" in nodes
    assert EVIL in nodes
    jobs = browser.text("#jobs")
    assert "plain tasks" in jobs
    assert "99 %" in jobs
    failures = browser.text("#failures")
    assert failures.count("number") == 4
    assert "<script>" in failures
    browser.run("document.querySelector('details').open = true")
    assert "ValueError" in browser.text("details pre")
    assert 'raise ValueError(f"{MARKUP}' in browser.text("details pre")
    # What names and messages say is text: it made no elements, and no script of it ran.
    assert browser.run("return document.querySelectorAll('main img, main script, main b b, td b').length") == 0
    assert "owned" not in str(browser.run("return document.title"))
    until(lambda: browser.run("return rates.length") > 3)
    if PICTURES:
        browser.screenshot(Path(PICTURES) / "status.png")
    (swarm.probe / "enough").touch()
    app.ends_well()
    until(lambda: browser.text("#finished") == "396", what="the last task ended")
    until(lambda: "No job is there" in browser.text("main"), what="the job is over")
    # It asks nobody else, and breaks no rule of its policy.
    asked = [url for url in browser.requests() if url.startswith("http")]
    assert asked
    assert all(url.startswith(base) for url in asked), asked
    assert [entry for entry in browser.log("browser") if entry["level"] == "SEVERE"] == []


def test_who_has_no_session_sees_nothing(swarm: Swarm, browser: Browser) -> None:
    master = swarm.master()
    address = opened(swarm)
    base = address.partition("/login")[0]
    browser.open(f"{base}/")
    assert "concurrence status --open" in browser.text("body")
    assert browser.run("return document.scripts.length") == 0
    browser.open(address)
    until(lambda: browser.text("#link") == "live")
    (cookie,) = browser.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert browser.run("return document.cookie") == ""
    # The address is good once.
    other = browser.run("return fetch(arguments[0]).then((answer) => answer.status)", address)
    assert other == 401
    # Looking is all that a session is good for.
    call = "return fetch('/api/1', {method: 'POST', headers: {'content-type': 'application/json'}, "
    call += 'body: \'{"jsonrpc": "2.0", "method": "ping", "id": 1}\'}).then((answer) => answer.status)'
    assert browser.run(call) == 403
    # Without the master the page says so.
    master.process.terminate()
    until(lambda: "connection lost" in browser.text("#link") or "session" in browser.text("#link"))
    assert browser.text("#name")


def test_in_the_dark_the_page_is_dark(swarm: Swarm, tmp_path: Path) -> None:
    swarm.master()
    swarm.slave("attic")
    (tmp_path / "dark").mkdir()
    browser = Browser(tmp_path / "dark", "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    try:
        browser.open(opened(swarm))
        until(lambda: browser.text("#link") == "live")
        assert browser.run("return matchMedia('(prefers-color-scheme: dark)').matches")
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
        if PICTURES:
            browser.screenshot(Path(PICTURES) / "dark.png")
    finally:
        browser.close()
