"""What has to be avoided: both functions of each pair do the same, or the bad one fails as its page says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from concurrence import Swarm
from concurrence.samples import antipatterns, antipatterns_wrong
from concurrence.samples.antipatterns import PAIRS
from concurrence.testing import swarm

MEASURED = [name for name, pair in PAIRS.items() if pair.is_measured]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workers() -> Iterator[Swarm]:
    with swarm(2) as made:
        yield made


@pytest.mark.parametrize("name", MEASURED)
def test_bad_and_good_do_the_same(name: str, inline_swarm: Swarm, monkeypatch: pytest.MonkeyPatch) -> None:
    for constant, smaller in (("NUMBERS", 50), ("PUSHED", 50), ("LINES", 5), ("SECONDS", (0.0, 0.01))):
        monkeypatch.setattr(antipatterns, constant, smaller)
    pair = PAIRS[name]
    assert pair.bad[-1](inline_swarm) == pair.good[-1](inline_swarm)


def test_with_worker_processes_too(workers: Swarm) -> None:
    for name in MEASURED:
        pair = PAIRS[name]
        assert pair.bad[-1](workers) == pair.good[-1](workers), name


@pytest.mark.parametrize("name", [name for name, pair in PAIRS.items() if pair.raises is not None])
def test_what_is_refused_is_refused_and_the_other_way_works(name: str, workers: Swarm) -> None:
    pair = PAIRS[name]
    assert pair.raises is not None
    with pytest.raises(pair.raises):
        pair.bad[-1](workers)
    assert pair.good[-1](workers)


def test_state_in_globals_is_lost_and_effects_add_up(workers: Swarm) -> None:
    assert antipatterns_wrong.state_in_globals(workers) == []
    assert antipatterns_wrong.state_in_results(workers) == list(range(100))
    assert antipatterns_wrong.effects_that_add_up(workers) == [0, 1, 2, 3, 3, 4]
    assert antipatterns_wrong.effects_that_can_be_repeated(workers) == [0, 1, 2, 3, 4]


def test_state_in_globals_seems_to_work_in_one_process(inline_swarm: Swarm) -> None:
    assert antipatterns_wrong.state_in_globals(inline_swarm) == list(range(100))


def test_the_page_shows_the_code_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    from benchmarks.antipatterns import rendered  # noqa: PLC0415  the folder is found only now

    page = (ROOT / "docs" / "antipatterns.md").read_text("utf-8")
    assert rendered(page) == page, "run: python benchmarks/antipatterns.py --write docs/antipatterns.md"
    for name, pair in PAIRS.items():
        assert f"<!-- pair {name} -->" in page
        assert f"| {pair.title} |" in page
