"""Backups: what goes in comes out, and nothing else gets out of an archive, wherever that comes from."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import socket
import stat
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from concurrence.env import backup as backup_module
from concurrence.env import restore as restore_module
from concurrence.env.backup import Backup, default_target, write_backup
from concurrence.env.environment import Environment
from concurrence.env.restore import restore_backup
from concurrence.errors import EnvironmentInvalid, UsageError
from concurrence.version import __version__

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMP = b"concurrence environment 2\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An environment with something in each folder."""
    folder = Environment.create(tmp_path / "env", app="hello").path
    (folder / "keys" / "master.toml").write_text("secret")
    (folder / "keys" / "master.toml").chmod(0o600)
    (folder / "connect" / "slave.toml").write_text("secret too")
    (folder / "connect" / "slave.toml").chmod(0o600)
    (folder / "plugins" / "package").mkdir()
    (folder / "plugins" / "package" / "__init__.py").write_text("x = 'ö'\n", "utf-8")
    (folder / "plugins" / "package" / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "plugins" / "package" / "tool.sh").chmod(0o775)
    (folder / "plugins" / "__pycache__").mkdir()
    (folder / "plugins" / "__pycache__" / "x.pyc").touch()
    (folder / "state" / "journal.db").write_bytes(bytes(range(256)) * 9000)
    (folder / "state" / "master.lock").write_text("process 1")
    (folder / "state" / ("ü" * 120)).touch()
    return folder


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(place.relative_to(folder)): (
            stat.S_IMODE(place.stat().st_mode),
            b"" if place.is_dir() else place.read_bytes(),
        )
        for place in folder.rglob("*")
    }


def written(path: Path, **options: Any) -> Backup:
    return write_backup(path, path.parent / "backup.tar.gz", now=NOW, **options)


def test_what_went_in_comes_out(path: Path, tmp_path: Path) -> None:
    before = tree(path)
    made = written(path)
    assert tree(path) == before
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    manifest = restore_backup(made.path, tmp_path / "new" / "env")
    assert manifest == made.manifest
    assert (manifest.layout, manifest.concurrence, manifest.has_keys) == (2, __version__, True)
    for name in ("plugins/__pycache__", "plugins/__pycache__/x.pyc", "state/master.lock"):
        del before[name]
    before["plugins/package/tool.sh"] = (0o755, b"#!/bin/sh\n")  # nobody else may write
    assert tree(tmp_path / "new" / "env") == before
    assert Environment.open(tmp_path / "new" / "env").app_name == "hello"
    assert sorted(place.name for place in tmp_path.iterdir()) == ["backup.tar.gz", "env", "new"]


def test_without_keys(path: Path, tmp_path: Path) -> None:
    made = written(path, keys=False)
    assert b"secret" not in gzip.decompress(made.path.read_bytes())
    assert restore_backup(made.path, tmp_path / "new").has_keys is False
    assert list((tmp_path / "new" / "keys").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "new" / "keys").stat().st_mode) == 0o700


def test_secrets_are_private_again_whatever_the_backup_says(path: Path, tmp_path: Path) -> None:
    (path / "keys").chmod(0o777)
    (path / "keys" / "master.toml").chmod(0o666)
    (path / "plugins").chmod(0o3777)
    restore_backup(written(path).path, tmp_path / "new")
    modes = {name: mode for name, (mode, _) in tree(tmp_path / "new").items()}
    assert (modes["keys"], modes["keys/master.toml"], modes["plugins"]) == (0o700, 0o600, 0o755)


