"""``concurrence config`` as real processes: pipes, full disks, and several that edit one file at once."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

SECONDS = 60.0
COMMAND = [sys.executable, "-m", "concurrence.cli.main"]


def variables() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONCURRENCE_")}
    return {**kept, "NO_COLOR": "1"}


def run(
    folder: Path, *words: str, given: dict[str, str] | None = None, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env=variables() | (given or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        preexec_fn=prepare,
    )


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    made = run(tmp_path, "env", "create", "mine")
    assert made.returncode == 0, made.stderr
    return tmp_path / "mine"


def test_a_value_travels_through_all_layers(environment: Path) -> None:
    key = "masternode.delivery_window"
    (environment / "night.toml").write_text('[masternode]\ndelivery_window = "3 MB"\n')
    done = run(environment, "config", "set", key, "2 MB")
    assert done.returncode == 0, done.stderr
    steps: list[tuple[list[str], dict[str, str], str, str]] = [
        ([], {}, "2 MB", f"{environment / 'concurrence.toml'}:"),
        (["-c", "night.toml"], {}, "3 MB", f"{environment / 'night.toml'}:2"),
        (
            ["-c", "night.toml"],
            {"CONCURRENCE_MASTERNODE__DELIVERY_WINDOW": "4 MB"},
            "4 MB",
            "environment variable",
        ),
        (["--set", f"{key}=5 MB"], {"CONCURRENCE_MASTERNODE__DELIVERY_WINDOW": "4 MB"}, "5 MB", "--set"),
    ]
    for words, given, value, origin in steps:
        told = run(environment, "config", "show", key, "--origin", "--json", *words, given=given)
        entry = json.loads(told.stdout)["masternode"]["delivery_window"]
        assert (entry["value"], told.stderr, told.returncode) == (value, "", 0)
        assert entry["origin"].startswith(origin)
    got = run(environment, "config", "get", key, "-c", "night.toml")
    assert (got.stdout, got.stderr, got.returncode) == ("3 MB\n", "", 0)


def test_json_is_clean_in_a_pipe_whatever_plug_ins_log(environment: Path) -> None:
    (environment / "plugins" / "broken.py").write_text("raise RuntimeError('no')\n")
    done = run(environment, "config", "show", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["masternode"]["host"] == "127.0.0.1"
    assert done.stderr.startswith("note: plug-in broken is broken")
    assert "RuntimeError: no" in done.stderr


def test_a_reader_that_goes_away_is_no_error(environment: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [*COMMAND, "config", "doc"],
            cwd=environment,
            env=variables(),
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    assert done.stderr == b""


def test_commands_that_edit_at_once_lose_nothing(environment: Path) -> None:
    edits = {"port": 1, "work_port": 2, "task_window": 64, "max_attempts": 4}
    running = [
        subprocess.Popen(
            [*COMMAND, "config", "set", f"masternode.{name}={value}"],
            cwd=environment,
            env=variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for name, value in edits.items()
    ]
    outputs = [process.communicate(timeout=SECONDS)[0].decode() for process in running]
    assert [process.returncode for process in running] == [0] * len(running), outputs
    assert tomllib.loads((environment / "concurrence.toml").read_text())["masternode"] == edits
    assert not list(environment.glob(".concurrence.toml*"))


def test_a_disk_without_room_loses_nothing(environment: Path) -> None:
    file = environment / "concurrence.toml"
    before = file.read_bytes()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    done = run(
        environment, "config", "set", "masternode.port", "1", prepare=limit, given={"PYTHONDONTWRITEBYTECODE": "1"}
    )
    assert done.returncode == 1
    assert "cannot be written: File too large; nothing was changed" in done.stderr
    assert file.read_bytes() == before
    assert not list(environment.glob(".concurrence.toml*"))


def test_help_does_not_import_what_edits(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "import concurrence.cli.main\n"
        "print(*sorted({'tomlkit', 'rich', 'concurrence.env.config_report'} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=variables(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    assert done.stdout.split() == []
