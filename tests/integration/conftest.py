"""Lets the tests of this folder import the helpers beside them, and gives each test a swarm of its own."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

from swarmkit import Swarm  # noqa: E402  found only now


@pytest.fixture
def swarm(tmp_path: Path) -> Generator[Swarm]:
    """Real masters, slaves and clients; after the test nothing of them may be left."""
    swarm = Swarm(tmp_path)
    try:
        yield swarm
        swarm.close()
    finally:
        swarm.kill()
