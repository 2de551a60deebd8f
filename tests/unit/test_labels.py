"""The labels of slaves: what the config may say, and that a mistake is found before a slave starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from concurrence.env.environment import Environment
from concurrence.errors import ConfigError
from concurrence.nodes.labels import parse_labels, parse_weights
from concurrence.nodes.slave import SlaveNode


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with Environment.create(tmp_path / "env") as environment:
        yield environment.path


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), {}),
        (("gpu=2", "camera"), {"gpu": 2.0, "camera": 1.0}),
        ((" scratch = 0.5 ", "off=0"), {"scratch": 0.5, "off": 0.0}),
    ],
)
def test_labels_have_an_amount_or_are_there_once(texts: tuple[str, ...], expected: dict[str, float]) -> None:
    assert parse_labels(texts) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gpu=x", "the amount of 'gpu=x' is not a number from 0"),
        ("gpu=", "the amount of 'gpu=' is not a number"),
        ("gpu=nan", "is not a number from 0"),
        ("gpu=inf", "is not a number from 0"),
        ("gpu=-1", "is not a number from 0"),
        ("=1", "'=1' is not of the form name=amount"),
        ("[gpu=1]", "is not of the form name=amount"),
        ("cpu=64", "cpu is the number of workers; it is [taskmanager] workers"),
        ("gpu=1,gpu=2", "gpu is there twice"),
        (",".join(f"l{number}" for number in range(33)), "more than 32 are too many"),
    ],
)
def test_a_mistake_is_found_by_a_check_with_its_line(folder: Path, text: str, reason: str) -> None:
    listing = ", ".join(f'"{one}"' for one in text.split(","))
    (folder / "concurrence.toml").write_text(f"[slavenode]\nlabels = [{listing}]\n")
    with Environment.open(folder, environ={}) as environment, pytest.raises(ConfigError) as caught:
        environment.check()
    assert caught.value.message.startswith(
        f"{folder}/concurrence.toml:2: [slavenode] labels: expected a list of lab"
    )
    assert reason in caught.value.message
    assert caught.value.hint == 'For example: labels = ["gpu=1", "camera"]'


def test_a_list_may_be_written_as_in_a_file_wherever_it_is_text(folder: Path) -> None:
    for environ, overrides in (
        ({}, ['slavenode.labels=["gpu=1", "camera"]']),
        ({"CONCURRENCE_SLAVENODE__LABELS": " [ 'gpu=1',\n 'camera' ] "}, []),
        ({}, ["slavenode.labels=gpu=1, camera"]),
    ):
        with Environment.open(folder, environ=environ, overrides=overrides) as environment:
            environment.check()
            found = environment.config.get("slavenode", "labels")
            assert SlaveNode.labels.resolve(environment, found) == ("gpu=1", "camera")


def test_weights_are_names_with_numbers_in_bounds() -> None:
    assert parse_weights(("night=0.5", " a = b = 2 ")) == {"night": 0.5, "a = b": 2.0}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("night", "not of the form name=weight"),
        ("=2", "not of the form name=weight"),
        ("night=0", "not a number from 0.001 to 1000"),
        ("night=x", "the amount of 'night=x' is not a number"),
    ],
)
def test_what_is_no_weight_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_weights((text,))
