"""What ``env check`` finds: each fault with its place and its cure, and nothing in a sound environment."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from concurrence.env import plugins
from concurrence.env.env_check import Finding, check_folder, check_opened
from concurrence.env.environment import Environment
from concurrence.nodes.key_check import check_keys, check_lock, has_keys
from concurrence.nodes.keys import MasterKeys, connect_path
from concurrence.nodes.locking import lock_environment, lock_folder, note_address, running_master
from concurrence.transport.security import KeyRing, Role, read_connect_file, write_connect_file

SOMEBODY = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away, or become somebody else")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "env"
    Environment.create(folder).close()
    yield folder
    plugins.unload(folder / "plugins")


@pytest.fixture
def used(path: Path) -> Path:
    """An environment in which a master has run."""
    with Environment.open(path, plugins=False) as environment:
        MasterKeys.of(environment).publish(environment, "tcp://127.0.0.1:7700")
    return path


def told(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.what, Path(finding.where).name) for finding in findings]


def inside(path: Path) -> list[Finding]:
    with Environment.open(path, environ={}) as environment:
        return list(check_opened(environment))


def test_nothing_is_wrong_with_a_new_environment(path: Path) -> None:
    assert [*check_folder(path), *check_keys(path), *check_lock(path), *inside(path)] == []
    assert not has_keys(path)


def test_nothing_is_wrong_with_a_used_one(used: Path) -> None:
    assert [*check_folder(used), *check_keys(used), *check_lock(used), *inside(used)] == []
    assert has_keys(used)


@pytest.mark.parametrize(
    ("stamp", "what", "cure"),
    [
        (None, "missing stamp", "echo 'concurrence environment 2' > "),
        ("conc", "damaged stamp", "echo 'concurrence environment 2' > "),
        ("concurrence environment 1", "older environment", "concurrence env upgrade "),
        ("concurrence environment 3", "newer environment", "Upgrade Concurrent"),
    ],
)
def test_stamps(path: Path, stamp: str | None, what: str, cure: str) -> None:
    (path / "VERSION").unlink()
    if stamp is not None:
        (path / "VERSION").write_text(stamp)
    (finding,) = check_folder(path)
    assert (finding.what, finding.where) == (what, str(path / "VERSION"))
    assert cure in finding.cure


def test_wrong_modes_are_found_and_repaired(used: Path) -> None:
    (used / "keys").chmod(0o755)
    (used / "keys" / "master.toml").chmod(0o640)
    (used / "connect" / "slave.toml").chmod(0o604)
    (used / "plugins").chmod(0o777)
    (used / "concurrence.toml").chmod(0o666)
    findings = list(check_folder(used))
    assert sorted(finding.cure for finding in findings) == [
        f"chmod 600 {used}/connect/slave.toml",
        f"chmod 600 {used}/keys/master.toml",
        f"chmod 700 {used}/keys",
        f"chmod o-w {used}/concurrence.toml",
        f"chmod o-w {used}/plugins",
    ]
    assert list(check_keys(used)) == []  # nothing is told twice
    for finding in findings:
        assert finding.repair is not None
        finding.repair()
    assert list(check_folder(used)) == []
    assert stat.S_IMODE((used / "connect" / "slave.toml").stat().st_mode) == 0o600
    assert stat.S_IMODE((used / "plugins").stat().st_mode) == 0o775


def test_the_cure_of_a_strange_path_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    Environment.create(folder).close()
    (folder / "keys").chmod(0o755)
    (finding,) = check_folder(folder)
    assert finding.cure == f"chmod 700 '{folder}/keys'"


def test_missing_parts_are_found_and_made(path: Path) -> None:
    for name in ("plugins", "keys", "connect", "state"):
        (path / name).rmdir()
    (path / "README.txt").unlink()
    (path / "concurrence.toml").unlink()
    findings = list(check_folder(path))
    assert {finding.what for finding in findings} == {"missing folder", "missing file"}
    assert f"mkdir -m 700 {path / 'keys'}" in {finding.cure for finding in findings}
    for finding in findings:
        assert finding.repair is not None
        finding.repair()
    assert [*check_folder(path), *inside(path)] == []
    assert stat.S_IMODE((path / "keys").stat().st_mode) == 0o700


def test_a_file_in_the_place_of_a_folder_is_left_to_people(path: Path) -> None:
    (path / "state").rmdir()
    (path / "state").write_text("mine")
    (finding,) = check_folder(path)
    assert (finding.what, finding.repair) == ("not a folder", None)


@as_root
def test_what_belongs_to_somebody_else_is_found(used: Path) -> None:
    os.chown(used / "keys" / "master.toml", SOMEBODY, -1)
    (finding,) = check_folder(used)
    assert (finding.what, finding.where) == ("wrong owner", str(used / "keys" / "master.toml"))
    assert str(SOMEBODY) in finding.why
    assert finding.cure == f"sudo chown root {used}/keys/master.toml"


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from concurrence.env.env_check import check_folder
from concurrence.nodes.key_check import check_keys, check_lock
list(check_folder(Path(sys.argv[1])))
os.setgid(65534); os.setuid(65534)
for check in (check_folder, check_keys, check_lock):
    for finding in check(Path(sys.argv[1])):
        print(finding.what, finding.where)
"""


