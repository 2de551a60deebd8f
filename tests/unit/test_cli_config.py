"""``concurrence config``: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from concurrence.cli.main import app
from concurrence.env import config_file
from concurrence.env.config_file import ConfigNotWritten, edit_file
from concurrence.env.environment import Environment
from concurrence.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("CONCURRENCE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config file of a new environment, which is the working directory."""
    Environment.create(folder / "mine").close()
    monkeypatch.chdir(folder / "mine")
    return folder / "mine" / "concurrence.toml"


def call(*words: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``concurrence config ...``, without tracebacks."""
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **variables}
    result = CliRunner().invoke(app, ["config", *words], env=environment)
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stdout, result.stderr


def shown(*words: str, **variables: str) -> Any:
    code, out, err = call("show", "--json", *words, **variables)
    assert (code, err) == (0, "")
    return json.loads(out)


# --- show, get, doc ---


@pytest.mark.parametrize("command", ["show", "doc", "get", "set", "unset", "check"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    code, out, _ = call(command, "--help")
    assert code == 0
    assert f"$ concurrence config {command}" in out


def test_the_group_alone_shows_its_help() -> None:
    code, out, err = call()
    assert (code, err) == (0, "")
    assert "unset" in out


def test_show_prints_toml_that_means_what_json_says(file: Path) -> None:
    code, out, err = call("show", "--origin")
    assert (code, err) == (0, "")
    values = shown()
    printed = tomllib.loads(out)
    assert {s: {n: v for n, v in t.items() if v is not None} for s, t in values.items()} == printed
    assert list(values) == sorted(values)
    assert values["masternode"]["lease"] == "10 s"
    assert values["application"]["master"] is None
    assert "# default" in out


def test_show_tells_where_values_come_from_and_what_they_hide(file: Path) -> None:
    file.write_text("[masternode]\nport = 1\n")
    other = file.with_name("other.toml")
    other.write_text("\n[masternode]\nport = 2\n")
    words = ("masternode.port", "-c", "other.toml")
    told = shown(*words, "--origin", CONCURRENCE_MASTERNODE__PORT="3")["masternode"]["port"]
    assert told == {
        "value": 3,
        "origin": "environment variable CONCURRENCE_MASTERNODE__PORT",
        "hidden": [f"{other}:3", f"{file}:2"],
        "default": told["default"],
        "live": False,
        "type": "int",
    }
    _, out, _ = call("show", *words, "--set", "masternode.port=4", "--origin")
    assert out.splitlines()[1].endswith(f"# --set; also set in {other}:3, {file}:2")
    assert shown("--changed", *words) == {"masternode": {"port": 2}}
    assert shown("masternode", "--changed") == {"masternode": {"port": 1}}


def test_show_shows_what_it_can_and_tells_what_is_wrong(file: Path) -> None:
    file.write_text("[masternode]\nport = 'x'\nlease = '3 s'\n")
    code, out, err = call("show", "masternode", "--json", "-c", "missing.toml")
    assert code == 1
    assert json.loads(out)["masternode"]["lease"] == "3 s"
    assert f"error: {file}:2: [masternode] port: expected an integer" in err
    assert "missing.toml: the config file cannot be read" in err
    _, out, _ = call("show", "masternode")
    assert '# wrong: port = "x"' in out
    file.write_text("[masternode\n")
    code, out, err = call("show", "masternode", "--json")
    assert code == 1
    assert json.loads(out)["masternode"]["lease"] == "10 s"
    assert f"error: {file}:1: not valid TOML" in err


def test_get_prints_the_value_alone(file: Path) -> None:
    file.write_text("[masternode]\nhost = 'a b'\n[slavenode]\nlabels = ['gpu=1', 'x']\n")
    assert call("get", "masternode.host") == (0, "a b\n", "")
    assert call("get", "slavenode.labels") == (0, "gpu=1,x\n", "")
    assert call("get", "masternode.lease") == (0, "10 s\n", "")
    assert call("get", "masternode.is_standalone") == (0, "false\n", "")
    assert call("get", "application.master") == (0, "\n", "")
    assert call("get", "masternode.host", "--origin") == (0, f"{file}:2\n", "")
    code, out, err = call("get", "masternode.hots")
    assert (code, out) == (2, "")
    assert "Did you mean masternode.host?" in err
    assert call("get", "masternode.port", "--set", "masternode.port=x")[0] == 1


def test_doc_explains_options(file: Path) -> None:
    code, out, _ = call("doc", "masternode.lease")
    assert code == 0
    assert 'lease = "10 s"' in out
    assert "us, ms, s, min, h, d" in out
    assert "declared by concurrence.nodes.master_limits:LimitedNode" in out
    told = json.loads(call("doc", "--json")[1])
    assert "ZMQTaskScheduler" in told["masternode"]["task_scheduler"]["choices"]
    assert "### lease" in call("doc", "masternode", "--markdown")[1]
    assert "[components]" in call("doc")[1]
    assert call("doc", "components")[1].startswith("[components]\n")
    assert "## [components]" in call("doc", "--markdown")[1]
    assert "components" not in call("doc", "logging")[1]
    assert call("doc", "--json", "--markdown")[0] == 2
    assert call("doc", "masternoed")[0] == 2


def test_plug_ins_have_options_and_broken_ones_are_named(file: Path) -> None:
    plugins = file.parent / "plugins"
    (plugins / "mine_plugin.py").write_text(
        "from concurrence.component import Component\n"
        "from concurrence.env.options import DurationOption\n"
        "class Mine(Component):\n"
        "    pause = DurationOption('mine.deep', 'pause', 1.0, 'How long.')\n"
    )
    (plugins / "broken_plugin.py").write_text("import nothing_of_that_name\n")
    code, out, err = call("set", "mine.deep.pause", "1500 ms")
    assert (code, out.splitlines()[0]) == (
        0,
        f'mine.deep.pause was "1 s" (default), is "1.5 s" ({file}:{len(file.read_text().splitlines())})',
    )
    assert tomllib.loads(file.read_text())["mine"]["deep"] == {"pause": "1.5 s"}
    assert "note: plug-in broken_plugin is broken and left out: ModuleNotFoundError" in err
    assert "No module named 'nothing_of_that_name'" in err
    code, out, err = call("check")
    assert code == 0
    assert out.startswith("ok: 1 value in ")
    assert err.startswith("note: plug-in broken_plugin")


def test_outside_of_an_environment_installed_components_count(folder: Path) -> None:
    code, out, err = call(
        "show", "masternode", "--json", "-c", "missing.toml", "--set", "x", "--set", "masternode.port=5"
    )
    assert code == 1
    assert json.loads(out)["masternode"]["port"] == 5
    assert err.count("error: ") == 2
    assert call("check") == (0, "ok: all at defaults\n", "")
    assert list(folder.iterdir()) == []


# --- check ---


def test_check(file: Path) -> None:
    assert call("check") == (0, "ok: all at defaults\n", "")
    file.write_text("[masternode]\nport = 1\n")
    assert call("check", CONCURRENCE_NODE__NAME="x") == (0, f"ok: 2 values in {file}, environment variables\n", "")
    code, out, err = call("check", "--set", "components.x=true", "--set", "masternode.prot=1")
    assert (code, out) == (1, "")
    assert "error: --set components.x: there is no such component\n" in err
    assert "error: --set masternode.prot: unknown key prot in [masternode]\n  Did you mean port?\n" in err
    assert call("check", "--env", "nowhere")[0] == 2


def test_check_finds_defaults_that_are_disabled(file: Path) -> None:
    scheduler = '"concurrence.scheduling.pushpull:ZMQTaskScheduler" = false\n'
    file.write_text(f"[components]\n{scheduler}")
    code, out, err = call("check")
    assert (code, out) == (1, "")
    assert err == (
        "error: default: [masternode] task_scheduler: 'ZMQTaskScheduler' is disabled\n"
        "  Enable it in [components], or choose another one.\n"
    )
    assert call("check", "--set", "masternode.task_scheduler=GenericTaskScheduler")[0] == 0
    file.write_text(f'[components]\n{scheduler}"concurrence.nodes.master:MasterNode" = false\n')
    assert call("check")[0] == 0


# --- set, unset ---


def test_set_and_unset_tell_what_was_and_is(file: Path) -> None:
    before = file.read_text()
    line = before.splitlines().index('# lease = "10 s"') + 2
    code, out, err = call("set", "masternode.lease", "5 s")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f'masternode.lease was "10 s" (default), is "5 s" ({file}:{line})',
        f"  written to {file}:{line}",
        f"  {LIVE if is_live('masternode.lease') else RESTART}",
    ]
    assert call("set", "masternode.lease=5s")[1] == f"masternode.lease is that already: {file}:{line}\n"
    code, out, _ = call("unset", "masternode.lease")
    assert code == 0
    assert out.startswith(f'masternode.lease was "5 s" ({file}:{line}), is "10 s" (default)\n')
    assert file.read_text() == before
    assert call("unset", "masternode.lease")[1] == f'masternode.lease is not in {file}; it is "10 s" (default)\n'


LIVE = "live: a running node takes it up without a restart"
RESTART = "a running node takes it up when it is restarted"


def is_live(key: str) -> bool:
    section, _, name = key.rpartition(".")
    return json.loads(call("doc", "--json", key)[1])[section][name]["live"]


def test_live_options_are_told_apart(file: Path) -> None:
    assert LIVE in call("set", "logging.level", "debug")[1]
    assert tomllib.loads(file.read_text())["logging"]["level"] == "DEBUG"
    assert RESTART in call("set", "masternode.port", "1")[1]


def test_a_value_that_a_higher_layer_hides_is_told(file: Path) -> None:
    _, out, _ = call("set", "masternode.port", "1", CONCURRENCE_MASTERNODE__PORT="2")
    assert "note: what is in the file does not hold" in out
    assert "environment variable CONCURRENCE_MASTERNODE__PORT" in out


def test_set_in_another_file_and_components(file: Path) -> None:
    before = file.read_text()
    other = file.with_name("other.toml")
    other.write_text("# mine\n")
    for key, value in (
        ("masternode.port", "8"),
        ("components.my_plugin:*", "false"),
        ("components.order", "a:*, b:*"),
    ):
        assert call("set", "-c", "other.toml", key, value)[0] == 0
    assert tomllib.loads(other.read_text()) == {
        "masternode": {"port": 8},
        "components": {"my_plugin:*": False, "order": ["a:*", "b:*"]},
    }
    assert other.read_text().startswith("# mine\n")
    assert file.read_text() == before
    assert shown("components", "-c", "other.toml") == {
        "components": {"my_plugin:*": False, "order": ["a:*", "b:*"]}
    }
    assert call("unset", "components.my_plugin:*", "-c", "other.toml")[0] == 0
    assert call("set", "-c", "missing.toml", "masternode.port", "8")[0] == 2
    assert not Path("missing.toml").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["set", "masternode.port", "x"], 'masternode.port: expected an integer from 0 to 65535, found "x"'),
        (["set", "masternode.prot", "1"], "Did you mean port?"),
        (["set", "masternode.port"], "no value for masternode.port"),
        (["set", "port", "1"], "'port' is not the name of an option"),
        (["set", "masternode.journal", "NulJournal"], "Did you mean NullJournal?"),
        (["unset", "masternode.prot"], "Did you mean masternode.port?"),
    ],
    ids=str,
)
def test_what_is_wrong_changes_nothing(file: Path, words: list[str], message: str) -> None:
    before = file.read_bytes()
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert file.read_bytes() == before


def test_an_invalid_file_is_not_touched(file: Path) -> None:
    file.write_text("[masternode]\nport = = 1\n")
    code, _, err = call("set", "masternode.port", "1")
    assert code == 2
    assert f"{file}:2: not valid TOML" in err
    assert file.read_text() == "[masternode]\nport = = 1\n"


def test_a_typo_in_the_file_can_be_taken_out_or_stay(file: Path) -> None:
    file.write_text("[masternode]\nprot = 1\n")
    assert call("set", "masternode.port", "2")[0] == 0
    assert call("unset", "masternode.prot")[0] == 0
    assert file.read_text() == "[masternode]\nport = 2\n"


def test_without_an_environment_there_is_no_file_to_edit(folder: Path) -> None:
    code, _, err = call("set", "masternode.port", "1")
    assert code == 2
    assert "Name a file: -c FILE, or make one: concurrence env create PATH" in err
    (folder / "new.toml").touch()
    assert call("set", "-c", "new.toml", "masternode.port", "1")[0] == 0
    assert (folder / "new.toml").read_text() == "[masternode]\nport = 1\n"


# --- the file ---


def appended(line: str) -> Callable[[str], str]:
    return lambda text: f"{text}{line}\n"


def test_mode_and_links_stay(folder: Path) -> None:
    target, link = folder / "real.toml", folder / "link.toml"
    target.write_text("a = 1\n")
    target.chmod(0o640)
    link.symlink_to(target)
    assert edit_file(link, appended("b = 2"))
    assert link.is_symlink()
    assert target.read_text() == "a = 1\nb = 2\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert not edit_file(link, str)
    assert sorted(path.name for path in folder.iterdir()) == ["link.toml", "real.toml"]


def test_a_read_only_file_stays(folder: Path) -> None:
    path = folder / "c.toml"
    path.write_text("a = 1\n")
    path.chmod(0o444)
    with pytest.raises(ConfigNotWritten, match="is read-only; nothing was changed\n  Allow it: chmod u\\+w"):
        edit_file(path, appended("b = 2"))
    assert path.read_text() == "a = 1\n"


def test_somebody_elses_change_is_not_lost(folder: Path) -> None:
    path = folder / "c.toml"
    path.write_text("a = 1\n")

    def change(text: str) -> str:
        path.write_text("theirs = 1\n")
        return text + "b = 2\n"

    with pytest.raises(ConfigNotWritten, match="was changed by another program in the meantime"):
        edit_file(path, change)
    assert path.read_text() == "theirs = 1\n"
    assert [entry.name for entry in folder.iterdir()] == ["c.toml"]


def test_a_missing_file_is_made_only_if_that_is_meant(folder: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        edit_file(folder / "c.toml", appended("a = 1"))
    assert edit_file(folder / "c.toml", appended("a = 1"), create=True)
    with pytest.raises(ConfigNotWritten, match="No such file or directory; nothing was changed"):
        edit_file(folder / "no" / "c.toml", appended("a = 1"), create=True)


def test_a_failing_disk_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "c.toml"
    path.write_text("a = 1\n")

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(config_file.os, "fsync", refuse)
    with pytest.raises(ConfigNotWritten, match="No space left on device; nothing was changed"):
        edit_file(path, appended("b = 2"))
    assert path.read_text() == "a = 1\n"
    assert [entry.name for entry in folder.iterdir()] == ["c.toml"]
    with pytest.raises(ConfigNotWritten, match="is not Unicode"):
        edit_file(path, appended("b = '\udcff'"))
