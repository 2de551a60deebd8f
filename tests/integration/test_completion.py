"""Completion by the shell: a real bash with the script that the command prints, and what others are given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "concurrence"
ASK = """
source completion.bash
COMP_WORDS=({words}); COMP_CWORD={position}
$(complete -p concurrence | sed 's/.*-F \\([^ ]*\\).*/\\1/') concurrence
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
APP = """
from concurrence import ApplicationNode, IntOption

class Zebra(ApplicationNode):
    stripes = IntOption("zebra", "stripes", 4, "How many.")
"""


def variables(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONCURRENCE_", "_"))}
    return {**kept, "PATH": f"{COMMAND.parent}{os.pathsep}{kept.get('PATH', '')}", "NO_COLOR": "1", **more}


def run(*words: str, folder: Path, **more: str) -> str:
    done = subprocess.run(
        list(words), cwd=folder, env=variables(**more), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with an application and a broken plug-in, and the script for bash."""
    folder = tmp_path_factory.mktemp("completion")
    run(str(COMMAND), "env", "create", "mine", folder=folder)
    mine = folder / "mine"
    (mine / "plugins" / "animals.py").write_text(APP)
    (mine / "plugins" / "broken.py").write_text("raise RuntimeError")
    (mine / "completion.bash").write_text(run("bash", "-c", "concurrence --show-completion; :", folder=folder))
    return mine


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("concurrence ru", ["run"]),
        ("concurrence config ", ["show", "doc", "get", "set", "unset", "check"]),
        ("concurrence run --in", ["--inline"]),
        ("concurrence run z", ["zebra"]),
        ("concurrence run Z", ["Zebra"]),
        ("concurrence run zebra --set ze", ["zebra.stripes="]),
        ("concurrence run --set m", ["mandelbrot.", "masternode.", "md5."]),
        ("concurrence run --set zebra.stripes=", []),
        ("concurrence config get zebra.", ["zebra.stripes"]),
        ("concurrence run no-such-app", []),
        ("concurrence run zebra --st", ["--stripes"]),
        ("concurrence run zebra --work", ["--workers"]),
        ("concurrence run mandelbrot --colours o", ["ocean"]),
        ("concurrence run no-such-app --st", []),
    ],
)
def test_bash_completes(folder: Path, line: str, expected: list[str]) -> None:
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    found = run("bash", "-c", ASK.format(words=quoted, position=len(words) - 1), folder=folder).split()
    assert found == expected


def test_an_environment_that_is_wrong_completes_nothing_and_says_nothing(tmp_path: Path) -> None:
    asked = variables(
        _CONCURRENCE_COMPLETE="complete_bash", COMP_CWORD="4", COMP_WORDS="concurrence --env nowhere run "
    )
    done = subprocess.run([COMMAND], cwd=tmp_path, env=asked, capture_output=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == (b"", b"")


@pytest.mark.parametrize(("shell", "mark"), [("zsh", "#compdef concurrence"), ("fish", "complete --command")])
def test_other_shells_have_a_script_and_answers(tmp_path: Path, shell: str, mark: str) -> None:
    assert mark in run(str(COMMAND), folder=tmp_path, _CONCURRENCE_COMPLETE=f"source_{shell}")
    asked = {
        "_CONCURRENCE_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "concurrence run hel",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    assert "hello" in run(str(COMMAND), folder=tmp_path, **asked)


def test_completion_is_installed_in_the_home_folder(tmp_path: Path) -> None:
    run("bash", "-c", "concurrence --install-completion; :", folder=tmp_path, HOME=str(tmp_path))
    assert "concurrence" in (tmp_path / ".bashrc").read_text()
    assert "_CONCURRENCE_COMPLETE" in (tmp_path / ".bash_completions" / "concurrence.sh").read_text()


def test_the_help_is_not_cluttered(tmp_path: Path) -> None:
    assert "completion" not in run(str(COMMAND), "--help", folder=tmp_path)