@as_root
def test_another_user_is_told_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to others
        Path(name).chmod(0o755)
        folder = Environment.create(Path(name, "env")).path
        command = [sys.executable, "-c", UNPRIVILEGED, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.splitlines() == [
            f"somebody else's folder {folder}",
            f"closed folder {folder}/keys",
            f"closed folder {folder}/connect",
        ], done.stderr


# --- keys and lock ---


def test_a_master_that_ran_needs_its_keys(used: Path) -> None:
    (used / "keys" / "master.toml").unlink()
    (finding,) = check_keys(used)
    assert (finding.what, finding.where) == ("missing key", str(used / "keys" / "master.toml"))
    assert f"rm {used}/keys/authorized.toml {used}/connect/client.toml" in finding.cure


def test_keys_that_went_altogether_are_missed_where_a_master_ran(path: Path) -> None:
    with Environment.open(path, plugins=False) as environment, lock_environment(environment) as lock:
        note_address(lock, "tcp://127.0.0.1:7700")
    assert told(check_keys(path)) == [("missing key", "master.toml")]


def test_broken_and_foreign_keys(used: Path) -> None:
    (used / "connect" / "admin.toml").write_text("nonsense")
    slave = used / "connect" / "slave.toml"
    write_connect_file(used / "connect" / "client.toml", read_connect_file(slave))
    assert told(check_keys(used)) == [("wrong role", "client.toml"), ("broken key file", "admin.toml")]
    ring = KeyRing.load(used / "keys")
    ring.revoke(read_connect_file(slave).keys.public)
    ring.save(used / "keys")
    assert ("stale connect file", "slave.toml") in told(check_keys(used))
    (used / "keys" / "master.toml").write_text("public = 1\n")
    (finding, *_) = check_keys(used)
    assert (finding.what, finding.where) == ("broken key file", str(used / "keys" / "master.toml"))
    assert "expected a string" in finding.why


def test_broken_tokens(used: Path) -> None:
    tokens = used / "keys" / "tokens.toml"
    tokens.write_text("[tokens]\nadmin = 'short'\n")
    tokens.chmod(0o600)
    (finding,) = check_keys(used)
    assert (finding.what, finding.where) == ("broken key file", str(tokens))
    assert "short" not in finding.why
    tokens.unlink()
    assert told(check_keys(used)) == []


def test_connect_files_of_another_master(used: Path, tmp_path: Path) -> None:
    with Environment.create(tmp_path / "other") as other:
        MasterKeys.of(other).publish(other, "tcp://127.0.0.1:7700")
        foreign = read_connect_file(connect_path(other, Role.SLAVE))
    write_connect_file(used / "connect" / "slave.toml", foreign)
    (finding,) = check_keys(used)
    assert finding.why == "it names the key of another master"
    assert finding.cure.startswith(f"rm {used}/connect/slave.toml; ")


def test_no_authorized_keys(used: Path) -> None:
    (used / "keys" / "authorized.toml").unlink()
    (first, *others) = check_keys(used)
    assert (first.what, Path(first.where).name) == ("no authorized keys", "authorized.toml")
    assert first.cure.endswith("start the master, and copy its new connect files to other machines")
    assert all(other.cure.endswith("when it next starts; copy that to the other machines") for other in others)


def test_leftovers_of_killed_processes(path: Path) -> None:
    (path / "keys" / ".master.toml.0123").touch(0o600)
    assert told(check_keys(path)) == [("leftover", ".master.toml.0123")]


def test_a_lock_that_is_no_file(path: Path) -> None:
    (path / "state" / "master.lock").mkdir()
    assert told(check_lock(path)) == [("not a lock file", "master.lock")]


def test_who_runs_is_seen_without_writing(path: Path) -> None:
    assert running_master(path) is None
    assert list((path / "state").iterdir()) == []
    with lock_folder(path) as lock:
        note_address(lock, "tcp://127.0.0.1:7700")
        assert running_master(path) == f"process {os.getpid()} at tcp://127.0.0.1:7700"
    assert running_master(path) is None
    assert running_master(path / "nowhere") is None


# --- plug-ins and configuration ---


def test_each_error_of_the_config_is_a_finding(path: Path) -> None:
    (path / "concurrence.toml").write_text('[logging]\nlevel = "LOUD"\nfromat = "json"\n[nonsense]\nx = 1\n')
    findings = inside(path)
    places = sorted(finding.where.rpartition("/")[2] for finding in findings)
    assert places == ["concurrence.toml:2", "concurrence.toml:3", "concurrence.toml:5"]
    (near,) = [finding for finding in findings if finding.where.endswith(":3")]
    assert (near.why, near.cure) == ("unknown key fromat in [logging]", "Did you mean format?")


def test_plug_ins_that_fail_are_named_with_their_last_lines(path: Path) -> None:
    (path / "plugins" / "check_bad.py").write_text("x = 1\n1 / 0\n")
    (finding,) = inside(path)
    assert (finding.what, finding.where) == (
        "plug-in check_bad cannot be loaded", str(path / "plugins" / "check_bad.py")
    )  # fmt: skip
    assert finding.why.endswith("ZeroDivisionError: division by zero")
    assert "line 2" in finding.why


def test_names_that_hide_or_are_hidden(path: Path) -> None:
    folder = path / "plugins"
    (folder / "check_twin").mkdir()
    (folder / "check_twin" / "__init__.py").touch()
    for name in ("check_twin.py", "antigravity.py", "msgspec.py", "_hidden.py", ".hidden.py", "check_fine.py"):
        (folder / name).touch()
    (folder / "__pycache__").mkdir()
    found = {Path(finding.where).name: finding.why for finding in inside(path)}
    assert set(found) == {"check_twin.py", "antigravity.py", "msgspec.py"}
    assert all("PluginError" in why or "taken" in why for why in found.values())


def test_a_default_that_is_disabled(path: Path) -> None:
    (path / "concurrence.toml").write_text('[components]\n"concurrence.transport.*" = false\n')
    with Environment.open(path, environ={}) as environment:
        (finding,) = check_opened(environment)
    assert (finding.what, finding.where) == ("wrong configuration", "default")
    assert finding.why == "[node] transport: 'ZMQTransport' is disabled"
    assert finding.cure == "Enable it in [components], or choose another one."
