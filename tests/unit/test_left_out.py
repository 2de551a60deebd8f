"""What a config says of a plug-in that cannot be loaded: it must not keep the others from working."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from concurrence.env.environment import Environment
from concurrence.errors import ConfigError

BROKEN = "import a_module_that_nobody_has\n"
ITS_OWN = """
[lo_broken]
speed = 3
[components]
"lo_broken:Fast" = false
order = ["lo_broken:Slow", "concurrence.samples.hello:Hello"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Environment.create(tmp_path / "env").close()
    (tmp_path / "env" / "plugins" / "lo_broken.py").write_text(BROKEN)
    return tmp_path / "env"


def opened(folder: Path, text: str) -> Environment:
    (folder / "concurrence.toml").write_text(text)
    return Environment.open(folder, environ={})


def test_its_section_and_its_components_are_excused_and_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder, ITS_OWN) as environment, caplog.at_level(logging.WARNING):
        caplog.clear()
        environment.check()
        path = folder / "concurrence.toml"
        told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.partition(";")[0] for text in told] == [
        f"{path}:5: [components] lo_broken:Fast: there is no such component",
        f"{path}:6: [components] order: there is no such component: 'lo_broken:Slow'",
        f"{path}:3: unknown section [lo_broken] (key speed)",
    ]
    assert all("plug-in that is left out (lo_broken)" in text for text in told)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[masternode]\nprot = 1\n", "unknown key prot"),
        ("speed = 1\n", "speed stands outside any section"),
        ("[masternode]\njournal = 'Fast'\n", "no IJournal is called 'Fast'"),
        ("[components]\n'concurrence.samples.hello:Helo' = false\n", "there is no such component"),
        ("[components]\n'Fast' = false\n", "there is no such component"),
        ("[components]\n'lo_broken:Fast' = 'no'\n", "expected true or false"),
        ("[components]\norder = ['lo_broken:Fast', 'concurrence.samples.hello:Helo']\n", "Helo"),
    ],
)
def test_what_cannot_be_its_own_is_wrong_all_the_same(folder: Path, text: str, message: str) -> None:
    with opened(folder, text) as environment, pytest.raises(ConfigError, match=message):
        environment.check()


def test_nothing_is_excused_while_all_plug_ins_are_there(folder: Path) -> None:
    (folder / "plugins" / "lo_broken.py").write_text("")
    with opened(folder, ITS_OWN) as environment, pytest.raises(ConfigError, match="3 errors") as caught:
        environment.check()
    assert "unknown section [lo_broken]" in str(caught.value)


def test_a_running_node_adopts_changes_too(folder: Path) -> None:
    with opened(folder, ITS_OWN) as environment:
        (folder / "concurrence.toml").write_text(f'{ITS_OWN}\n[masternode]\nlease = "7 s"\n')
        assert environment.reload().applied == (("masternode", "lease"),)
