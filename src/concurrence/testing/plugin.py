"""The pytest plug-in: fixtures for tests of applications. Every pytest imports it, so it imports nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from concurrence.env.environment import Environment
    from concurrence.scripting.swarm import Swarm
    from concurrence.testing.api import AppRun

_SECONDS = 30.0


@pytest.fixture
def concurrence_environment() -> Iterator[Environment]:
    """A temporary environment of Concurrent; register your components in it."""
    from concurrence.testing.api import environment  # noqa: PLC0415  see above

    with environment() as opened:
        yield opened


@pytest.fixture
def inline_swarm() -> Iterator[Swarm]:
    """A swarm of Concurrent in the test's own process and thread: debuggers reach into tasks."""
    from concurrence.testing.api import swarm  # noqa: PLC0415  see above

    with swarm() as made:
        yield made


@pytest.fixture(scope="session")
def _concurrence_swarm() -> Iterator[Swarm]:
    from concurrence.testing.api import swarm  # noqa: PLC0415  see above

    with swarm(2) as made:
        yield made


@pytest.fixture
def concurrence_swarm(_concurrence_swarm: Swarm) -> Iterator[Swarm]:
    """A swarm of Concurrent with two worker processes, which all tests share.

    What a test leaves unfinished is cancelled. At the end of all tests no process of it may be left.
    """
    yield _concurrence_swarm
    try:
        _concurrence_swarm.wait(0)
    except TimeoutError:
        _concurrence_swarm.cancel_all()
        _concurrence_swarm.wait(_SECONDS)


@pytest.fixture
def run_app() -> Callable[..., AppRun[Any]]:
    """``concurrence.testing.run_app``: runs an application of Concurrent, and returns what it did."""
    from concurrence.testing.api import run_app  # noqa: PLC0415  see above

    return run_app
