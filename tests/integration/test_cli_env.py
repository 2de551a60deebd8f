"""``concurrence env`` with real processes: exit codes, texts, a running master, moving to another place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from concurrence.env.layout import LAYOUT
from concurrence.transport.security import read_connect_file

COMMAND = str(Path(sys.executable).with_name("concurrence"))
SECONDS = 60.0


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def variables() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONCURRENCE_")}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}


def call(*words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command; nothing of it is a traceback of ours."""
    done = subprocess.run(
        [COMMAND, *words], env=variables(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def ok(*words: str) -> str:
    code, out, err = call(*words)
    assert (code, err) == (0, ""), (code, out, err)
    return out


StartMaster = Callable[[str], None]


@pytest.fixture
def start_master() -> Generator[StartMaster]:
    """Starts masters in environments, which end with the test."""
    running: list[subprocess.Popen[str]] = []

    def start(env: str) -> None:
        words = [COMMAND, "master", "--env", env, "--port", "0"]
        process = subprocess.Popen(
            words, env=variables(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        running.append(process)
        guard = threading.Timer(SECONDS, process.kill)
        guard.start()
        assert process.stdout is not None
        seen: list[str] = []
        for line in process.stdout:
            seen.append(line)
            if "Ctrl-C stops it" in line:
                break
        guard.cancel()
        assert process.poll() is None, "".join(seen)

    yield start
    for process in running:
        process.send_signal(signal.SIGINT)
    try:
        for process in running:
            process.communicate(timeout=SECONDS)
            assert process.returncode in (0, 130)
    finally:
        for process in running:
            process.kill()


def test_a_new_environment_is_sound_and_explained(folder: Path) -> None:
    out = ok("env", "create", "deep/er/mine", "--app", "Mandelbrot")
    for entry in LAYOUT:
        assert entry.shown in out
        assert (folder / "deep/er/mine" / entry.name).exists()
    out = ok("env", "check", "deep/er/mine")
    assert out.splitlines() == ["keys: none yet; a master makes them when it first runs", "ok"]
    known = json.loads(ok("env", "info", "deep/er/mine", "--json"))
    assert (known["layout"], known["app"], known["master"]) == (2, "Mandelbrot", None)
    assert [entry["name"] for entry in known["contents"]] == [entry.shown for entry in LAYOUT]


def test_check_tells_everything_and_fix_repairs_what_it_can(folder: Path) -> None:
    ok("env", "create", "mine", "--app", "Mandelbrto")
    (folder / "mine" / "keys").chmod(0o755)
    (folder / "mine" / "state").rmdir()
    (folder / "mine" / "plugins" / "cli_bad.py").write_text("import there_is_no_such_module\n")
    code, out, err = call("env", "check", "mine")
    assert (code, err) == (1, "")
    assert f"-> chmod 700 {folder}/mine/keys" in out
    assert f"missing folder: {folder}/mine/state" in out
    assert "No module named 'there_is_no_such_module'" in out
    assert "no application is called 'Mandelbrto'" in out
    assert "4 things are wrong" in out
    code, out, _ = call("env", "check", "mine", "--fix", "--json")
    assert code == 1
    known = json.loads(out)
    assert [finding["what"] for finding in known["findings"]] == [
        "plug-in cli_bad cannot be loaded",
        "no such application",
    ]
    assert len(known["repaired"]) == 2
    (folder / "mine" / "plugins" / "cli_bad.py").unlink()
    (folder / "mine" / "concurrence.toml").write_text('[project]\napp = "mandelbrot"\n')
    assert ok("env", "check", "mine").endswith("ok\n")


def test_a_config_that_is_no_toml_is_a_finding(folder: Path) -> None:
    ok("env", "create", "mine")
    (folder / "mine" / "concurrence.toml").write_text("[project]\napp = \n")
    code, out, _ = call("env", "check", "mine")
    assert code == 1
    assert f"wrong configuration: {folder}/mine/concurrence.toml:2" in out


def test_a_damaged_stamp_is_a_finding_and_no_environment_a_mistake(folder: Path) -> None:
    ok("env", "create", "mine")
    (folder / "mine" / "VERSION").unlink()
    code, out, _ = call("env", "check", "mine")
    assert code == 1
    assert f"echo 'concurrence environment 2' > {folder}/mine/VERSION" in out
    code, _, err = call("env", "check", ".")
    assert code == 2
    assert "is not an environment" in err


def test_what_a_running_master_forbids_and_what_it_allows(folder: Path, start_master: StartMaster) -> None:
    start_master("mine")
    assert json.loads(ok("env", "info", "mine", "--json"))["master"].startswith("process ")
    assert ok("env", "check", "mine") == "ok\n"
    out = ok("env", "backup", "mine", "--to", "mine.tar.gz")
    assert "a master runs in it" in out
    assert "may be behind" in ok("env", "restore", "mine.tar.gz", "copy")
    (folder / "mine" / "VERSION").write_text("concurrence environment 1\n")
    code, _, err = call("env", "upgrade", "mine")
    assert code == 2
    assert "a master runs in" in err
    assert (folder / "mine" / "VERSION").read_text() == "concurrence environment 1\n"


def test_a_swarm_moves_with_its_keys(folder: Path, start_master: StartMaster) -> None:
    start_master("mine")
    before = read_connect_file(folder / "mine" / "connect" / "slave.toml")
    ok("env", "backup", "mine", "--to", "mine.tar.gz")
    ok("env", "restore", "mine.tar.gz", "there/mine")
    assert ok("env", "check", "there/mine") == "ok\n"
    start_master("there/mine")
    after = read_connect_file(folder / "there" / "mine" / "connect" / "slave.toml")
    assert (after.server_key, after.keys.public) == (before.server_key, before.keys.public)
    assert after.address != before.address
    assert "master" in ok("status", "--env", "there/mine")


def test_upgrade_backs_up_first_and_says_when_there_is_nothing_to_do(folder: Path) -> None:
    ok("env", "create", "mine", "--app", "hello")
    (folder / "mine" / "VERSION").write_text("concurrence environment 1\n")
    (folder / "mine" / "README.txt").unlink()
    code, _, err = call("run", "--env", "mine", "--inline")
    assert code == 2
    assert f"concurrence env upgrade {folder}/mine" in err
    out = ok("env", "upgrade", "mine")
    assert "layout 2: a README.txt explains" in out
    (backup,) = folder.glob("mine-layout-1-*.tar.gz")
    assert str(backup) in out
    assert "up to date" in ok("env", "upgrade", "mine")
    assert "greet" in call("run", "--env", "mine", "--inline")[1]
    out = ok("env", "restore", backup.name, "old")
    assert "concurrence env upgrade old" in out
    ok("env", "upgrade", "old", "--no-backup")
    assert sorted(path.name for path in folder.iterdir()) == sorted([backup.name, "mine", "old"])


def test_backups_are_named_by_themselves_and_never_overwritten(folder: Path) -> None:
    ok("env", "create", "mine")
    assert "holds no keys" in ok("env", "backup", "mine")
    assert len(list(folder.glob("mine-backup-*Z.tar.gz"))) == 1
    ok("env", "backup", "mine", "--to", "b.tar.gz")
    code, _, err = call("env", "backup", "mine", "--to", "b.tar.gz")
    assert code == 2
    assert "--force" in err
    ok("env", "backup", "mine", "--to", "b.tar.gz", "--force")


def test_inside_an_environment_it_needs_no_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("backup", "upgrade"):
        code, _, err = call("env", command)
        assert (code, "Name one: PATH, or make one" in err) == (2, True), err
    ok("env", "create", "mine")
    monkeypatch.chdir(folder / "mine" / "plugins")
    ok("env", "backup")
    assert len(list(folder.glob("mine-backup-*Z.tar.gz"))) == 1
    assert "up to date" in ok("env", "upgrade")


def test_restore_refuses_what_is_no_backup(folder: Path) -> None:
    (folder / "b.tar.gz").write_text("no")
    code, _, err = call("env", "restore", "b.tar.gz", "new")
    assert code == 2
    assert "is no backup that can be restored" in err
    assert not (folder / "new").exists()
