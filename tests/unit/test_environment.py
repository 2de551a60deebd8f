"""Environments: their folder, opening, discovery, config, plug-ins, logging."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from concurrence.component import Component
from concurrence.env import plugin_sources, plugins
from concurrence.env.environment import Environment
from concurrence.env.log import NodeHandler, configure_logging
from concurrence.env.options import IntOption
from concurrence.errors import ConfigError, EnvironmentInvalid

PLUGIN = """
from concurrence.component import Component
from concurrence.env.options import IntOption
class Pump(Component):
    speed = IntOption("pump", "speed", 5, "How fast.", live=True)
    size = IntOption("pump", "size", 5, "How big.")
class Valve(Component): pass
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    def none_installed(*, group: str) -> list[object]:
        return []

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(plugin_sources, "entry_points", none_installed)
    yield
    plugins.unload(tmp_path)
    logger = logging.getLogger("concurrence")
    for handler in [handler for handler in logger.handlers if isinstance(handler, NodeHandler)]:
        logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def made(tmp_path: Path, config: str = "", *overrides: str) -> Environment:
    path = tmp_path / "env"
    Environment.create(path).close()
    (path / "plugins" / "env_pump.py").write_text(PLUGIN)
    (path / "concurrence.toml").write_text(config)
    return Environment.open(path, overrides=overrides, environ={})


def test_create_makes_the_folder(tmp_path: Path) -> None:
    environment = Environment.create(tmp_path / "deep" / "env", app="hello")
    path = environment.path
    assert {entry.name for entry in path.iterdir()} == {
        "concurrence.toml", "plugins", "keys", "connect", "state", "VERSION", "README.txt"
    }  # fmt: skip
    assert (mode(path / "keys"), mode(path / "connect")) == (0o700, 0o700)
    assert environment.app_name == "hello"
    text = (path / "concurrence.toml").read_text()
    assert 'app = "hello"' in text
    assert '# level = "INFO"' in text
    environment.check()
    assert Environment.open(path).app_name == "hello"


def test_create_without_an_application_and_in_an_empty_folder(tmp_path: Path) -> None:
    assert Environment.create(tmp_path).app_name == ""
    assert "\napp =" not in (tmp_path / "concurrence.toml").read_text()


