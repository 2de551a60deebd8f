"""What is named in place of a connect file: the error says what it is, and which file is the right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from concurrence.errors import UsageError
from concurrence.transport.security import (
    Credentials,
    KeyRing,
    Role,
    new_key_pair,
    read_connect_file,
    write_connect_file,
)


@pytest.fixture
def swarm(tmp_path: Path) -> Path:
    """An environment in which a master has run."""
    folder = tmp_path / "swarm"
    (folder / "connect").mkdir(parents=True)
    ring = KeyRing.create()
    ring.authorize(new_key_pair().public, Role.CLIENT)
    ring.save(folder / "keys")
    for role in (Role.CLIENT, Role.SLAVE, Role.ADMIN):
        credentials = Credentials("tcp://127.0.0.1:5555", new_key_pair().public, role, new_key_pair())
        write_connect_file(folder / "connect" / f"{role}.toml", credentials)
    (folder / "concurrence.toml").write_text("[node]\nstats = true\n")
    return folder


@pytest.mark.parametrize("role", [Role.CLIENT, Role.SLAVE, Role.ADMIN])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "is a folder"),
        ("connect", "is a folder"),
        ("concurrence.toml", "is a config file"),
        ("keys/master.toml", "holds the master's own keys"),
        ("keys/authorized.toml", "lists the keys that may connect to a master"),
    ],
)
def test_other_parts_of_an_environment(swarm: Path, name: str, text: str, role: Role) -> None:
    with pytest.raises(UsageError) as caught:
        read_connect_file(swarm / name, role)
    assert caught.value.message == f"{swarm / name} is not a connect file: it {text}"
    assert caught.value.hint == f"Use {swarm / 'connect' / role}.toml"


def test_an_empty_config_file_is_told_by_its_name(swarm: Path) -> None:
    (swarm / "concurrence.toml").write_text("")
    with pytest.raises(UsageError, match="is a config file"):
        read_connect_file(swarm / "concurrence.toml")


def test_before_a_master_has_run(swarm: Path) -> None:
    (swarm / "connect" / "client.toml").unlink()
    with pytest.raises(UsageError) as caught:
        read_connect_file(swarm)
    assert f"concurrence master --env {swarm} makes {swarm / 'connect/client.toml'}" in caught.value.hint


def test_any_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder") as caught:
        read_connect_file(tmp_path)
    assert "connect/client.toml" in caught.value.hint


@pytest.mark.parametrize("given", ["host:5555", "tcp://127.0.0.1:5555", "[::1]:80"])
def test_an_address(tmp_path: Path, given: str) -> None:
    with pytest.raises(UsageError, match="is an address; a connect file is needed") as caught:
        read_connect_file(tmp_path / given)
    assert "PATH/connect/client.toml" in caught.value.hint


def test_a_connect_file_that_others_can_read_is_still_a_connect_file(swarm: Path) -> None:
    path = swarm / "connect" / "client.toml"
    path.chmod(0o644)
    with pytest.raises(UsageError, match="mode 0644"):
        read_connect_file(path)
