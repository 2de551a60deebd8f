"""What people get wrong on the command line and on the disk: told in one form, and nothing is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from concurrence.cli.main import app
from concurrence.env.config_file import ConfigNotWritten, edit_file
from concurrence.env.environment import Environment
from concurrence.errors import ConfigError

LOSSES = "raise ValueError('the first line\\nthe second line')\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("CONCURRENCE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mine(folder: Path) -> Path:
    """The folder of a new environment."""
    Environment.create(folder / "mine").close()
    return folder / "mine"


def call(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``concurrence ...``, without tracebacks."""
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stdout, result.stderr


# --- a config file that is no plain file ---


@pytest.mark.parametrize("target", ["concurrence.toml", "nowhere.toml"], ids=["a loop", "nothing there"])
@pytest.mark.parametrize(
    "words",
    [
        ("config", "show"),
        ("config", "check"),
        ("config", "get", "masternode.port"),
        ("config", "set", "masternode.port", "1"),
        ("config", "unset", "masternode.port"),
        ("components",),
    ],
    ids=" ".join,
)
def test_a_link_that_leads_nowhere_does_not_mean_the_defaults(
    mine: Path, words: tuple[str, ...], target: str
) -> None:
    link = mine / "concurrence.toml"
    link.unlink()
    link.symlink_to(target)
    code, _, err = call(*words, "--env", str(mine))
    assert code != 0
    assert f"{link}: the config file cannot be read" in err
    assert link.is_symlink(), "a link stays one"


def test_an_edit_does_not_replace_a_link_that_leads_in_circles(folder: Path) -> None:
    (folder / "a.toml").symlink_to("a.toml")
    with pytest.raises((ConfigError, ConfigNotWritten)):
        edit_file(folder / "a.toml", lambda text: text + "x = 1\n", create=True)
    assert (folder / "a.toml").is_symlink()


def test_a_byte_order_mark_is_called_by_its_name(mine: Path) -> None:
    (mine / "concurrence.toml").write_bytes(b"\xef\xbb\xbf[masternode]\nport = 8000\n")
    code, _, err = call("config", "check", "--env", str(mine))
    assert code == 1
    assert "concurrence.toml:1: the file begins with a byte order mark" in err
    assert "UTF-8 without" in err


# --- folders that are none ---


@pytest.mark.parametrize(
    "words",
    [("env", "info", "file"), ("env", "check", "file"), ("env", "backup", "file"), ("env", "upgrade", "file")],
    ids=" ".join,
)
def test_a_file_in_place_of_a_folder_is_not_said_to_be_missing(folder: Path, words: tuple[str, ...]) -> None:
    (folder / "file").touch()
    code, _, err = call(*words)
    assert code == 2
    assert f"error: {folder / 'file'} is not a folder" in err
    code, _, err = call("--env", "file", "apps")
    assert (code, "is not a folder" in err) == (2, True)


def test_a_folder_inside_a_file_cannot_be_made(folder: Path) -> None:
    (folder / "file").touch()
    code, _, err = call("env", "create", "file/x")
    assert code == 2
    assert "Not a directory" in err


@pytest.mark.parametrize(("archive", "reason"), [("nope", "No such file"), (".", "Is a directory")])
def test_a_backup_that_cannot_be_read_is_not_blamed_on_the_disk(folder: Path, archive: str, reason: str) -> None:
    code, _, err = call("env", "restore", archive, "new")
    assert code == 2
    assert reason in err
    assert "disk" not in err
    assert not (folder / "new").exists()


# --- one form for all ---


@pytest.mark.parametrize("group", ["env", "config", "plugin"])
def test_a_group_alone_shows_its_help_as_the_root_does(group: str) -> None:
    code, out, err = call(group)
    assert (code, err) == (0, "")
    assert f"Usage: concurrence {group}" in out


