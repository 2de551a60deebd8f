"""An application's own options as words of ``concurrence run APP``: read, guessed, explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from concurrence.cli.app_words import app_options, read_words
from concurrence.cli.main import app
from concurrence.cli.run import own_words
from concurrence.env.environment import Environment
from concurrence.env.options import BoolOption, ChoiceOption, FloatOption, IntOption, ListOption, StrOption
from concurrence.errors import ConfigError, UsageError
from concurrence.nodes.api import IApp
from concurrence.nodes.application import ApplicationNode

FILE = """
import sys
from concurrence import BoolOption, ChoiceOption, Component, IApp, IntOption, StrOption

class Film(Component, IApp):
    '''Shows [bold] films.'''

    rate = IntOption("film", "frame_rate", 24, "Pictures a second.", min=1, max=60, aliases=("fps",))
    title = StrOption("film", "title", "", "What it is called.")
    loud = BoolOption("film", "loud", False, "Whether it is loud.")
    mode = ChoiceOption("film", "mode", ("grey", "colour"), "grey", "How it looks.")
    workers = IntOption("film", "workers", 3, "How many people are in it.")

    def app_init(self): ...

    def app_main(self):
        print(self.rate, repr(self.title), self.loud, self.mode, self.workers)
        return 0
"""


class Film(ApplicationNode):
    rate = IntOption("film", "frame_rate", 24, "Pictures a second.", min=1, max=60, aliases=("fps",))
    gain = FloatOption("film", "gain", 1.0, "How loud.")
    loud = BoolOption("film", "loud", False, "Whether it is loud.")
    mode = ChoiceOption("film", "mode", ("grey", "colour"), "grey", "How it looks.", aliases=("look",))
    cast = ListOption("film", "cast", (), "Who is in it.")
    title = StrOption("film", "title", "", "What it is called.")
    other = StrOption("sound", "title", "", "What the music is called.")


def read(*words: str) -> dict[str, object]:
    layer = read_words(words, Film, "film.py", ["--workers"])
    return {f"{section}.{name}": value.raw for (section, name), value in layer.items()}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--frame-rate", "8"), {"film.frame_rate": "8"}),
        (("--frame_rate=8",), {"film.frame_rate": "8"}),
        (("--fps", "8", "--look", "colour"), {"film.frame_rate": "8", "film.mode": "colour"}),
        (("--gain", "-0.5"), {"film.gain": "-0.5"}),
        (("--loud",), {"film.loud": "true"}),
        (("--loud", "no", "--gain", "2"), {"film.loud": "no", "film.gain": "2"}),
        (("--loud", "--gain", "2"), {"film.loud": "true", "film.gain": "2"}),
        (("--cast", "Ada,Bob"), {"film.cast": "Ada,Bob"}),
        (("--fps", "1", "--frame-rate", "2"), {"film.frame_rate": "2"}),
    ],
)
def test_words_set_options(words: tuple[str, ...], expected: dict[str, object]) -> None:
    assert read(*words) == expected


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (
            ("--frame-rat", "8"),
            ("Film has no option --frame-rat", "mean --frame-rate?", "run film.py --help"),
        ),
        (("--worker", "8"), ("Did you mean --workers?",)),
        (("--zzz",), ("has no option --zzz", "List the options of Film")),
        (("8",), ("unexpected word '8'",)),
        (("--gain",), ("--gain lacks its value", "a number")),
        (("--gain", "--loud"), ("--gain lacks its value",)),
        (("--title", "Dune"), ("--title is not clear", "film.title=VALUE or --set sound.title=VALUE")),
        (("--max-depth", "3"), ("has no option --max-depth",)),
    ],
)
def test_wrong_words_are_told_with_what_to_do(words: tuple[str, ...], texts: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        read(*words)
    assert all(text in str(caught.value) for text in texts), str(caught.value)


def test_only_the_applications_own_options_are_words() -> None:
    assert "--fps" in app_options(Film)
    assert not {"--master", "--detach", "--transport"} & app_options(Film).keys()


def test_a_word_goes_before_set_and_names_itself_when_it_is_wrong() -> None:
    with Environment.ephemeral(overrides=["film.frame_rate=4"], plugins=False) as environment:
        environment.register(Film)
        environment.override(read_words(["--fps", "8"], Film, "film", []))
        assert environment.component(Film).rate == 8
        assert environment.overrides == ("film.frame_rate=4", "film.frame_rate=8")
        environment.reload()
        assert environment.component(Film).rate == 8
        environment.override(read_words(["--fps", "80"], Film, "film", []))
        with pytest.raises(ConfigError, match="--fps: expected an integer from 1 to 60"):
            environment.check()


# --- the whole command line ---


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.py").write_text(FILE)
    return tmp_path


def call(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stdout, result.stderr


def test_a_run_takes_them_among_its_own() -> None:
    words = ("--fps", "8", "--quiet", "--title", "a b", "--loud", "--set", "film.workers=5")
    assert call("run", "film.py", *words) == (0, "8 'a b' True grey 5\n", "")


def test_behind_two_dashes_even_the_names_of_run_are_the_applications() -> None:
    assert call("run", "film.py", "--", "--workers", "9") == (0, "24 '' False grey 9\n", "")
    code, _, err = call("run", "film.py", "--workers", "9", "--title=x")
    assert code == 2
    assert "is no client of a swarm, and --workers means nothing to it" in err


def test_an_own_option_that_run_takes_for_itself_is_told_at_once() -> None:
    _, _, err = call("run", "film.py", "--workers", "9")
    assert "note: --workers is an option of every run, and was taken as that." in err
    assert "Film has one of this name too: --set film.workers=VALUE, or behind two dashes: -- --workers" in err
    # Who says which one is meant need not be told, nor who says none of that name.
    for words in (("--", "--workers", "9"), ("--set", "film.workers=9"), ("--fps", "9"), ("--quiet",)):
        assert call("run", "film.py", *words)[::2] == (0, ""), words
    assert "note:" not in call("run", "film.py", "--workers", "2", "--", "--workers", "9")[2]


def test_no_sample_has_an_option_that_run_would_take_for_itself() -> None:
    with Environment.ephemeral() as environment:
        apps = [cls for cls in environment.implementation_classes(IApp) if "samples" in cls.__module__]
        assert len(apps) >= 9
        root: Any = typer.main.get_command(app)
        taken = set(own_words(root.get_command(typer.Context(root), "run")))
        assert {"--report", "--workers", "--set", "--env"} <= taken
        shadowed = {f"{cls.__name__} {word}" for cls in apps for word in app_options(cls).keys() & taken}
    assert shadowed == set()


def test_its_help_lists_them_with_text_default_and_bounds() -> None:
    code, out, _ = call("run", "film.py", "--help")
    assert code == 0
    text = " ".join(word for word in out.split() if word not in "│╭╮╰╯")
    assert "Usage: concurrence run film.py" in text
    assert "Shows [bold] films." in text
    assert "--frame-rate,--fps" in text
    assert "Pictures a second. An integer from 1 to 60. [default: 24]" in text
    assert 'How it looks. One of "grey", "colour". [default: grey]' in text
    assert "Also: --set film.workers=VALUE. How many people are in it." in text
    assert "--workers and --master: concurrence run --help" in text
    assert call("run", "film.py", "-h")[1] == out


def test_the_help_of_what_is_not_there_says_so() -> None:
    code, out, err = call("run", "no-such-app", "--help")
    assert (code, out) == (2, "")
    assert "no application is called 'no-such-app'" in err


def test_an_unknown_option_before_the_application() -> None:
    code, _, err = call("run", "--detatch", "film.py")
    assert code == 2
    assert "Did you mean --detach?" in err
