"""Lets the tests of this folder import the helpers beside them, and gives each test a swarm of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

HERE = str(Path(__file__).parent)
UNIT = str(Path(HERE).parent / "unit")
for folder in (HERE, UNIT):
    if folder not in sys.path:
        sys.path.append(folder)

from swarmkit import Swarm  # noqa: E402  found only now
from workerkit import Slave  # noqa: E402


@pytest.fixture
def swarm_transport(request: pytest.FixtureRequest) -> str:
    """The transport of the processes of a swarm: what ``--transport`` says, or their own default."""
    return str(request.config.getoption("--transport"))


@pytest.fixture
def swarm(tmp_path: Path, swarm_transport: str) -> Generator[Swarm]:
    """Real masters, slaves and clients; after the test nothing of them may be left."""
    swarm = Swarm(tmp_path, swarm_transport)
    try:
        yield swarm
        swarm.close()
    finally:
        swarm.kill()


@pytest.fixture
def slaves() -> Generator[Callable[..., Slave]]:
    """Makes task managers with real workers, without a master, and stops them after the test."""
    made: list[Slave] = []

    def make(*arguments: Any, **named: Any) -> Slave:
        made.append(Slave(*arguments, **named))
        return made[-1]

    yield make
    for slave in made:
        slave.close()
