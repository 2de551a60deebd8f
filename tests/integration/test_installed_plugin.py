"""A plug-in package as users have it: made, built, and installed with Concurrent into a fresh Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def call(folder: Path, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command that must end with an exit code, without settings of the caller's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONCURRENCE_", "PYTHON"))}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=kept | {"NO_COLOR": "1", "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, f"{words} -> {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_package_is_made_installed_listed_and_run(tmp_path: Path) -> None:
    call(tmp_path, sys.executable, "-m", "concurrence.cli.main", "plugin", "new", "app", "tree_rings", "--package")
    project = tmp_path / "concurrence-tree-rings"
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    programs = tmp_path / "venv" / "bin"
    call(tmp_path, programs / "python", "-m", "pip", "install", "-q", ROOT, project)
    concurrence = programs / "concurrence"

    listed = call(tmp_path, concurrence, "plugin", "list", "--json", "--check")
    plugins = {plugin["name"]: plugin for plugin in json.loads(listed.stdout)["plugins"]}
    assert plugins["tree-rings"]["distribution"] == "concurrence-tree-rings"
    assert plugins["tree-rings"]["version"] == "0.1.0"
    assert plugins["tree-rings"]["components"][0]["name"] == "tree_rings:TreeRings"
    assert plugins["node-master"]["distribution"] == "concurrence"
    assert "TreeRings" in call(tmp_path, concurrence, "apps").stdout

    ran = call(tmp_path, concurrence, "run", "tree-rings", "--workers", "2", "--set", "tree_rings.limit=3000")
    assert "430 primes below 3000" in ran.stdout

    # The skeletons are in the wheel, and without pytest it is said what to do.
    call(tmp_path, concurrence, "env", "create", "env")
    call(tmp_path, concurrence, "plugin", "new", "command", "sizes", "--env", "env")
    assert "sizes" in call(tmp_path, concurrence, "--env", "env", "--help").stdout
    assert "kB" in call(tmp_path, concurrence, "--env", "env", "sizes").stdout
    refused = call(tmp_path, concurrence, "plugin", "test", "--env", "env", code=2)
    assert "error: pytest is not installed" in refused.stderr
    assert "-m pip install pytest" in refused.stderr

    # What is left of a package that was removed by hand is named, and the rest works.
    (package,) = (tmp_path / "venv" / "lib").glob("python*/site-packages/tree_rings/__init__.py")
    package.unlink()
    broken = call(tmp_path, concurrence, "plugin", "list", "--check", code=1)
    assert "tree-rings  concurrence-tree-rings 0.1.0  tree_rings  BROKEN" in broken.stdout
    assert call(tmp_path, concurrence, "run", "hello", "--workers", "1").returncode == 0
