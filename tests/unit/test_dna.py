"""The DNA sample without a swarm: its products against plain ones, its path against dnacurve's."""

from __future__ import annotations

import logging
import pickle
import random
import re
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from dnacurve import CurvedDNA

from concurrence.errors import TaskError, UsageError
from concurrence.samples import dna_library
from concurrence.samples.dna import DNA, FORMS, MODELS, TOLERANCE
from concurrence.samples.dna_curve import Matrices, path_sequential, product, suffix_products
from concurrence.samples.dna_tasks import (
    Curve,
    CurveSystem,
    NaiveSystem,
    NaiveTask,
    PlaceTask,
    PrefixSystem,
    SharedSystem,
)
from concurrence.tasks.api import ITaskMaster, Task
from concurrence.testing import run_app

LETTERS = ("ATGCAAATTG" * 31)[:303]


class FakeMaster:
    """A master's handle that only remembers progress."""

    def __init__(self) -> None:
        self.log = logging.getLogger(__name__)
        self.progress: list[tuple[float, float, str]] = []

    def report_progress(self, done: float, total: float, text: str = "") -> None:
        self.progress.append((done, total, text))


def system_of(form: str, letters: str = LETTERS, model: str = "trifonov", blocks: int = 7) -> CurveSystem:
    points, steps = dna_library.points(), dna_library.steps_of(letters, model)
    if form == "prefix":
        return PrefixSystem(points, steps, blocks)
    return (NaiveSystem if form == "naive" else SharedSystem)(points, steps)


def run(system: CurveSystem, fake: FakeMaster | None = None) -> Curve:
    """Run all tasks in any order, each as it arrives at a worker."""
    master = cast("ITaskMaster", fake or FakeMaster())
    chance = random.Random(5)
    waiting: list[Task] = list(system.generate_tasks(master))
    while waiting:
        task = waiting.pop(chance.randrange(len(waiting)))
        waiting += system.task_finished(master, task, task(), None) or []
    return system.gather_result(master)


def one_by_one(steps: Matrices) -> Matrices:
    result = np.eye(4)
    for step in steps:
        result = result @ step
    return result


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 200])
def test_the_product_is_that_of_one_step_after_the_other(count: int) -> None:
    steps = dna_library.steps_of(LETTERS, "trifonov")[:count]
    assert np.allclose(product(steps), one_by_one(steps), rtol=0, atol=1e-10)
    ways = suffix_products(steps, np.eye(4))
    assert all(np.allclose(ways[index], one_by_one(steps[index:]), rtol=0, atol=1e-10) for index in range(count))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", MODELS)
def test_every_form_comes_to_the_librarys_coordinates(form: str, model: str) -> None:
    curve = run(system_of(form, model=model))
    assert curve.failures == []
    expected = CurvedDNA(LETTERS, model, maxlen=1_000).coordinates[:4, :, :3]
    assert abs(dna_library.oriented(curve.path) - expected).max() < TOLERANCE
    assert abs(dna_library.reference(LETTERS, model) - expected).max() == 0


@pytest.mark.parametrize("unit", ["A", "T", "G", "C", "AT", "AG", "GC", "AC"])
@pytest.mark.parametrize("model", MODELS)
def test_a_path_that_winds_evenly_is_the_librarys_too(unit: str, model: str) -> None:
    """Several nucleotides are equally far from the line between its ends: rounding says which is farthest."""
    for length in (30, 33, 47, 64, 81, 115, 149, 183):
        letters = (unit * length)[:length]
        path = path_sequential(dna_library.points(), dna_library.steps_of(letters, model))
        expected = dna_library.reference(letters, model)
        assert abs(dna_library.superimposed(path, expected) - expected).max() < TOLERANCE, length


def test_a_path_of_another_shape_is_not_the_librarys() -> None:
    right = path_sequential(dna_library.points(), dna_library.steps_of(LETTERS, "trifonov"))
    expected = dna_library.reference(LETTERS, "trifonov")
    moved, turned, mirrored = right.copy(), right.copy(), right.copy()
    moved[200, 0, 0] += 1e-6
    turned[200, 3, :3] = turned[201, 3, :3]
    mirrored[:, :, 2] *= -1
    other = path_sequential(dna_library.points(), dna_library.steps_of(LETTERS, "calladine"))
    for wrong, least in ((moved, 5e-7), (turned, 1e-4), (mirrored, 1.0), (other, 1.0)):
        assert abs(dna_library.superimposed(wrong, expected) - expected).max() > least


def no_numbers(_path: Matrices, expected: Matrices) -> Matrices:
    return np.full_like(expected, np.nan)


def test_an_even_sequence_ends_well_and_coordinates_that_are_no_numbers_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ["dna.sequence=T", "dna.length=33", f"dna.output={tmp_path / 'curve.png'}"]
    assert run_app(DNA, overrides=settings).exit_code == 0
    monkeypatch.setattr(dna_library, "superimposed", no_numbers)
    assert run_app(DNA, overrides=settings).exit_code == 1
    assert "the coordinates differ from those of dnacurve: optimized" in caplog.text


