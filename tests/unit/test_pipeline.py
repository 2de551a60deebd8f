from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path
from typing import Any, cast

import pytest
from duplicate_tree import make_tree, sequential_duplicates
from fake_master import FakeMaster

from concurrence.errors import TaskError, UsageError
from concurrence.samples import pipeline_tasks
from concurrence.samples.pipeline import Pipeline
from concurrence.samples.pipeline_files import Seen, printable, read_folders
from concurrence.samples.pipeline_tasks import Duplicates, Hash, PipelineSystem, TellApart, Walk
from concurrence.tasks.api import Task, TaskCounts
from concurrence.testing import run_app, run_system, run_task


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    make_tree(root)
    return root


def found(result: Duplicates) -> set[tuple[str, ...]]:
    return {tuple(group.paths) for group in result.groups}


@pytest.mark.parametrize("entries", [1, 5, 2_000])
@pytest.mark.parametrize("smallest", [0, 1, 9])
def test_what_is_found_is_what_a_sequential_walk_finds(
    tree: Path, smallest: int, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_tasks, "_ENTRIES", entries)
    monkeypatch.setattr(pipeline_tasks, "_MOST_FOLDERS", 2)
    expected = sequential_duplicates(tree, smallest)
    assert len(expected) >= 3
    result: Duplicates = run_system(PipelineSystem(str(tree), smallest))
    assert found(result) == expected
    assert (result.problems, result.failures, result.vanished) == ([], [], 0)
    assert result.files == 162
    assert result.folders == sum(1 for _ in os.walk(tree))
    assert [group.wasted for group in result.groups] == sorted(
        (group.wasted for group in result.groups), reverse=True
    )


def test_only_what_has_the_size_of_another_is_hashed(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"x" * number)
    (tmp_path / "again").write_bytes(b"yyy")
    result: Duplicates = run_system(PipelineSystem(str(tmp_path), 1))
    assert (result.hashed, result.groups, result.small, result.bytes) == (2, [], 1, 13)


def test_links_pipes_and_sockets_are_neither_followed_nor_read(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("text")
    (tmp_path / "link").symlink_to("one")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    os.link(tmp_path / "one", tmp_path / "a hard link")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(os.path.relpath(tmp_path / "socket"))
        result: Duplicates = run_system(PipelineSystem(str(tmp_path), 0))
    assert (result.files, result.links, result.skipped, result.groups) == (2, 1, 5, [])


def test_what_cannot_be_read_is_told_and_the_rest_found(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, secret = str(tree / "b" / "deep"), str(tree / "ü" / "文字" / "drei.txt")
    scan, opened = os.scandir, os.open

    def scandir(path: str) -> Any:
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    def open_file(path: str, *arguments: Any, **named: Any) -> int:
        if path == secret:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, *arguments, **named)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "open", open_file)
    run = run_app(Pipeline, overrides=[f"pipeline.folder={tree}", "pipeline.smallest=0", "pipeline.show=100"])
    assert run.exit_code == 1
    shown = "\n".join(run.said)
    assert closed not in shown
    assert secret not in shown
    monkeypatch.undo()
    result: Duplicates = run_system(PipelineSystem(str(tree), 0))
    assert closed in str(result)
    assert secret in str(result)


# --- what is one file, and what are two ---


