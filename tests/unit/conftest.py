"""Lets the tests of this folder import the helpers beside them, and keeps them from changing each other's log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from concurrence.env.log import LOGGER

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

from swarm_story import each_policy  # noqa: E402  found only now

__all__ = ["each_policy"]


@pytest.fixture(autouse=True)
def _same_log() -> Iterator[None]:
    """A command sets up the log of its process; here that is the process of all tests."""
    logger = logging.getLogger(LOGGER)
    level, handlers, propagates = logger.level, list(logger.handlers), logger.propagate
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers
    logger.propagate = propagates
