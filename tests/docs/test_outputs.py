"""What pages show of measurements can be made anew: ``tools/outputs`` finds each place and the command for it."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from concurrence.cli.app_words import app_options
from concurrence.cli.main import app
from concurrence.cli.run import own_words
from concurrence.env.environment import Environment
from concurrence.nodes.api import IApp
from tools.outputs import blocks, simulated
from tools.outputs.__main__ import documents, table_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MEASURED = {
    "README.md": {"run mandelbrot"},
    "docs/amdahl.md": {"run amdahl"},
    "docs/comparison.md": {"benchmarks/map_throughput.py", "benchmarks/peers.py"},
    "docs/report.md": {"run mandelbrot"},
    "docs/samples.md": {"run mandelbrot", "run md5", "run dna", "run search", "run evolve"},
}


def shown(path: str) -> list[blocks.Shown]:
    return blocks.shown_in((ROOT / path).read_text("utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_marker_is_found_with_what_it_is_for(path: Path) -> None:
    text = path.read_text("utf-8")
    found = blocks.shown_in(text)
    assert text.count(blocks.OUTPUT) == len(found)
    assert text.count(blocks.TABLE) == len(blocks.tables_in(text))
    assert (path in documents()) == bool(found or blocks.tables_in(text))
    for each in found:
        if each.first:
            assert blocks.part_of(each.output, each.first, each.last) == each.output, each.command


@pytest.mark.parametrize("path", MEASURED)
def test_the_pages_with_figures_say_which_command_makes_them(path: str) -> None:
    commands = {each.command for each in shown(path)}
    lacking = {wanted for wanted in MEASURED[path] if not any(f"{wanted} " in f"{each} " for each in commands)}
    assert not lacking


def test_the_commands_are_such_as_can_be_run() -> None:
    root: Any = typer.main.get_command(app)
    of_run = set(own_words(root.get_command(typer.Context(root), "run")))
    commands = {each.command for path in MEASURED for each in shown(path)}
    with Environment.ephemeral() as environment:
        apps = {cls.__name__.lower(): cls for cls in environment.implementation_classes(IApp)}
        for command in commands:
            match shlex.split(command):
                case ["concurrence", "run", name, *words]:
                    unknown = (
                        {word for word in words if word.startswith("--")} - of_run - app_options(apps[name]).keys()
                    )
                    assert not unknown, command
                case ["python", script, *_]:
                    assert (ROOT / script).is_file(), command
                case _:
                    pytest.fail(f"what is {command}?")


PAGE = """<!-- output of: concurrence run a -->
```text
{whole}```
kept
<!-- output of: python b.py; from "x " to "y" -->

```text
{part}```
```text
kept
```
<!-- table of: some.module -->

{table}kept
"""


def test_only_what_stands_in_the_marked_places_is_renewed() -> None:
    old = PAGE.format(whole="old\n", part="x old\ny old\n", table="| old |\n| old |\n")
    printed = {"concurrence run a": "new a\n", "python b.py": "no\nx 1\nx 2\nin\ny 1\ny 2\n"}
    new = PAGE.format(whole="new a\n", part="x 1\nx 2\nin\ny 1\n", table="| some.module |\n")
    assert blocks.renewed(old, printed.__getitem__, "| {} |\n".format) == new
    with pytest.raises(ValueError, match="no lines from 'x ' to 'y'"):
        blocks.renewed(old, lambda _command: "y\nx 1\n", str)


@pytest.mark.parametrize("path", MEASURED)
def test_a_page_whose_commands_print_the_same_stays_the_same(path: str) -> None:
    text = (ROOT / path).read_text("utf-8")
    outputs = {each.command: f"so\n{each.output}on\n" if each.first else each.output for each in shown(path)}
    assert blocks.renewed(text, outputs.__getitem__, table_of) == text


def test_the_simulated_speed_ups_are_those_of_the_simulator() -> None:
    tables = blocks.tables_in((ROOT / "docs" / "amdahl.md").read_text("utf-8"))
    assert tables == {"tools.outputs.simulated": simulated.table()}, "python -m tools.outputs docs/amdahl.md"


def test_the_table_of_samples_has_all_of_them() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        points = tomllib.load(file)["project"]["entry-points"]["concurrence.plugins"]
    samples = {name.removeprefix("sample-") for name in points if name.startswith("sample-")}
    listed = re.findall(r"^\| \[?`(\w+)`", (ROOT / "docs" / "samples.md").read_text("utf-8"), re.MULTILINE)
    assert len(samples) >= 9
    assert samples <= set(listed)
