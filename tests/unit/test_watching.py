"""Who uses too much, and when to look again: on a machine made of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from concurrence.workers.groups import PAGE, Member, children, members, proportional, resident, uses_folder
from concurrence.workers.limits import WatchLimits
from concurrence.workers.machine import Machine, Memory
from concurrence.workers.watching import LONGEST, SHORTEST, Watch

MEBI = 1024 * 1024
GIBI = 1024 * MEBI


class FakeMachine:
    """A ``/proc`` and a clock."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.cgroups = folder / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self" / "statm").touch()
        self.cgroups.mkdir()
        self.now = 0.0
        self.has_memory(16 * GIBI, 16 * GIBI)

    def has_memory(self, total: int, available: int) -> None:
        text = f"MemTotal: {total // 1024} kB\nMemFree: 1 kB\nMemAvailable: {available // 1024} kB\n"
        (self.proc / "meminfo").write_text(text)

    def runs(self, pid: int, group: int, size: int, *, share: int | None = None, state: str = "R") -> None:
        folder = self.proc / str(pid)
        folder.mkdir(exist_ok=True)
        fields = [state, "1", str(group), *["0"] * 16, "500", "0", str(size // PAGE), "0"]
        (folder / "stat").write_text(f"{pid} (a (strange) name) {' '.join(fields)}\n")
        (folder / "statm").write_text(f"99999 {size // PAGE} 10 1 0 5 0\n")
        (folder / "smaps_rollup").write_text(f"0-1 ---p [rollup]\nRss: 1 kB\nPss: {(share or size) // 1024} kB\n")

    def watch(self, limits: WatchLimits) -> Watch:
        return Watch(limits, Machine(self.proc, self.cgroups), self.proc, lambda: self.now)


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_a_worker_within_its_limit_goes_on_and_is_looked_at_the_more_often_the_nearer_it_is(
    machine: FakeMachine,
) -> None:
    watch = machine.watch(WatchLimits(4 * GIBI))
    pauses: list[float] = []
    for size in (100 * MEBI, 3 * GIBI, 4 * GIBI - MEBI):
        machine.runs(10, 10, size)
        used, offences, pause = watch.look({1: 10})
        assert (used, offences) == ({1: size}, [])
        pauses.append(pause)
    assert pauses == sorted(pauses, reverse=True)
    assert LONGEST >= pauses[0] > pauses[1] > pauses[2] == SHORTEST


def test_what_its_tasks_started_counts_with_a_worker(machine: FakeMachine) -> None:
    machine.runs(10, 10, 50 * MEBI)
    machine.runs(11, 10, 80 * MEBI)
    machine.runs(20, 20, 50 * MEBI)
    machine.runs(12, 10, 80 * MEBI, state="Z")
    used, (offence,), _ = machine.watch(WatchLimits(100 * MEBI)).look({1: 10, 2: 20})
    assert used == {1: 130 * MEBI, 2: 50 * MEBI}
    assert (offence.worker, offence.used) == (1, 130 * MEBI)
    assert "136 MB, more than the 105 MB of [taskmanager] memory_limit" in offence.text


def test_what_processes_share_is_counted_once(machine: FakeMachine) -> None:
    machine.runs(10, 10, 80 * MEBI, share=45 * MEBI)
    machine.runs(11, 10, 80 * MEBI, share=45 * MEBI)
    used, offences, _ = machine.watch(WatchLimits(100 * MEBI)).look({1: 10})
    assert (used, offences) == ({1: 90 * MEBI}, [])


def test_when_memory_is_short_the_largest_goes_and_then_time_is_given(machine: FakeMachine) -> None:
    watch = machine.watch(WatchLimits(None))
    machine.runs(10, 10, 1 * GIBI)
    machine.runs(20, 20, 3 * GIBI)
    assert watch.look({1: 10, 2: 20})[1] == []
    machine.has_memory(16 * GIBI, GIBI // 2)
    (offence,) = watch.look({1: 10, 2: 20})[1]
    assert offence.worker == 2
    assert "only 537 MB of memory were left here" in offence.text
    assert watch.look({1: 10})[1] == [], "the memory of the other one comes back only now"
    machine.now += 1.0
    assert [each.worker for each in watch.look({1: 10})[1]] == [1]


def test_small_workers_do_not_pay_for_others(machine: FakeMachine) -> None:
    machine.has_memory(16 * GIBI, GIBI // 2)
    machine.runs(10, 10, 20 * MEBI)
    assert machine.watch(WatchLimits(None)).look({1: 10})[1] == []


def test_processes_are_counted(machine: FakeMachine) -> None:
    watch = machine.watch(WatchLimits(0, processes=5))
    for pid in range(10, 15):
        machine.runs(pid, 10, MEBI)
    assert watch.look({1: 10})[1] == []
    machine.runs(15, 10, MEBI)
    (offence,) = watch.look({1: 10})[1]
    assert offence.text == "it had 6 processes, more than the 5 of [taskmanager] max_processes"


def test_nothing_is_watched_that_nobody_limits(machine: FakeMachine) -> None:
    assert not machine.watch(WatchLimits(0, 0)).is_useful
    assert machine.watch(WatchLimits(None, 0)).is_useful
    assert machine.watch(WatchLimits(0, 9)).is_useful
    (machine.proc / "self" / "statm").unlink()
    assert not machine.watch(WatchLimits(None, 9)).is_useful


@pytest.mark.parametrize(
    ("line", "files"),
    [
        (
            "0::/a/b\n",
            {
                "a/memory.max": "1073741824",
                "a/memory.current": "734003200",
                "a/memory.stat": "anon 5\ninactive_file 104857600\n",
                "a/b/memory.max": "max",
                "a/b/memory.current": "1",
                "a/b/memory.stat": "",
            },
        ),
        (
            "4:cpu,memory:/x\n0::/\n",
            {
                "memory/x/memory.limit_in_bytes": "1073741824",
                "memory/x/memory.usage_in_bytes": "734003200",
                "memory/x/memory.stat": "inactive_file 1\ntotal_inactive_file 104857600\n",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
        ),
    ],
)
def test_the_limit_of_a_control_group_counts(machine: FakeMachine, line: str, files: dict[str, str]) -> None:
    (machine.proc / "self" / "cgroup").write_text(line)
    for name, text in files.items():
        path = machine.cgroups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert Machine(machine.proc, machine.cgroups).memory() == Memory(GIBI, GIBI - 600 * MEBI)


def test_killings_for_want_of_memory_are_counted(machine: FakeMachine) -> None:
    assert Machine(machine.proc, machine.cgroups).oom_kills() == 0
    (machine.proc / "vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    assert Machine(machine.proc, machine.cgroups).oom_kills() == 3


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    assert Machine(nothing, nothing).memory() is None
    assert members([1], nothing) == []
    assert resident(1, nothing) == proportional(1, nothing) == 0
    assert children(nothing) == []
    assert not uses_folder(1, nothing, nothing)


def test_names_of_processes_may_contain_anything(machine: FakeMachine) -> None:
    machine.runs(10, 10, MEBI)
    assert members([10], machine.proc) == [Member(10, 10, 5.0, MEBI)]