@pytest.mark.parametrize(
    "words",
    [
        ("config", "check"),
        ("config", "set", "masternode.port", "1"),
        ("config", "doc", "masternode"),
        ("components",),
        ("--help",),
    ],
    ids=" ".join,
)
def test_a_broken_plug_in_is_told_of_in_the_same_words_everywhere(
    mine: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    (mine / "plugins" / "lossy.py").write_text(LOSSES, encoding="utf-8")
    monkeypatch.chdir(mine)
    code, _, err = call(*words)
    assert code == 0
    assert err.splitlines() == [
        "note: plug-in lossy is broken and left out: ValueError: the first line; see: concurrence plugin list"
    ]


@pytest.mark.parametrize("command", [("status",), ("call", "ping")], ids=" ".join)
def test_whoever_only_asks_a_master_is_not_shown_tracebacks(mine: Path, command: tuple[str, ...]) -> None:
    (mine / "plugins" / "lossy.py").write_text(LOSSES, encoding="utf-8")
    code, _, err = call(*command, "--env", str(mine))
    first, second, *_ = err.splitlines()
    assert code == 2
    assert first.startswith("note: plug-in lossy is broken and left out: ValueError: the first line; see:")
    assert second.startswith("error: no master has run in")


def test_the_json_of_broken_plug_ins_has_the_first_line_too(mine: Path) -> None:
    (mine / "plugins" / "lossy.py").write_text(LOSSES, encoding="utf-8")
    _, out, _ = call("plugin", "list", "--json", "--env", str(mine))
    errors = [plugin["error"] for plugin in json.loads(out)["plugins"] if plugin["error"]]
    assert [error["reason"] for error in errors] == ["ValueError: the first line"]


def test_one_value_as_json(mine: Path) -> None:
    code, out, _ = call("config", "get", "masternode.port", "--json", "--env", str(mine))
    assert (code, json.loads(out)) == (0, 7700)
    code, out, _ = call("config", "get", "masternode.port", "--json", "--origin", "--env", str(mine))
    told = json.loads(out)
    assert (code, told["value"], told["origin"]) == (0, 7700, "default")


def test_a_check_as_json(mine: Path) -> None:
    code, out, _ = call("config", "check", "--json", "--env", str(mine))
    assert (code, json.loads(out)) == (0, {"ok": True, "errors": []})
    (mine / "concurrence.toml").write_text("[masternode]\nprt = 1\n", encoding="utf-8")
    code, out, err = call("config", "check", "--json", "--env", str(mine))
    told = json.loads(out)
    assert (code, told["ok"], err) == (1, False, "")
    assert told["errors"][0]["source"].endswith("concurrence.toml")
    assert told["errors"][0]["line"] == 2
    assert "masternode" in told["errors"][0]["message"]


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (("plugin", "new", "strtegy", "near"), "strategy"),
        (("plugin", "test", "prims"), "primes"),
        (("components", "MasterNod"), "MasterNode"),
        (("config", "get", "masternode.prt"), "masternode.port"),
        (("run", "Helo"), "Hello"),
    ],
    ids=["a kind", "a plug-in", "a component", "an option", "an application"],
)
def test_a_wrong_word_leads_to_the_nearest_right_one(
    mine: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], guess: str
) -> None:
    (mine / "plugins" / "primes.py").touch()
    monkeypatch.chdir(mine)
    code, _, err = call(*words)
    assert code == 2
    assert f"Did you mean {guess}?" in err


def test_a_new_plug_in_outside_of_an_environment_may_be_a_package(folder: Path) -> None:
    code, _, err = call("plugin", "new", "app", "primes")
    assert code == 2
    assert "--package" in err


def test_a_new_package_that_cannot_be_written_leaves_nothing(folder: Path) -> None:
    place = folder / "concurrence-primes"
    place.mkdir()
    (place / "src").touch()  # a file where the skeleton needs a folder
    code, _, err = call("plugin", "new", "app", "primes", "--package")
    assert code == 2
    assert "cannot be written" in err
    assert sorted(path.name for path in place.iterdir()) == ["src"]


def test_a_diagram_replaces_a_file_as_a_whole(mine: Path, folder: Path) -> None:
    target = folder / "links.svg"
    target.write_text("before", encoding="utf-8")
    before = target.stat().st_ino
    assert call("components", "--graph", str(target), "--env", str(mine))[0] == 0
    assert target.stat().st_ino != before
    assert target.read_text(encoding="utf-8").startswith("<svg")
