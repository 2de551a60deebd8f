"""Upgrades: step by step, each of them complete or to be repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from concurrence.env.environment import Environment
from concurrence.env.layout import LAYOUT, STAMP_VERSION, stamp_version
from concurrence.env.upgrades import UPGRADES, Upgrade, upgrade_folder
from concurrence.errors import EnvironmentInvalid


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """An environment as version 1 made it."""
    path = tmp_path / "old"
    for name in ("plugins", "state", "keys", "connect"):
        (path / name).mkdir(mode=0o700, parents=True)
    (path / "concurrence.toml").write_text('[project]\napp = "hello"\n')
    (path / "VERSION").write_text("concurrence environment 1\n")
    return path


def test_there_is_a_step_from_every_older_layout() -> None:
    assert sorted(UPGRADES) == list(range(1, STAMP_VERSION))


def test_an_environment_of_version_1_opens_after_its_upgrade(old: Path) -> None:
    with pytest.raises(EnvironmentInvalid, match="older version"):
        Environment.open(old)
    assert [version for version, _ in upgrade_folder(old)] == [2]
    with Environment.open(old) as environment:
        assert environment.app_name == "hello"
    assert all((old / entry.name).exists() for entry in LAYOUT)
    assert sorted(place.name for place in old.iterdir()) == sorted(entry.name for entry in LAYOUT)


def test_it_can_be_repeated(old: Path) -> None:
    upgrade_folder(old)
    before = {place: place.stat().st_mtime_ns for place in old.iterdir()}
    assert upgrade_folder(old) == []
    assert {place: place.stat().st_mtime_ns for place in old.iterdir()} == before


def test_a_readme_of_ones_own_stays(old: Path) -> None:
    (old / "README.txt").write_text("mine")
    upgrade_folder(old)
    assert (old / "README.txt").read_text() == "mine"


def test_an_interrupted_upgrade_goes_on_where_it_was(old: Path) -> None:
    calls: list[str] = []

    def fails(folder: Path) -> None:
        calls.append(f"two in {folder.name}")
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    steps = {1: Upgrade("one", lambda _: calls.append("one")), 2: Upgrade("two", fails)}
    with pytest.raises(EnvironmentInvalid, match=r"to layout 3 failed: .* No space left") as caught:
        upgrade_folder(old, steps, latest=3)
    assert "still has the layout 2" in caught.value.hint
    assert stamp_version(old) == 2
    assert [version for version, _ in upgrade_folder(old, steps, latest=3)] == [3]
    assert calls == ["one", "two in old", "two in old"]
    assert stamp_version(old) == 3


def test_interrupted_before_the_stamp_it_is_the_old_layout(old: Path) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upgrade_folder(old, {1: Upgrade("", interrupted)}, latest=2)
    assert stamp_version(old) == 1
    assert [version for version, _ in upgrade_folder(old)] == [2]


def test_what_cannot_be_upgraded(old: Path, tmp_path: Path) -> None:
    (old / "VERSION").write_text("concurrence environment 0\n")
    with pytest.raises(EnvironmentInvalid, match="there is no upgrade"):
        upgrade_folder(old)
    (old / "VERSION").write_text("concurrence environment 9\n")
    with pytest.raises(EnvironmentInvalid, match="newer version"):
        upgrade_folder(old)
    (old / "VERSION").write_text("damaged")
    with pytest.raises(EnvironmentInvalid, match="missing or damaged"):
        upgrade_folder(old)
    with pytest.raises(EnvironmentInvalid, match="is not an environment"):
        upgrade_folder(tmp_path)
