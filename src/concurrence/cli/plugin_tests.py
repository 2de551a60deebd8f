"""Running the tests of plug-ins: with pytest, in a process of its own.

The plug-ins under test need not be installed: a folder with their entry points, made for the run, stands on the
path of that process and of all nodes that the tests start. So they are found by any environment that a test makes,
and the user's own environment neither has a say in its tests nor is changed by them.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from concurrence.env.plugin_sources import GROUP, plugin_files
from concurrence.errors import UsageError, did_you_mean

_NO_TESTS = 5  # pytest's exit code
_METADATA = "Metadata-Version: 2.1\nName: plug-ins-under-test\nVersion: 0\n"


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests, and the plug-ins that they are of.

    Attributes:
        tests: The file or folder of the tests.
        root: What pytest takes for the project; no settings from above it count.
        sources: The folder that the plug-ins are imported from.
        entries: The entry points of the plug-ins.
        has_settings: Whether the project may have settings for pytest.
    """

    tests: Path
    root: Path
    sources: Path
    entries: Mapping[str, str]
    has_settings: bool


def suite_of_environment(folder: Path, name: str | None) -> Suite:
    """The tests of the plug-ins in an environment.

    Args:
        folder: The environment's.
        name: The plug-in that is meant; None for all.

    Raises:
        UsageError: There is no such plug-in, or there are no tests.
    """
    plugins = folder.absolute() / "plugins"
    paths = list(plugin_files(plugins))
    names = [path.parent.name if path.name == "__init__.py" else path.stem for path in paths]
    taken = [each for each in names if each in sys.stdlib_module_names]
    if taken:
        raise UsageError(f"{plugins}: {taken[0]} is a module of the standard library", hint="Rename the plug-in.")
    if name is not None and name not in names:
        hint = f"{did_you_mean(name, names)} There are: {', '.join(names) or 'none'}.".lstrip()
        raise UsageError(f"no plug-in {name} in {plugins}", hint=hint)
    tests = plugins / "tests"
    wanted = tests if name is None else tests / f"test_{name}.py"
    if not wanted.exists():
        what = f"the plug-in {name}" if name is not None else str(plugins)
        raise UsageError(f"there are no tests of {what}", hint=f"They belong into {wanted}")
    return Suite(wanted, plugins, plugins, {each: each for each in names}, has_settings=False)


def suite_of_package(folder: Path) -> Suite:
    """The tests of a plug-in that is a project with a ``pyproject.toml``.

    Raises:
        UsageError: It is no such project, or has no tests.
    """
    folder = folder.absolute()
    path = folder / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=_WHAT) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no valid TOML: {error}") from error
    entries = _entries(project)
    if not entries:
        raise UsageError(f"{path} names no plug-ins", hint=f'List them in [project.entry-points."{GROUP}"].')
    if not (folder / "tests").is_dir():
        raise UsageError(f"there are no tests of {folder.name}", hint=f"They belong into {folder / 'tests'}")
    sources = folder / "src"
    return Suite(folder / "tests", folder, sources if sources.is_dir() else folder, entries, has_settings=True)


_WHAT = "Name a plug-in of the environment, or the folder of a project."


def run_suite(suite: Suite) -> int:
    """Run tests; the exit code of pytest, or 1 if there was nothing to run.

    Raises:
        UsageError: There is no pytest.
    """
    if importlib.util.find_spec("pytest") is None:
        raise UsageError("pytest is not installed for this Python", hint=f"{sys.executable} -m pip install pytest")
    with tempfile.TemporaryDirectory(prefix="concurrence-plugin-test-") as temporary:
        # The folder is that of the tests' process too: it is in no environment.
        _write_entry_points(Path(temporary), suite.entries)
        settings = [] if suite.has_settings else ["-c", os.devnull, "--no-header"]
        words = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", *settings]
        words += [f"--rootdir={suite.root}", f"--confcutdir={suite.root}", f"--basetemp={temporary}/tmp"]
        words.append(str(suite.tests))
        sys.stdout.flush()
        done = subprocess.run(words, cwd=temporary, env=_variables(temporary, suite), check=False)
    if done.returncode == _NO_TESTS:
        raise _nothing_to_run(suite)
    return done.returncode


def _nothing_to_run(suite: Suite) -> UsageError:
    error = UsageError(f"there is no test in {suite.tests}", hint="Tests are functions called test_...")
    error.exit_code = 1
    return error


def _write_entry_points(folder: Path, entries: Mapping[str, str]) -> None:
    place = folder / "plug_ins_under_test-0.dist-info"
    place.mkdir()
    lines = [f"[{GROUP}]", *(f"{name} = {value}" for name, value in entries.items())]
    (place / "METADATA").write_text(_METADATA, encoding="utf-8")
    (place / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _variables(temporary: str, suite: Suite) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONCURRENCE_")}
    known = [path for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path]
    return kept | {"PYTHONPATH": os.pathsep.join([temporary, str(suite.sources), *known])}


def _entries(project: Mapping[str, Any]) -> dict[str, str]:
    found: object = project
    for key in ("project", "entry-points", GROUP):
        found = cast("Mapping[str, object]", found).get(key) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    return {name: str(value) for name, value in cast("Mapping[str, object]", found).items()}