def walk_on(device: int, folder: Path, inode: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Walk, Any]:
    """Walk through a folder on a machine that numbers devices and files as it likes."""
    look = os.lstat

    def lstat(path: Any) -> os.stat_result:
        about = look(path)
        if not str(path).startswith(str(folder)):
            return about
        return os.stat_result((about.st_mode, inode or about.st_ino, device, *tuple(about)[3:]))

    walk = Walk(str(folder), [str(folder)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lstat)
        return walk, run_task(walk)


@pytest.mark.parametrize("inode", [0, 64], ids=["other devices", "the same numbers"])
def test_numbers_of_two_machines_do_not_say_what_is_one_file(
    tmp_path: Path, inode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each machine numbers what it mounts itself: a file has two devices, or two files have the same numbers."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "one").write_text("same")
    if inode:
        (tmp_path / "b" / "two").write_text("same")
    else:
        os.link(tmp_path / "a" / "one", tmp_path / "b" / "its other name")
    system, master = PipelineSystem(str(tmp_path), 0), FakeMaster(workers=100)
    tasks: list[Task] = []
    for folder, device in (("a", 45), ("b", 45 if inode else 52)):
        walk, listing = walk_on(device, tmp_path / folder, inode, monkeypatch)
        tasks += system.task_finished(master, walk, listing, None)
    result = ended(system, master, tasks)
    twice = {(str(tmp_path / "a" / "one"), str(tmp_path / "b" / "two"))}
    assert (found(result), result.links) == ((twice, 0) if inode else (set(), 1))
    assert (result.files, result.bytes, result.wasted) == ((2, 8, 4) if inode else (2, 4, 0))


def test_what_goes_before_equal_files_are_told_apart_is_left_out(tmp_path: Path) -> None:
    for name in ("gone", "grown", "linked", "one", "two"):
        (tmp_path / name).write_text("same")
    system, master, tasks = begun(tmp_path)
    for task in tasks:
        assert list(system.task_finished(master, task, task(), None)) == []
    (tmp_path / "gone").unlink()
    (tmp_path / "grown").write_text("not the same")
    (tmp_path / "linked").unlink()
    (tmp_path / "linked").symlink_to("one")
    result = ended(system, master, [])
    assert found(result) == {(str(tmp_path / "one"), str(tmp_path / "two"))}
    assert (result.vanished, result.links, result.problems) == (3, 0, [])


# --- what changes meanwhile ---


def begun(tree: Path) -> tuple[PipelineSystem, FakeMaster, list[Hash]]:
    """A system whose walk is over, and the hashes that it wants."""
    system, master = PipelineSystem(str(tree), 0), FakeMaster(workers=100)
    (walk,) = system.generate_tasks(master)
    master.stats = TaskCounts()
    return system, master, cast("list[Hash]", list(system.task_finished(master, walk, run_task(walk), None)))


def ended(system: PipelineSystem, master: FakeMaster, tasks: list[Task]) -> Duplicates:
    """Play the swarm from these tasks on."""
    master.stats = TaskCounts()
    while tasks or not system.is_complete(master):
        tasks, master.pushed = [*tasks, *master.pushed], []
        for task in tasks:
            assert list(system.task_finished(master, task, run_task(task), None)) == []
        tasks = []
    return system.gather_result(master)


def test_files_that_vanish_or_change_before_they_are_hashed_are_left_out(tmp_path: Path) -> None:
    for name in ("gone", "grown", "replaced", "piped", "linked", "one", "two"):
        (tmp_path / name).write_text("same")
    system, master, tasks = begun(tmp_path)
    (tmp_path / "gone").unlink()
    (tmp_path / "grown").write_text("not the same")
    (tmp_path / "other").write_text("same")
    (tmp_path / "other").replace(tmp_path / "replaced")
    for name in ("piped", "linked"):
        (tmp_path / name).unlink()
    os.mkfifo(tmp_path / "piped")
    (tmp_path / "linked").symlink_to("one")
    for task in tasks:
        assert list(system.task_finished(master, task, task(), None)) == []
    result = ended(system, master, [])
    assert found(result) == {tuple(str(tmp_path / name) for name in ("one", "replaced", "two"))}
    # Nobody follows a link: the system refuses, and that is told as what could not be read.
    assert (result.vanished, [path for path, _ in result.problems]) == (3, [str(tmp_path / "linked")])


def test_a_folder_that_vanishes_before_it_is_read_is_counted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    listing = read_folders([str(tmp_path / "gone"), str(tmp_path), str(tmp_path / "file")], 100)
    assert (listing.vanished, listing.folders, len(listing.files)) == (2, 1, 1)


def test_what_vanishes_while_its_folder_is_read_takes_nothing_else_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gone", "closed", "one", "two"):
        (tmp_path / name).write_text("same")
    look = os.lstat

    def lstat(path: str) -> os.stat_result:
        if path.endswith("gone"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if path.endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "lstat", lstat)
    listing = read_folders([str(tmp_path)], 100)
    assert {Path(file.path).name for file in listing.files} == {"one", "two"}
    assert (listing.vanished, listing.folders) == (1, 1)
    assert listing.problems == [(str(tmp_path / "closed"), "Permission denied")]


def test_a_slave_without_the_folder_is_no_slave_on_which_it_is_empty(tmp_path: Path) -> None:
    for task in (
        Walk(str(tmp_path / "nowhere"), [str(tmp_path)]),
        Hash(str(tmp_path / "nowhere"), [Seen("x", 1)]),
    ):
        with pytest.raises(UsageError, match=r"on every slave, at the same path|there is no folder"):
            task()


def test_failed_tasks_are_no_silence(tmp_path: Path) -> None:
    system, master = PipelineSystem(str(tmp_path), 0), FakeMaster()
    (walk,) = system.generate_tasks(master)
    assert list(system.task_finished(master, walk, None, TaskError("UsageError: there is no folder"))) == []
    assert "there is no folder" in system.gather_result(master).failures[0]


def test_hashes_come_in_batches_unless_workers_are_hungry(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}").write_text("same")
    system, master = PipelineSystem(str(tmp_path), 0), FakeMaster(workers=2)
    (walk,) = system.generate_tasks(master)
    master.stats = TaskCounts(pushed=10)
    tasks = cast("list[Hash]", list(system.task_finished(master, walk, run_task(walk), None)))
    assert [len(task.files) for task in tasks] == [64]
    master.stats = TaskCounts(pushed=2)
    (rest,) = cast("list[Hash]", list(system.task_finished(master, tasks[0], tasks[0](), None)))
    assert len(rest.files) == 36


def test_the_last_batch_is_hashed_though_it_is_small_and_no_more_tasks_end(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}").write_text("same")
    system, master = PipelineSystem(str(tmp_path), 0), FakeMaster(workers=2)
    (walk,) = system.generate_tasks(master)
    # Iterables that are not drained yet count as unfinished, even if they turn out to be empty.
    master.stats = TaskCounts(undrained=5)
    assert system.task_finished(master, walk, run_task(walk), None) == []
    assert not system.is_complete(master)
    assert master.pushed == []
    master.stats = TaskCounts()
    assert not system.is_complete(master)
    (last,) = cast("list[Hash]", master.pushed)
    assert len(last.files) == 10
    assert system.task_finished(master, last, last(), None) == []
    assert found(ended(system, master, [])) == {tuple(str(tmp_path / f"{number}") for number in range(10))}


def test_equal_files_are_told_apart_in_batches_and_a_failure_of_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_tasks, "_BATCH_NAMES", 5)
    for number in range(12):
        (tmp_path / f"{number:02}").write_text(f"{number // 3}")
    system, master, tasks = begun(tmp_path)
    for task in tasks:
        assert list(system.task_finished(master, task, task(), None)) == []
    assert not system.is_complete(master)
    first, second = cast("list[TellApart]", master.pushed)
    assert [len(group) for group in first.groups + second.groups] == [3, 3, 3, 3]
    assert master.progress[-1][:2] == (12, 12)
    assert system.task_finished(master, first, None, TaskError("it broke")) == []
    assert system.task_finished(master, second, second(), None) == []
    assert system.is_complete(master)
    result = system.gather_result(master)
    assert [len(group.paths) for group in result.groups] == [3, 3]
    assert "it broke" in result.failures[0]


# --- the application ---


def test_the_report_holds_every_name_as_it_is(tree: Path, tmp_path: Path) -> None:
    report = tmp_path / "duplicates.json"
    settings = [f"pipeline.folder={tree}", "pipeline.show=1", f"pipeline.duplicates={report}"]
    run = run_app(Pipeline, overrides=settings)
    assert run.exit_code == 0
    read = json.loads(report.read_text())
    assert {tuple(group["paths"]) for group in read["groups"]} == sequential_duplicates(tree, 1)
    assert run.announced == [report]
    assert any("groups more: --duplicates FILE writes all of them" in line for line in run.said)


def test_a_report_that_cannot_be_written_ends_with_1(tree: Path, tmp_path: Path) -> None:
    class Hindered(Pipeline):
        def work_finished(self, result: Duplicates, system_id: int) -> None:
            (tmp_path / "report").mkdir()
            super().work_finished(result, system_id)

    run = run_app(Hindered, overrides=[f"pipeline.folder={tree}", f"pipeline.duplicates={tmp_path / 'report'}"])
    assert run.exit_code == 1


def test_a_report_that_could_never_be_written_is_told_before_the_walk(tree: Path, tmp_path: Path) -> None:
    for place, told in ((tmp_path / "no" / "x", r"folder of pipeline\.duplicates"), (tmp_path, "is a folder")):
        with pytest.raises(UsageError, match=told):
            run_app(Pipeline, overrides=[f"pipeline.folder={tree}", f"pipeline.duplicates={place}"])


def test_of_very_many_problems_only_some_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Closed(Pipeline):
        def work_finished(self, result: Duplicates, system_id: int) -> None:
            super().work_finished(result._replace(problems=[(f"{n}", "closed") for n in range(25)]), system_id)

    assert run_app(Closed, overrides=[f"pipeline.folder={tmp_path}"]).exit_code == 1
    assert "not read: 19: closed" in caplog.text
    assert "not read: 20: closed" not in caplog.text
    assert "and 5 more could not be read" in caplog.text


def test_names_are_printed_without_what_a_terminal_obeys() -> None:
    assert printable("grüße/文字") == "grüße/文字"
    assert printable("a\nb\x1b[31m\udcff") == "a\\nb\\x1b[31m\\udcff"


def test_a_folder_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        run_app(Pipeline, overrides=[f"pipeline.folder={tmp_path / 'nowhere'}"])


def test_who_interrupts_is_told_how_far_it_was() -> None:
    class Interrupted(Pipeline):
        def work_finished(self, result: Duplicates, system_id: int) -> None:
            self.progress(system_id, 7, 0, "12 files")
            self.interrupted()
            self.shutdown_main_loop()

    run = run_app(Interrupted, overrides=[f"pipeline.folder={Path(__file__).parent}"])
    assert run.said == ["interrupted after 12 files, 7 hashed; nothing was changed"]
