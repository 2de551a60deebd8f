"""Watching config files: what counts as a change, when it is read, and what is said of it."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

from concurrence.env.config import Config, ConfigChanges
from concurrence.env.options import DurationOption, ListOption, Option, PathOption, StrOption
from concurrence.env.watching import ConfigWatch, FileWatch, tell_changes
from concurrence.errors import ConfigError

LOG = logging.getLogger("concurrence.test")


class TestFileWatch:
    def test_nothing_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("1")
        watch = FileWatch([path, tmp_path / "missing"])
        assert not watch.changed()
        assert not watch.changed()

    def test_a_change_is_told_once(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("1")
        watch = FileWatch([tmp_path / "missing", path])
        path.write_text("22")
        assert watch.changed()
        assert not watch.changed()

    def test_a_file_that_appears_goes_and_comes_again(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        watch = FileWatch([path])
        for change in (path.touch, path.unlink, path.touch):
            change()
            assert watch.changed()

    def test_another_file_of_the_same_size_and_time(self, tmp_path: Path) -> None:
        path, other = tmp_path / "a", tmp_path / "b"
        for file in (path, other):
            file.write_text("1")
            os.utime(file, (100, 100))
        watch = FileWatch([path])
        other.rename(path)
        assert watch.changed()

    def test_the_time_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("1")
        watch = FileWatch([path])
        os.utime(path, ns=(1, 1))
        assert watch.changed()


class Reader:
    """An environment with one file, which is wrong if it begins with a letter."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = LOG
        self.read: list[str] = []

    def watched_files(self) -> list[Path]:
        return [self.path]

    def reload(self, *, is_child: bool = False) -> ConfigChanges:
        text = self.path.read_text()
        self.read.append(text)
        if text[:1].isalpha():
            raise ConfigError(f"wrong: {text}")
        return ConfigChanges((("a", text),) if text else (), ())


class Story:
    def __init__(self, folder: Path, *, is_child: bool = False) -> None:
        self.reader = Reader(folder / "c.toml")
        self.reader.path.write_text("")
        self.adopted: list[ConfigChanges] = []
        self.watch = ConfigWatch(self.reader, self.adopted.append, is_child=is_child)
        self.size = 0

    def look(self, *texts: str | None) -> list[str]:
        """Look once for each text, which is written before; what was read."""
        self.reader.read.clear()
        for text in texts:
            if text is not None:
                self.size += 1
                self.reader.path.write_text(text)
                os.utime(self.reader.path, ns=(self.size, self.size))
            self.watch.look()
        return self.reader.read


class TestConfigWatch:
    def test_the_first_look_makes_up_for_what_was_missed(self, tmp_path: Path) -> None:
        assert Story(tmp_path).look(None, None, None) == [""]

    def test_a_change_is_read_when_it_has_come_to_rest(self, tmp_path: Path) -> None:
        story = Story(tmp_path)
        story.look(None)
        assert story.look("1") == []
        assert story.look(None, None) == ["1"]
        assert [changes.applied for changes in story.adopted] == [(("a", "1"),)]

    def test_a_file_that_is_being_written_is_left_alone(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        story = Story(tmp_path)
        story.look(None)
        assert story.look("", "half", "2", None) == ["2"]
        assert not caplog.records

    def test_a_file_that_never_rests_is_read_all_the_same(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        story = Story(tmp_path)
        read = story.look(*(str(number) for number in range(20)))
        assert 3 <= len(read) <= 5
        assert len(story.adopted) == len(read)
        story.look(*["half"] * 20)
        assert not caplog.records

    def test_what_is_wrong_is_said_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        story = Story(tmp_path)
        story.look("x", *[None] * 10)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert caplog.messages == ["the config is not adopted, and nothing of it changes: wrong: x"]
        story.look("x", None, None)  # touched, and as wrong as before
        assert len(caplog.messages) == 1
        story.look("y", None)
        assert len(caplog.messages) == 2
        story.look("1", None)
        assert [changes.applied for changes in story.adopted] == [(("a", "1"),)]
        story.look("y", None)  # it was right in between
        assert len(caplog.messages) == 3

    def test_who_asks_is_answered_at_once_and_each_time(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        story = Story(tmp_path)
        story.reader.path.write_text("x")
        story.watch.reload()
        story.watch.reload()
        assert len(caplog.messages) == 2
        story.reader.path.write_text("1")
        story.watch.reload()
        assert len(story.adopted) == 1
        assert story.look(None, None) == []

    def test_a_child_leaves_complaints_to_its_parent(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        story = Story(tmp_path, is_child=True)
        with caplog.at_level(logging.DEBUG, LOG.name):
            story.look("x", None)
        assert [record.levelname for record in caplog.records] == ["DEBUG"]


class TestTold:
    options: ClassVar[list[Option[Any]]] = [
        StrOption("a", "name", "nobody", "A name.", live=True),
        ListOption("a", "words", (), "Words.", live=True),
        DurationOption("a", "wait", 2.0, "A time."),
        PathOption("a", "color", None, "None by default."),
    ]

    def told(
        self, path: Path, text: str, caplog: pytest.LogCaptureFixture, *, is_child: bool = False
    ) -> list[tuple[str, str]]:
        config = Config.from_layers(files=[path], overrides=["b.x=1"])
        path.write_text(text)
        changes = config.reload(lambda _section, name: name in ("name", "words", "unknown"))
        with caplog.at_level(logging.DEBUG, LOG.name):
            tell_changes(LOG, changes, self.options, is_child=is_child)
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    def test_old_new_and_place(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "c.toml"
        path.write_text('[a]\nname = "me"\n')
        text = '[a]\nwords = ["x", "y"]\nwait = "3 s"\ncolor = "red"\nunknown = true\n'
        assert self.told(path, text, caplog) == [
            ("INFO", 'config changed: [a] name: "me" -> "nobody" (default)'),
            ("INFO", f'config changed: [a] words: [] -> ["x", "y"] ({path}:2)'),
            ("WARNING", f'config changed: [a] color: none -> "red" ({path}:4) takes effect after a restart'),
            ("WARNING", f'config changed: [a] wait: "2 s" -> "3 s" ({path}:3) takes effect after a restart'),
        ]

    def test_a_child_leaves_telling_to_its_parent(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "c.toml"
        path.write_text("")
        told = self.told(path, '[a]\nname = "me"\nwait = 3\n', caplog, is_child=True)
        assert [level for level, _ in told] == ["DEBUG", "DEBUG"]
