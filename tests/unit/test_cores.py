"""How many workers a slave has by default: what its process is bound to, and the quota of its container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from concurrence.component import ComponentManager
from concurrence.workers.cores import cores_within
from concurrence.workers.generic import GenericTaskManager


def bind(monkeypatch: pytest.MonkeyPatch, *processors: int) -> None:
    """This process may run on these only."""

    def affinity(_: int) -> set[int]:
        return set(processors)

    monkeypatch.setattr(os, "sched_getaffinity", affinity, raising=False)


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process may run on eight processors."""
    bind(monkeypatch, *range(8))


def told(folder: Path, groups: str, files: dict[str, str]) -> int:
    """What is available where the system tells this of its control groups."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cores_within(folder / "proc", folder / "cgroup")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("1600000 100000", 8),
        ("max 100000", 8),
        ("0 100000", 1),
        ("100000", 8),
        ("100000 0", 8),
        ("many few", 8),
    ],
)
def test_a_quota_of_version_2(tmp_path: Path, quota: str, expected: int) -> None:
    assert told(tmp_path, "0::/\n", {"cpu.max": f"{quota}\n"}) == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("300000\n", 3), ("350000\n", 4), ("10000\n", 1), ("-1\n", 8), ("9900000\n", 8)]
)
def test_a_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    files = {"cpu/docker/1f/cpu.cfs_quota_us": quota, "cpu/docker/1f/cpu.cfs_period_us": "100000\n"}
    assert told(tmp_path, "5:memory:/\n4:cpu,cpuacct:/docker/1f\n0::/\n", files) == expected


def test_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}
    assert told(tmp_path, "4:cpu,cpuacct:/docker/1f\n", files) == 2


def test_the_least_quota_of_all_groups_around_it_counts(tmp_path: Path) -> None:
    files = {
        "system.slice/cpu.max": "200000 100000",
        "system.slice/a.service/cpu.max": "500000 100000",
        "system.slice/a.service/inner/cpu.max": "max 100000",
        "other.slice/cpu.max": "100000 100000",
    }
    assert told(tmp_path, "0::/system.slice/a.service/inner\n", files) == 2


def test_the_quotas_of_other_controllers_are_none_of_it(tmp_path: Path) -> None:
    files = {"cpuset/cpu.cfs_quota_us": "100000", "cpuset/cpu.cfs_period_us": "100000"}
    assert told(tmp_path, "3:cpuset:/\n", files) == 8


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert cores_within(tmp_path / "proc", tmp_path / "cgroup") == 8


def test_fewer_processors_than_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bind(monkeypatch, 3)
    assert told(tmp_path, "0::/\n", {"cpu.max": "400000 100000"}) == 1


def test_that_is_how_many_workers_a_slave_has_unless_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concurrence.workers.generic.available_cores", lambda: 5)
    assert GenericTaskManager(ComponentManager()).workers == 5
