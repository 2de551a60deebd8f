"""One master per environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from concurrence.env.environment import Environment
from concurrence.errors import UsageError
from concurrence.nodes.locking import lock_environment, note_address


def test_a_second_master_is_told_who_the_first_is(tmp_path: Path) -> None:
    with Environment.create(tmp_path / "swarm") as environment:
        lock = lock_environment(environment)
        note_address(lock, "tcp://127.0.0.1:7700")
        with pytest.raises(UsageError, match=rf"already \(process {os.getpid()} at tcp://127.0.0.1:7700\)"):
            lock_environment(environment)
        lock.close()
        lock_environment(environment).close()
