"""For tests of one's own applications, tasks and task systems: run them as a swarm would.

Names are loaded when they are first used: pytest imports this package wherever it is installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrence.testing.api import AppRun, environment, run_app, run_system, run_task, swarm

__all__ = ["AppRun", "environment", "run_app", "run_system", "run_task", "swarm"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'concurrence.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module("concurrence.testing.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