def test_create_refuses_occupied_folders(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    (tmp_path / "file").touch()
    Environment.create(tmp_path / "env")
    with pytest.raises(EnvironmentInvalid, match="holds other things"):
        Environment.create(tmp_path / "full")
    with pytest.raises(EnvironmentInvalid, match="is not a folder"):
        Environment.create(tmp_path / "file")
    with pytest.raises(EnvironmentInvalid, match="is an environment already"):
        Environment.create(tmp_path / "env")
    with pytest.raises(EnvironmentInvalid, match="cannot be made"):
        Environment.create(tmp_path / "file" / "below")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("stamp", [None, "something else", "concurrence environment x"])
def test_open_refuses_what_is_no_environment(tmp_path: Path, stamp: str | None) -> None:
    if stamp is not None:
        (tmp_path / "VERSION").write_text(stamp)
    with pytest.raises(EnvironmentInvalid, match="is not an environment") as caught:
        Environment.open(tmp_path)
    assert "concurrence env create PATH" in str(caught.value)
    with pytest.raises(EnvironmentInvalid, match="does not exist"):
        Environment.open(tmp_path / "missing")


def test_open_refuses_a_newer_and_an_older_environment(tmp_path: Path) -> None:
    Environment.create(tmp_path)
    (tmp_path / "VERSION").write_text("concurrence environment 3\n")
    with pytest.raises(EnvironmentInvalid, match="newer version"):
        Environment.open(tmp_path)
    (tmp_path / "VERSION").write_text("concurrence environment 1\n")
    with pytest.raises(EnvironmentInvalid, match="older version") as caught:
        Environment.open(tmp_path)
    assert caught.value.hint == f"Bring it up to date: concurrence env upgrade {tmp_path}"


def test_open_tells_a_damaged_environment_from_none(tmp_path: Path) -> None:
    Environment.create(tmp_path)
    (tmp_path / "VERSION").write_text("conc")
    with pytest.raises(EnvironmentInvalid, match="missing or damaged") as caught:
        Environment.open(tmp_path)
    assert f"concurrence env check {tmp_path}" in caught.value.hint


def test_the_readme_explains_all_that_is_made(tmp_path: Path) -> None:
    path = Environment.create(tmp_path / "env").path
    text = (path / "README.txt").read_text()
    for entry in path.iterdir():
        assert f"\n{entry.name}{'/' if entry.is_dir() else ''} " in text
    assert all(len(line) <= 110 for line in text.splitlines())


BROKEN_DISK = """
import resource, sys
from pathlib import Path
from concurrence.env.environment import Environment
from concurrence.errors import EnvironmentInvalid
Environment.create(Path(sys.argv[1], "warm")).close()
resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))
try:
    Environment.create(Path(sys.argv[1], *sys.argv[2:]))
except EnvironmentInvalid as error:
    print(error)
"""


@pytest.mark.parametrize("words", [["empty"], ["deep", "er", "env"]])
def test_create_on_a_full_disk_leaves_nothing(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-c", BROKEN_DISK, str(tmp_path), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "cannot be made: File too large" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "warm"]
    assert list((tmp_path / "empty").iterdir()) == []


def test_create_interrupted_while_it_moves_in_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, moved = Path.rename, list[Path]()

    def interrupted(self: Path, target: Path) -> Path:
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Environment.create(tmp_path)
    assert (len(moved), list(tmp_path.iterdir())) == (3, [])


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from concurrence.env.environment import Environment
from concurrence.errors import EnvironmentInvalid
Environment.ephemeral().close()  # Python itself may lie where only root can read: import everything first
os.setgid(65534); os.setuid(65534)
with Environment.open(Path(sys.argv[1])) as environment:
    print(environment.app_name, [cls.__name__ for cls in environment.registered()][-2:])
try:
    Environment.create(Path(sys.argv[1], "state", "below"))
except EnvironmentInvalid as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_environment_that_cannot_be_written_to_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to others
        Path(name).chmod(0o755)
        path = Environment.create(Path(name, "env"), app="hello").path
        (path / "plugins" / "env_pump.py").write_text(PLUGIN)
        before = {place: place.stat().st_mtime_ns for place in path.rglob("*")}
        command = [sys.executable, "-c", UNPRIVILEGED, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        opened, refused, *_ = done.stdout.splitlines()
        assert opened == "hello ['Pump', 'Valve']"
        assert refused == f"{path}/state/below cannot be made: Permission denied"
        assert {place: place.stat().st_mtime_ns for place in path.rglob("*")} == before


def test_discover_looks_upwards(tmp_path: Path) -> None:
    Environment.create(tmp_path / "env")
    assert Environment.discover(tmp_path / "env") == tmp_path / "env"
    assert Environment.discover(tmp_path / "env" / "state") == tmp_path / "env"
    assert Environment.discover(tmp_path) is None


def test_an_ephemeral_environment_is_private_and_removed() -> None:
    with Environment.ephemeral(overrides=["logging.level=DEBUG"], environ={}) as environment:
        path = environment.path
        assert mode(path) == 0o700
        assert (path / "keys").is_dir()
        assert environment.log_level == "DEBUG"
        assert Environment.discover(path) == path
    assert not path.exists()
    environment.close()


def test_closing_an_environment_keeps_its_folder(tmp_path: Path) -> None:
    with made(tmp_path) as environment:
        assert "env_pump" in sys.modules
    assert environment.path.is_dir()
    assert "env_pump" not in sys.modules


def test_a_failing_ephemeral_environment_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ConfigError):
        Environment.ephemeral(overrides=["nonsense"])
    assert list(tmp_path.iterdir()) == []


def test_layers_of_an_open_environment(tmp_path: Path) -> None:
    path = made(tmp_path, "[pump]\nspeed = 1\nsize = 1\n").path
    extra = tmp_path / "extra.toml"
    extra.write_text("[pump]\nspeed = 2\n")
    environment = Environment.open(
        path,
        config_files=[extra],
        environ={"CONCURRENCE_PUMP__SIZE": "3", "CONCURRENCE_LOGGING__LEVEL": "ERROR"},
        overrides=["logging.level=debug"],
    )
    assert [value.raw for _, _, value in environment.config.items()] == ["debug", "3", 2]
    assert environment.log_level == "DEBUG"


def test_plug_ins_are_loaded_and_failures_recorded(tmp_path: Path) -> None:
    path = made(tmp_path).path
    (path / "plugins" / "env_bad.py").write_text("1 / 0\n")
    environment = Environment.open(path, environ={})
    assert [cls.__name__ for cls in environment.registered()] == ["Pump", "Valve"]
    assert [failure.name for failure in environment.plugin_failures] == ["env_bad"]
    assert Environment.open(path, plugins=False).registered() == []


@pytest.mark.parametrize(
    ("switches", "enabled"),
    [
        ("", ["Pump", "Valve"]),
        ('"env_pump:Pump" = false', ["Valve"]),
        ('"env_pump:*" = false', []),
        ('"env_pump:*" = false\n"env_pump:Valve" = true', ["Valve"]),
        ('"*" = false\n"env_pump:P*" = true', ["Pump"]),
        ('"other:*" = false', ["Pump", "Valve"]),
    ],
)
def test_components_are_switched_by_config(tmp_path: Path, switches: str, enabled: list[str]) -> None:
    environment = made(tmp_path, f"[components]\n{switches}\n")
    assert [cls.__name__ for cls in environment.registered() if environment.is_enabled(cls)] == enabled


def test_a_component_is_switched_on_the_command_line(tmp_path: Path) -> None:
    environment = made(tmp_path, "", "components.env_pump:Pump=false")
    assert [environment.is_enabled(cls) for cls in environment.registered()] == [False, True]
    environment.check()


def test_check_covers_the_environment_and_its_components(tmp_path: Path) -> None:
    made(tmp_path, '[logging]\nlevel = "INFO"\n[pump]\nspeed = 3\n').check()
    environment = made(tmp_path / "2", '[logging]\nlevel = "LOUD"\n[pump]\nsped = 3\n')
    with pytest.raises(ConfigError) as caught:
        environment.check()
    assert f"{environment.path / 'concurrence.toml'}:2: [logging] level" in str(caught.value)
    assert "unknown key sped in [pump]" in str(caught.value)


def test_reload_adopts_live_options_and_logs_both_kinds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Probe(Component):
        speed = IntOption("pump", "speed", 5, "How fast.", live=True)
        size = IntOption("pump", "size", 5, "How big.")

    environment = made(tmp_path, "[pump]\nspeed = 1\nsize = 1\n")
    probe = environment.component(environment.register(Probe))
    assert (probe.speed, probe.size) == (1, 1)
    path = environment.path / "concurrence.toml"
    path.write_text('[pump]\nspeed = 2\nsize = 2\n[logging]\nlevel = "ERROR"\n')
    with caplog.at_level(logging.INFO, "concurrence"):
        changes = environment.reload()
        assert environment.log.level == logging.ERROR
    assert (probe.speed, probe.size) == (2, 1)
    assert changes.applied == (("logging", "level"), ("pump", "speed"))
    assert changes.pending == (("pump", "size"),)
    assert any(text.startswith("config changed: [pump] speed") for text in caplog.messages)
    (size,) = [text for text in caplog.messages if text.startswith("config changed: [pump] size")]
    assert size.endswith("takes effect after a restart")
    path.write_text("[pump]\nspeed = 'x'\n")
    with pytest.raises(ConfigError, match="expected an integer"):
        environment.reload()
    assert (probe.speed, environment.log_level) == (2, "ERROR")


def logged(style: Literal["text", "json"], node: str = "slave-1", level: str = "INFO") -> str:
    stream = io.StringIO()
    configure_logging(level, style, stream, node)
    logger = logging.getLogger("concurrence.test")
    logger.debug("hidden")
    logger.info("task %s", 7, extra={"seconds": 1.5, "slave": "a"})
    fields: dict[str, str] = {}
    try:
        _ = fields["lost"]
    except KeyError:
        logger.exception("failed")
    configure_logging(level, style, io.StringIO(), node)
    logger.error("goes to another stream")
    return stream.getvalue()


def test_text_logs() -> None:
    lines = logged("text").splitlines()
    assert lines[0][8:] == " INFO  slave-1  task 7 seconds=1.5 slave=a"
    assert lines[0][2] == lines[0][5] == ":"
    assert lines[1][8:] == " ERROR slave-1  failed"
    assert lines[2] == "Traceback (most recent call last):"
    assert lines[-1] == "KeyError: 'lost'"
    assert logged("text", node="").splitlines()[0][8:] == " INFO  task 7 seconds=1.5 slave=a"


def test_json_logs() -> None:
    first, second = (json.loads(line) for line in logged("json").splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "INFO", "logger": "concurrence.test", "node": "slave-1", "message": "task 7", "seconds": 1.5,
        "slave": "a",
    }  # fmt: skip
    assert second["traceback"].endswith("KeyError: 'lost'")


def test_the_environment_logs_as_its_options_say(capsys: pytest.CaptureFixture[str]) -> None:
    with Environment.ephemeral(
        overrides=["logging.format=json", "logging.level=warning"], environ={}
    ) as environment:
        environment.start_logging("master")
        environment.log.info("hidden")
        environment.log.warning("shown")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["shown"]


def test_a_temporary_environment_of_a_killed_process_goes_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead, strange = tmp_path / f"concurrence-{process.pid}-abc", tmp_path / "concurrence-other"
    alive = tmp_path / f"concurrence-{os.getpid()}-abc"
    for folder in (dead, alive, strange):
        folder.mkdir()
        (folder / "file").touch()
    with Environment.ephemeral(environ={}, plugins=False) as environment:
        assert environment.path.parent == tmp_path
    assert sorted(tmp_path.iterdir()) == sorted([alive, strange])
