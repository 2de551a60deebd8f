"""Lets the tests of this folder import the helpers beside them."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

from swarm_story import each_policy  # noqa: E402  found only now

__all__ = ["each_policy"]