def test_links_are_followed_and_what_is_no_file_is_left_out(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.py").write_text("a")
    (path / "plugins" / "linked").symlink_to(tmp_path / "elsewhere")
    (path / "plugins" / "b.py").symlink_to(tmp_path / "elsewhere" / "a.py")
    (path / "plugins" / "round").symlink_to(path)
    (path / "plugins" / "nowhere").symlink_to(tmp_path / "nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path / "state" / "socket"))
        made = written(path)
    assert [line.partition(":")[0] for line in made.left_out] == [
        "plugins/nowhere",
        "plugins/round",
        "state/socket",
    ]
    restore_backup(made.path, tmp_path / "new")
    assert (tmp_path / "new" / "plugins" / "linked" / "a.py").read_text() == "a"
    assert not (tmp_path / "new" / "plugins" / "b.py").is_symlink()


def test_an_older_environment_can_be_backed_up(path: Path, tmp_path: Path) -> None:
    (path / "VERSION").write_text("concurrence environment 1\n")
    assert restore_backup(written(path).path, tmp_path / "new").layout == 1


def test_nothing_is_overwritten_unless_asked(path: Path) -> None:
    target = path.parent / "backup.tar.gz"
    target.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        written(path)
    assert target.read_text() == "precious"
    written(path, replace=True)
    assert target.read_bytes()[:2] == b"\x1f\x8b"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("env/b.tar.gz", "lies in the environment"),
        ("nowhere/b.tar.gz", "there is no folder"),
        (".", "is a folder"),
    ],
)
def test_targets_that_cannot_be(path: Path, tmp_path: Path, target: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_backup(path, tmp_path / target, now=NOW)


def test_only_environments_are_backed_up(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentInvalid):
        write_backup(tmp_path, tmp_path.parent / "b.tar.gz", now=NOW)


def test_the_default_name_tells_what_and_when(path: Path) -> None:
    assert default_target(path, NOW) == path.parent / "env-backup-20260102T030405Z.tar.gz"


FULL_DISK = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path
from concurrence.env.backup import write_backup
from concurrence.env.restore import restore_backup
from concurrence.errors import UsageError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
what, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
try:
    write_backup(source, target, now=datetime.now(UTC)) if what == "write" else restore_backup(source, target)
except UsageError as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing(path: Path, tmp_path: Path) -> None:
    def on_full_disk(*words: str) -> str:
        command = [sys.executable, "-c", FULL_DISK, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "File too large" in on_full_disk("write", str(path), str(tmp_path / "b.tar.gz"))
    assert [place.name for place in tmp_path.iterdir()] == ["env"]
    archive = written(path).path
    assert "File too large" in on_full_disk("restore", str(archive), str(tmp_path / "deep" / "new"))
    assert sorted(place.name for place in tmp_path.iterdir()) == ["backup.tar.gz", "env"]


@pytest.mark.parametrize("is_there", [False, True])
def test_ctrl_c_leaves_nothing(
    path: Path, tmp_path: Path, is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, new = written(path).path, tmp_path / "new"
    if is_there:
        new.mkdir()
    calls: list[object] = []

    def interrupted(*arguments: Any) -> tuple[int, str]:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return backup_module.copy_hashed(*arguments)

    monkeypatch.setattr(restore_module, "copy_hashed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        restore_backup(archive, new)
    assert new.exists() is is_there
    assert not is_there or list(new.iterdir()) == []
    assert not list(tmp_path.glob(".*"))


def test_it_restores_into_an_empty_folder_but_into_no_other(path: Path, tmp_path: Path) -> None:
    archive, new = written(path).path, tmp_path / "new"
    new.mkdir(mode=0o711)
    node = new.stat().st_ino
    restore_backup(archive, new)
    assert (new.stat().st_ino, stat.S_IMODE(new.stat().st_mode)) == (node, 0o711)
    with pytest.raises(EnvironmentInvalid, match="is an environment already"):
        restore_backup(archive, new)
    with pytest.raises(EnvironmentInvalid, match="holds other things"):
        restore_backup(archive, tmp_path)


# --- archives that are damaged or forged ---


def manifest_of(files: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    entries = [
        {"path": name, "size": len(data), "mode": 0o644, "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    plain = {"format": 1, "layout": 2, "concurrence": "1", "time": "now", "has_keys": False, "master": ""}
    return {**plain, "folders": [], "files": entries, **changes}


def forged(target: Path, manifest: object, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    text = manifest if isinstance(manifest, bytes) else msgspec.json.encode(manifest)
    with tarfile.open(target, "w:gz") as archive:
        for member, data in ((tarfile.TarInfo("manifest.json"), text), *members):
            member.size = len(data) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(data))
    return target


def member(
    name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, data


VERSION = member("environment/VERSION", STAMP)


def of(manifest: object, *members: tuple[tarfile.TarInfo, bytes]) -> Callable[[Path], Path]:
    def forge(target: Path) -> Path:
        return forged(target, manifest, *members)

    return forge


def with_evil(name: str) -> Callable[[Path], Path]:
    manifest = manifest_of({"VERSION": STAMP, name: b"evil"})
    return of(manifest, VERSION, member(f"environment/{name}", b"evil"))


def of_kind(kind: bytes, link: str = "") -> Callable[[Path], Path]:
    manifest = manifest_of({"VERSION": STAMP, "x": b""})
    return of(manifest, VERSION, member("environment/x", b"", kind, link))


PLAIN = manifest_of({"VERSION": STAMP})


def oversized(target: Path) -> Path:
    return forged(target, PLAIN, member("environment/VERSION", b"0" * 20_000_000))


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (with_evil("../evil"), "outside of the environment"),
        (with_evil("/tmp/evil"), "outside of the environment"),
        (with_evil("a/../../evil"), "outside of the environment"),
        (with_evil("./evil"), "outside of the environment"),
        (with_evil(""), "outside of the environment"),
        (with_evil("no/folder"), "out of order"),
        (of_kind(tarfile.SYMTYPE, "/etc/passwd"), "is not the file that its manifest names"),
        (of_kind(tarfile.LNKTYPE, "environment/VERSION"), "is not the file that its manifest names"),
        (of_kind(tarfile.CHRTYPE), "is not the file that its manifest names"),
        (of_kind(tarfile.FIFOTYPE), "is not the file that its manifest names"),
        (of_kind(tarfile.DIRTYPE), "is not the file that its manifest names"),
        (of(PLAIN, member("environment/VERSION", b"x" * len(STAMP))), "was changed"),
        (of(PLAIN, VERSION, member("environment/more")), "does not name"),
        (of(PLAIN, member("../VERSION", STAMP)), "where its manifest has 'VERSION'"),
        (of(PLAIN), "ends before 'VERSION'"),
        (of(manifest_of({"x": b""}), member("environment/x")), "disagree"),
        (of({**PLAIN, "layout": 1}, VERSION), "disagree"),
        (of(b"{", VERSION), "cannot be read"),
        (of({**PLAIN, "files": 3}, VERSION), "cannot be read"),
        (of({**PLAIN, "files": PLAIN["files"] * 2}, VERSION, VERSION), "out of order"),
        (
            oversized,
            "not the file|more",
        ),
    ],
)
def test_forged_archives_are_refused_and_leave_nothing(
    tmp_path: Path, forge: Callable[[Path], Path], message: str
) -> None:
    archive = forge(tmp_path / "forged.tar.gz")
    with pytest.raises(UsageError, match=message):
        restore_backup(archive, tmp_path / "below" / "new")
    assert [place.name for place in tmp_path.iterdir()] == ["forged.tar.gz"]


def forged_header(target: Path, *, at: int, size: int) -> Path:
    """An archive one of whose members has a large header."""
    infos = [tarfile.TarInfo("manifest.json"), tarfile.TarInfo("environment/VERSION")]
    infos[at].pax_headers = {"comment": "0" * size}
    with tarfile.open(target, "w:gz") as archive:
        for info, data in zip(infos, (msgspec.json.encode(PLAIN), STAMP), strict=True):
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target


@pytest.mark.parametrize("at", [0, 1])
def test_a_bomb_in_a_header_is_not_unpacked(tmp_path: Path, at: int) -> None:
    archive = forged_header(tmp_path / "bomb.tar.gz", at=at, size=100_000)
    with pytest.raises(UsageError, match="unpacks to more than its manifest says"):
        restore_backup(archive, tmp_path / "new")
    restore_backup(forged_header(tmp_path / "fine.tar.gz", at=at, size=100), tmp_path / "new")


def test_what_follows_the_last_file_is_bounded_too(tmp_path: Path) -> None:
    archive = forged(tmp_path / "a.tar.gz", PLAIN, VERSION)
    archive.write_bytes(archive.read_bytes() + gzip.compress(bytes(1_000_000)))
    with pytest.raises(UsageError, match="unpacks to more than its manifest says"):
        restore_backup(archive, tmp_path / "new")


def test_an_environment_that_does_not_fit_is_refused_before_it_is_written(tmp_path: Path) -> None:
    huge = {**PLAIN["files"][0], "path": "huge", "size": 1 << 60}
    archive = forged(tmp_path / "a.tar.gz", {**PLAIN, "files": [huge]})
    with pytest.raises(UsageError, match="needs 1,152,921,504,606,846,976 bytes"):
        restore_backup(archive, tmp_path / "new")


@pytest.mark.parametrize("change", [{"layout": 3}, {"format": 2, "files": "of another form"}])
def test_a_newer_archive_is_refused_by_name(tmp_path: Path, change: dict[str, Any]) -> None:
    archive = forged(tmp_path / "newer.tar.gz", {**PLAIN, "concurrence": "9.8.7", **change}, VERSION)
    with pytest.raises(UsageError, match=r"newer version 9\.8\.7 of Concurrent"):
        restore_backup(archive, tmp_path / "new")


def unpacks_to(archive: bytes, content: bytes) -> bool:
    try:
        return gzip.decompress(archive) == content
    except (OSError, EOFError, zlib.error):
        return False


def test_every_damage_is_noticed(path: Path, tmp_path: Path) -> None:
    (path / "state" / "journal.db").write_bytes(b"short")
    whole = written(path).path.read_bytes()
    broken = tmp_path / "broken.tar.gz"
    for damaged in (b"", b"no archive", whole[:-1], whole[: len(whole) // 2], whole[:-8] + bytes(8)):
        broken.write_bytes(damaged)
        with pytest.raises(UsageError, match=r"broken\.tar\.gz"):
            restore_backup(broken, tmp_path / "new")
        assert not (tmp_path / "new").exists()
    for place in range(40, len(whole) - 8, max(1, len(whole) // 60)):
        damaged = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        if unpacks_to(damaged, gzip.decompress(whole)):
            continue  # it refers to another place where the same bytes are: nothing is lost
        broken.write_bytes(damaged)
        with pytest.raises(UsageError):
            restore_backup(broken, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.tar\.gz cannot be read: No such file"):
        restore_backup(tmp_path / "missing.tar.gz", tmp_path / "deep" / "new")
    assert list(tmp_path.iterdir()) == []
