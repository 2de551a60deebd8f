"""A variable that was meant to be config, and is none for want of an underscore."""

from __future__ import annotations

from pathlib import Path

import pytest

from concurrence.env.config_sources import read_sources
from concurrence.env.config_values import config_errors
from concurrence.env.env_check import check_opened
from concurrence.env.environment import Environment
from concurrence.errors import ConfigError

ENVIRON = {"CONCURRENCE_MASTERNODE_PORT": "1", "CONCURRENCE_HOME": "/", "CONCURRENCE_NODE__NAME": "x", "PORT": "2"}
TEXT = "environment variable CONCURRENCE_MASTERNODE_PORT: it sets nothing"
HINT = "Did you mean CONCURRENCE_MASTERNODE__PORT?"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Environment.create(tmp_path / "env").close()
    return tmp_path / "env"


def test_it_is_told_with_the_right_name_by_whatever_checks(path: Path) -> None:
    with Environment.open(path, environ=ENVIRON) as environment:
        with pytest.raises(ConfigError) as caught:
            environment.check()
        errors = config_errors(environment, read_sources(path / "concurrence.toml", environ=ENVIRON))
        (finding,) = check_opened(environment)
    assert [(error.message, error.hint) for error in (caught.value, *errors)] == [(TEXT, HINT)] * 2
    assert (finding.where, finding.cure) == ("environment variable CONCURRENCE_MASTERNODE_PORT", HINT)


def test_what_is_no_option_is_somebody_elses(path: Path) -> None:
    others = {name: text for name, text in ENVIRON.items() if "_PORT" not in name}
    with Environment.open(path, environ=others) as environment:
        environment.check()
        assert list(check_opened(environment)) == []