@pytest.mark.parametrize("blocks", [1, 2, 302, 10_000])
def test_the_prefix_product_in_any_number_of_blocks(blocks: int) -> None:
    system = system_of("prefix", blocks=blocks)
    expected = path_sequential(dna_library.points(), dna_library.steps_of(LETTERS, "trifonov"))
    fake = FakeMaster()
    assert np.allclose(run(system, fake).path, expected, rtol=0, atol=1e-9)
    assert fake.progress[-1] == (302, 302, "nucleotides")


def test_a_naive_task_carries_its_own_matrices_and_a_shared_one_hardly_anything() -> None:
    letters = ("ATGCAAATTG" * 101)[:1001]
    naive = list(system_of("naive", letters).generate_tasks(cast("ITaskMaster", FakeMaster())))
    sizes = [len(pickle.dumps(task, 5)) for task in naive]
    assert len(sizes) == 1000
    assert sizes[0] > 128 * 1000
    assert abs(sum(sizes) / (128 * 1000 * 1001 / 2) - 1) < 0.02, "10,009 such tasks are 6.4 GB"
    first = cast("NaiveTask", naive[0])
    assert not np.shares_memory(first.steps, cast("NaiveTask", naive[1]).steps)


def test_failures_are_told_and_the_second_round_needs_all_of_the_first() -> None:
    system = system_of("prefix", blocks=2)
    master = cast("ITaskMaster", FakeMaster())
    first, second = system.generate_tasks(master)
    assert system.task_finished(master, first, first(), None) is None
    assert system.task_finished(master, second, None, TaskError("it broke", kind="lost")) is None
    assert system.gather_result(master).failures == [f"{second.label}: it broke"]
    places = system_of("prefix", blocks=2)
    rounds = [places.task_finished(master, task, task(), None) for task in places.generate_tasks(master)]
    assert [type(task) for task in rounds[-1] or []] == [PlaceTask, PlaceTask]


def test_a_fasta_file(tmp_path: Path) -> None:
    file = tmp_path / "short.fasta"
    file.write_bytes(b">short of a plasmid, > \xff\natgc ATGC\r\n\nAAATTG\n\n")
    assert dna_library.read_fasta(file) == "ATGCATGCAAATTG"
    file.write_text("atgc\n")
    assert dna_library.read_fasta(file) == "ATGC"
    file.write_text("\ufeff\n >not at the margin\natgc\n", "utf-8")
    assert dna_library.read_fasta(file) == "ATGC"
    with pytest.raises(OSError, match="absent"):
        dna_library.read_fasta(tmp_path / "absent.fasta")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (">one\nATGC\n>two description\nGGGG\n", "line 3 begins a second sequence"),
        ("ATGC\n>two\nGGGG\n", "line 2 begins a second sequence"),
        (">one\nATGC\nATGNNC\n", "line 3 has the letter 'N'"),
        (">one\nAUGC\n", "line 2 has the letter 'U'"),
        (">one\nATG-C\n", "line 2 has the letter '-'"),
        (">one\nATGC*\n", "line 2 has the letter '*'"),
        (">one\n\n", "there is no sequence in it"),
        ("", "there is no sequence in it"),
    ],
)
def test_a_fasta_file_of_which_something_would_be_left_out_is_refused(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "odd.fasta"
    file.write_text(text)
    with pytest.raises(ValueError, match=re.escape(told)):
        dna_library.read_fasta(file)


def test_what_is_wrong_is_told_before_a_swarm_is_started(tmp_path: Path) -> None:
    from concurrence.env.environment import Environment  # noqa: PLC0415  needed here only

    def app(*settings: str) -> DNA:
        with Environment.ephemeral(overrides=settings, plugins=False) as environment:
            environment.register(DNA)
            made = environment.component(DNA)
            made.app_init()
            return made

    app("dna.length=30")
    with pytest.raises(UsageError, match="'ATGU'"):
        app("dna.sequence=ATGU")
    with pytest.raises(UsageError, match="no sequence can be read"):
        app(f"dna.fasta={tmp_path / 'absent'}")
    (tmp_path / "short").write_text(">a b\nATGC\n")
    with pytest.raises(UsageError, match="has 4 nucleotides"):
        app(f"dna.fasta={tmp_path / 'short'}")
    with pytest.raises(UsageError, match="folder of dna"):
        app(f"dna.output={tmp_path / 'absent' / 'x.png'}")
    with pytest.raises(UsageError, match=r"dna\.output is a folder") as caught:
        app(f"dna.output={tmp_path}")
    assert f"{tmp_path / 'dna.png'}" in caught.value.hint


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys  # noqa: PLC0415  needed here only

    from concurrence.env.environment import Environment  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "dnacurve", None)
    with Environment.ephemeral(plugins=False) as environment:
        environment.register(DNA)
        with pytest.raises(UsageError, match="needs the package dnacurve") as caught:
            environment.component(DNA).app_init()
    assert "pip install 'concurrence[samples]'" in caught.value.hint
