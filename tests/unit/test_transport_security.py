"""Keys, roles and the files that keep them."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concurrence.errors import ConfigError, UsageError
from concurrence.transport.security import (
    AUTHORIZED_FILE,
    MASTER_FILE,
    Credentials,
    KeyPair,
    KeyRing,
    Role,
    new_key_pair,
    read_connect_file,
    write_connect_file,
)


def made_credentials(role: Role = Role.SLAVE, address: str = "tcp://127.0.0.1:5555") -> Credentials:
    return Credentials(address, new_key_pair().public, role, new_key_pair())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestKeyPair:
    def test_is_z85_text(self) -> None:
        keys = new_key_pair()
        assert len(keys.public) == len(keys.secret) == 40
        assert keys != new_key_pair()

    def test_repr_hides_the_secret(self) -> None:
        credentials = made_credentials()
        assert credentials.keys.secret not in repr(credentials)
        assert credentials.keys.public in repr(credentials)
        assert KeyRing(credentials.keys).keys.secret not in repr(KeyRing(credentials.keys))


class TestKeyRing:
    def test_knows_roles(self) -> None:
        ring, public = KeyRing.create(), new_key_pair().public
        assert ring.role_of(public) is None
        ring.authorize(public, Role.CLIENT)
        assert ring.role_of(public) is Role.CLIENT
        assert ring.authorized() == {public: Role.CLIENT}
        ring.revoke(public)
        assert ring.role_of(public) is None

    def test_revision_grows_when_a_role_is_lost(self) -> None:
        ring, public = KeyRing.create(), new_key_pair().public
        ring.revoke(public)
        ring.authorize(public, Role.CLIENT)
        ring.authorize(public, Role.CLIENT)
        assert ring.revision == 0
        ring.authorize(public, Role.SLAVE)
        assert ring.revision == 1
        ring.revoke(public)
        assert ring.revision == 2

    def test_saves_and_loads(self, tmp_path: Path) -> None:
        folder = tmp_path / "environment" / "keys"
        ring = KeyRing.create()
        for role in Role:
            ring.authorize(new_key_pair().public, role)
        ring.save(folder)
        loaded = KeyRing.load(folder)
        assert loaded.keys == ring.keys
        assert loaded.authorized() == ring.authorized()

    def test_files_are_private_and_whole(self, tmp_path: Path) -> None:
        folder = tmp_path / "keys"
        folder.mkdir(mode=0o755)
        KeyRing.create().save(folder)
        assert mode(folder) == 0o700
        assert sorted(path.name for path in folder.iterdir()) == [AUTHORIZED_FILE, MASTER_FILE]
        assert {mode(path) for path in folder.iterdir()} == {0o600}

    def test_saving_again_keeps_the_key_and_changes_the_roles(self, tmp_path: Path) -> None:
        ring, public = KeyRing.create(), new_key_pair().public
        ring.save(tmp_path)
        before = (tmp_path / MASTER_FILE).read_bytes()
        ring.authorize(public, Role.SLAVE)
        ring.save(tmp_path)
        assert KeyRing.load(tmp_path).role_of(public) is Role.SLAVE
        ring.revoke(public)
        ring.save(tmp_path)
        assert KeyRing.load(tmp_path).role_of(public) is None
        assert (tmp_path / MASTER_FILE).read_bytes() == before

    def test_never_overwrites_another_masters_key(self, tmp_path: Path) -> None:
        ring = KeyRing.create()
        ring.save(tmp_path)
        with pytest.raises(UsageError, match="another master's key"):
            KeyRing.create().save(tmp_path)
        assert KeyRing.load(tmp_path).keys == ring.keys

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="there is no file"):
            KeyRing.load(tmp_path / "nowhere")

    @pytest.mark.parametrize("name", [MASTER_FILE, AUTHORIZED_FILE])
    @pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o644])
    def test_refuses_files_that_others_can_touch(self, tmp_path: Path, name: str, bits: int) -> None:
        KeyRing.create().save(tmp_path)
        (tmp_path / name).chmod(bits)
        with pytest.raises(UsageError, match=f"mode {bits:04o}") as caught:
            KeyRing.load(tmp_path)
        assert f"chmod 600 {tmp_path / name}" in caught.value.hint

    def test_keys_that_do_not_belong_together(self, tmp_path: Path) -> None:
        ring = KeyRing(KeyPair(new_key_pair().public, new_key_pair().secret))
        ring.save(tmp_path)
        with pytest.raises(ConfigError, match="do not belong together"):
            KeyRing.load(tmp_path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("keys = 3", "must be a table"),
            ('[keys]\n"short" = "slave"', "40 characters in Z85"),
            (f'[keys]\n"{"x" * 40}" = "slav"', "no role 'slav'"),
            (f'[keys]\n"{"x" * 40}" = 7', "no role 7"),
        ],
    )
    def test_malformed_roles(self, tmp_path: Path, text: str, message: str) -> None:
        KeyRing.create().save(tmp_path)
        (tmp_path / AUTHORIZED_FILE).write_text(text)
        with pytest.raises(ConfigError, match=message) as caught:
            KeyRing.load(tmp_path)
        assert caught.value.source == str(tmp_path / AUTHORIZED_FILE)

    def test_names_the_nearest_role(self, tmp_path: Path) -> None:
        KeyRing.create().save(tmp_path)
        (tmp_path / AUTHORIZED_FILE).write_text(f'[keys]\n"{"x" * 40}" = "slav"')
        with pytest.raises(ConfigError) as caught:
            KeyRing.load(tmp_path)
        assert "Did you mean slave?" in caught.value.hint


class TestConnectFile:
    @pytest.mark.parametrize("role", list(Role))
    def test_round_trip(self, tmp_path: Path, role: Role) -> None:
        credentials = made_credentials(role)
        path = tmp_path / "connect.toml"
        write_connect_file(path, credentials)
        assert read_connect_file(path) == credentials
        assert mode(path) == 0o600
        assert path.read_text().startswith("# Connect file")
        assert "keep it secret" in path.read_text()

    @given(address=st.text(st.characters(exclude_categories=["Cs"])))
    def test_any_text_survives(self, tmp_path_factory: pytest.TempPathFactory, address: str) -> None:
        path = tmp_path_factory.mktemp("connect") / "connect.toml"
        credentials = made_credentials(address=address)
        write_connect_file(path, credentials)
        assert read_connect_file(path) == credentials

    def test_replaces_an_older_file_and_its_mode(self, tmp_path: Path) -> None:
        path = tmp_path / "connect.toml"
        path.write_text("old")
        path.chmod(0o644)
        write_connect_file(path, made_credentials())
        assert mode(path) == 0o600
        assert list(tmp_path.iterdir()) == [path]

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="there is no file") as caught:
            read_connect_file(tmp_path / "connect.toml")
        assert caught.value.hint

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
            read_connect_file(tmp_path)

    def test_readable_by_others(self, tmp_path: Path) -> None:
        path = tmp_path / "a connect file.toml"
        write_connect_file(path, made_credentials())
        path.chmod(0o640)
        with pytest.raises(UsageError, match="mode 0640") as caught:
            read_connect_file(path)
        assert f"chmod 600 '{path}'" in caught.value.hint

    @pytest.mark.parametrize("name", ["address", "server_key", "role", "public", "secret"])
    def test_missing_key(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / "connect.toml"
        write_connect_file(path, made_credentials())
        path.write_text(re.sub(f"(?m)^{name} = .*$", "", path.read_text()))
        with pytest.raises(ConfigError, match=f"'{name}' is missing"):
            read_connect_file(path)

    @pytest.mark.parametrize("name", ["server_key", "public", "secret"])
    @pytest.mark.parametrize("value", ["", "short", "~" * 40, "#" * 40, "ä" * 40, "a" * 45])
    def test_wrong_key_is_not_repeated(self, tmp_path: Path, name: str, value: str) -> None:
        path = tmp_path / "connect.toml"
        write_connect_file(path, made_credentials())
        path.write_text(re.sub(f"(?m)^{name} = .*$", f'{name} = "{value}"', path.read_text()))
        with pytest.raises(ConfigError, match=f"{name}: expected a key") as caught:
            read_connect_file(path)
        assert not value or value not in str(caught.value).replace(str(path), "")

    def test_wrong_type(self, tmp_path: Path) -> None:
        path = tmp_path / "connect.toml"
        write_connect_file(path, made_credentials())
        path.write_text(re.sub("(?m)^address = .*$", "address = 5", path.read_text()))
        with pytest.raises(ConfigError, match="address: expected a string, found 5"):
            read_connect_file(path)

    @pytest.mark.parametrize("content", [b"address = ", b"\xff\xfe", b"[["])
    def test_malformed(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "connect.toml"
        path.touch(mode=0o600)
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="not a TOML file"):
            read_connect_file(path)
