"""What all tests share: which dice are thrown, when slow and sampled ones run, and when a skip is a failure."""

from __future__ import annotations

import os
import zlib
from collections.abc import Generator

import pytest
from hypothesis import settings

# The same examples each time, however busy the machine is: what fails here fails everywhere. New ones are looked
# for on demand, as ci/full does.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("new", deadline=None)
settings.load_profile("new" if os.environ.get("CONCURRENCE_NEW_EXAMPLES") else "same")

NO_SKIPS = bool(os.environ.get("CONCURRENCE_NO_SKIPS"))

SAMPLE = os.environ.get("CONCURRENCE_SAMPLE", "")
"""A number, as that of the day, that says which part of the tests marked ``sampled`` runs; empty for all."""
PARTS = 3
"""After so many numbers in a row, all have run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the swarms of ``tests/integration`` run on another transport."""
    parser.addoption("--transport", default="", help="the transport of all swarms, as TCPTransport")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests marked ``slow`` out, and those not in today's sample, unless ``-m`` says what is wanted."""
    if config.option.markexpr:
        return
    left_out = {item for item in items if item.get_closest_marker("slow") or not _is_in_sample(item)}
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def _is_in_sample(item: pytest.Item) -> bool:
    """Whether this test runs today: one that is not ``sampled`` always does."""
    if not SAMPLE or item.get_closest_marker("sampled") is None:
        return True
    # Not hash(), which is another in every process.
    return zlib.crc32(item.nodeid.encode()) % PARTS == int(SAMPLE) % PARTS


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one where skips are not allowed."""
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = _complaint(report.longrepr)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a skipped module into a failed one where skips are not allowed."""
    report = yield
    if NO_SKIPS and report.skipped:
        report.outcome = "failed"
        report.longrepr = _complaint(report.longrepr)
    return report


def _complaint(longrepr: object) -> str:
    """Where and why the test was skipped, and why that is an error."""
    text = f"{longrepr[0]}:{longrepr[1]}: {longrepr[2]}" if isinstance(longrepr, tuple) else str(longrepr)
    return f"skipped, but CONCURRENCE_NO_SKIPS is set: {text}"
