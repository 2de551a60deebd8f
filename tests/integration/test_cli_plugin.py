"""Every skeleton passes its own test, run by the command that users have; a broken one does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from swarmkit import Program, Swarm

from concurrence.cli.skeleton import KINDS, Skeleton, write_all
from concurrence.env.environment import Environment

pytestmark = pytest.mark.sampled

BROKEN = {
    "app": ("self.primes += result", "self.primes = result"),
    "strategy": ("return idle +", "return -idle +"),
    "scheduler": ('_log.debug("chunk %d goes to %s", chunk.chunk, slave.name)', "pass"),
    "command": ("total += size", "total += 0"),
}
"""A line of a skeleton that its test depends on, and what to put in its place."""


def make(swarm: Swarm, kind: str, name: str = "sample_part") -> Path:
    """An environment with one plug-in that was just made."""
    folder = swarm.folder / "client" / "env"
    Environment.create(folder).close()
    write_all(Skeleton(KINDS[kind], name).files_in_environment(folder))
    return folder


def run_tests(swarm: Swarm, *words: str, **variables: str) -> Program:
    program = swarm.command("plugin", "test", *words, **variables)
    program.finish(100)
    return program


def contents(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return {str(path) for path in found}


@pytest.mark.parametrize("kind", KINDS)
def test_a_skeleton_passes_its_own_test(swarm: Swarm, kind: str) -> None:
    folder = make(swarm, kind)
    (folder / "concurrence.toml").write_text('[logging]\nlevel = "ERROR"\n[node]\ntransport = "None"\n')
    before = contents(folder)
    # Neither the environment's config nor variables of the caller's have a say in the tests.
    tested = run_tests(swarm, "sample_part", "--env", "env", CONCURRENCE_NODE__TRANSPORT="None")
    assert tested.process.returncode == 0, str(tested)
    assert " passed" in tested.output
    assert "configfile" not in tested.output
    assert contents(folder) == before


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_skeleton_fails_its_test(swarm: Swarm, kind: str) -> None:
    path = make(swarm, kind) / "plugins" / "sample_part.py"
    old, new = BROKEN[kind]
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    tested = run_tests(swarm, "sample_part", "--env", "env")
    assert tested.process.returncode == 1, str(tested)
    assert " failed" in tested.output


def test_the_tests_of_a_package_need_no_installation(swarm: Swarm) -> None:
    made = swarm.command("plugin", "new", "scheduler", "sample_part", "--package", "--to", "projects")
    assert made.finish() == 0, str(made)
    project = swarm.folder / "client" / "projects" / "concurrence-sample-part"
    tested = run_tests(swarm, "projects/concurrence-sample-part")
    assert tested.process.returncode == 0, str(tested)
    assert " passed" in tested.output
    assert "failed" not in tested.output
    (project / "tests" / "test_sample_part.py").write_text("def test_it() -> None:\n    assert 1 == 2\n")
    assert run_tests(swarm, str(project)).process.returncode == 1


def test_all_plug_ins_of_an_environment_are_tested_and_one_may_be_broken(swarm: Swarm) -> None:
    folder = make(swarm, "strategy") / "plugins"
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "tests" / "test_other.py").write_text("def test_other() -> None:\n    pass\n")
    tested = run_tests(swarm, "--env", "env")
    assert tested.process.returncode == 0, str(tested)
    assert "3 passed" in tested.output
    (folder / "tests" / "test_broken.py").write_text("def test_broken() -> None:\n    import broken\n")
    tested = run_tests(swarm, "--env", "env")
    assert tested.process.returncode == 1, str(tested)
    assert "ZeroDivisionError" in tested.output


def test_without_tests_there_is_nothing_that_could_pass(swarm: Swarm) -> None:
    folder = make(swarm, "strategy") / "plugins" / "tests"
    (folder / "test_sample_part.py").write_text("# nothing yet\n")
    tested = run_tests(swarm, "--env", "env")
    assert tested.process.returncode == 1, str(tested)
    assert "error: there is no test in" in tested.output
    shutil.rmtree(folder)
    tested = run_tests(swarm, "--env", "env")
    assert tested.process.returncode == 2, str(tested)
    assert "error: there are no tests of" in tested.output
    assert "Traceback" not in tested.output
