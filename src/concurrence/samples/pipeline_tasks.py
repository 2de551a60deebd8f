"""What the pipeline sample sends to the swarm: tasks that walk, hash and tell apart, and the task system between.

Apart from the application, so that a worker imports nothing that only a client needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from concurrence import ITaskMaster, ITaskSystem, Task, TaskError
from concurrence.samples.pipeline_files import (
    GONE,
    Changed,
    Listing,
    Seen,
    check_visible,
    digest_of,
    identity_of,
    printable,
    read_folders,
)

_ENTRIES = 2_000
_CHILDREN = 64
_MOST_FOLDERS = 4_096
_BATCH_FILES, _BATCH_BYTES = 64, 32 << 20
_BATCH_NAMES = 1_000


class Hashed(NamedTuple):
    """What came of hashing some files.

    Attributes:
        digests: One for each file, in the order of the task's; None where there is none.
        vanished: How many were gone, or not the same any more.
        problems: What could not be read, and why.
    """

    digests: list[bytes | None]
    vanished: int
    problems: list[tuple[str, str]]


class Walk(Task):
    """Reads folders and those below for a while, and pushes tasks like itself for what is left then.

    So no task is tiny, and none keeps much to itself that others could do.

    Args:
        root: The folder where it all began.
        folders: What to read.
    """

    max_retries = 2  # perhaps another slave sees what this one does not

    def __init__(self, root: str, folders: list[str]) -> None:
        super().__init__(f"walk {_shortened(folders)}")
        self.root = root
        self.folders = folders

    def __call__(self) -> Listing:
        """What it saw; of what is left the tasks tell that it pushes."""
        check_visible(self.root)
        listing = read_folders(self.folders, _ENTRIES)
        self.push_tasks(walks(self.root, listing.left[:_MOST_FOLDERS]))
        return listing._replace(left=listing.left[_MOST_FOLDERS:])


class Hash(Task):
    """Hashes files that have the size of another one.

    Args:
        root: The folder where it all began.
        files: What to hash.
    """

    max_retries = 2

    def __init__(self, root: str, files: list[Seen]) -> None:
        super().__init__(f"hash {_shortened([each.path for each in files])}")
        self.root = root
        self.files = files

    def __call__(self) -> Hashed:
        """Their digests."""
        check_visible(self.root)
        digests: list[bytes | None] = []
        vanished, problems = 0, list[tuple[str, str]]()
        for file in self.files:
            digest = None
            try:
                digest = digest_of(file)
            except (*GONE, Changed):
                vanished += 1
            except OSError as error:
                problems.append((file.path, error.strerror or str(error)))
            digests.append(digest)
        return Hashed(digests, vanished, problems)


class ToldApart(NamedTuple):
    """What came of telling apart the names of some groups.

    Attributes:
        groups: The first name of each file; of each group, in the order of the task's.
        links: How many names were further ones of a file, of each group.
        vanished: How many were gone, or not the same any more.
        problems: What could not be looked at, and why.
    """

    groups: list[list[str]]
    links: list[int]
    vanished: int
    problems: list[tuple[str, str]]


class TellApart(Task):
    """Tells which names of equal content are of one file: hard links, or a folder that is mounted twice.

    All names of a group are looked up on one machine. What walks saw would not do: each machine numbers its mounts
    itself, so that one file has two numbers, or two files have the same.

    Args:
        root: The folder where it all began.
        groups: Names of files with the same content.
    """

    max_retries = 2

    def __init__(self, root: str, groups: list[list[Seen]]) -> None:
        super().__init__(f"tell apart {_shortened([each.path for group in groups for each in group])}")
        self.root = root
        self.groups = groups

    def __call__(self) -> ToldApart:
        """Their names, one for each file."""
        check_visible(self.root)
        groups: list[list[str]] = []
        further: list[int] = []
        vanished, problems = 0, list[tuple[str, str]]()
        for group in self.groups:
            names: dict[tuple[int, int], str] = {}
            links = 0
            for file in sorted(group):
                try:
                    links += names.setdefault(identity_of(file), file.path) != file.path
                except (*GONE, Changed):
                    vanished += 1
                except OSError as error:
                    problems.append((file.path, error.strerror or str(error)))
            groups.append(list(names.values()))
            further.append(links)
        return ToldApart(groups, further, vanished, problems)


def walks(root: str, folders: list[str]) -> Iterator[Walk]:
    """Tasks that read these folders: not more than so many, so each of several if there are more."""
    size = -(-len(folders) // _CHILDREN) or 1
    for start in range(0, len(folders), size):
        yield Walk(root, folders[start : start + size])


def _shortened(paths: list[str]) -> str:
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return f"{printable(paths[0][-100:])}{more}"


class Group(NamedTuple):
    """Files with the same content.

    Attributes:
        size: Of each, in bytes.
        paths: One for each file, in order.
    """

    size: int
    paths: list[str]

    @property
    def wasted(self) -> int:
        """Bytes that would be free if there were only one of them."""
        return self.size * (len(self.paths) - 1)


class Duplicates(NamedTuple):
    """The task system's one result.

    Attributes:
        groups: Files that are equal, those that waste most first.
        files: How many names of regular files there are.
        folders: How many folders were read.
        bytes: What all the files hold; of those that were hashed, hard links count once.
        hashed: How many files had to be read.
        small: How many were too small to be looked at.
        links: How many names were further hard links of a file.
        skipped: How many symbolic links, pipes, sockets and devices.
        vanished: How many files and folders were gone or changed before they could be read.
        problems: What could not be read, and why.
        failures: Why tasks failed.
    """

    groups: list[Group]
    files: int
    folders: int
    bytes: int
    hashed: int
    small: int
    links: int
    skipped: int
    vanished: int
    problems: list[tuple[str, str]]
    failures: list[str]

    @property
    def wasted(self) -> int:
        """Bytes that would be free if there were one of each."""
        return sum(group.wasted for group in self.groups)

    def __str__(self) -> str:
        """What ``concurrence attach`` prints."""
        lines = [f"{group.size:,} bytes: {', '.join(map(printable, group.paths))}" for group in self.groups]
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """What was seen, in a few lines."""
        return (
            f"{len(self.groups):,} groups of equal files waste {self.wasted:,} of {self.bytes:,} bytes\n"
            f"{self.files:,} files in {self.folders:,} folders; {self.hashed:,} were hashed, as only these "
            f"have the size of another; {self.links:,} of them are further hard links of a file\n"
            f"not looked at: {self.small:,} too small, {self.skipped:,} symbolic links and special files, "
            f"{self.vanished:,} vanished or changed meanwhile"
        )


class PipelineSystem(ITaskSystem):
    """Groups what the walks see by size, has hashed what has the size of another, and groups again.

    Walks push walks, so the swarm goes through the folders by itself; the system only hears what they saw.

    Args:
        root: The folder, as an absolute path that holds on all slaves.
        smallest: Smaller files are not looked at, in bytes.
    """

    name = "pipeline"
    max_depth = 4_096  # a path cannot be deeper

    def __init__(self, root: str, smallest: int) -> None:
        self.root = root
        self.smallest = smallest
        self.alone: dict[int, Seen] = {}
        self.crowded: set[int] = set()
        self.waiting: list[Seen] = []
        self.digests: dict[tuple[int, bytes], list[Seen]] = {}
        self.groups: list[Group] = []
        self.is_last_stage = False
        self.files = self.folders = self.bytes = self.small = self.links = self.skipped = self.vanished = 0
        self.hashing = self.hashed = 0
        self.problems: list[tuple[str, str]] = []
        self.failures: list[str] = []

    def generate_tasks(self, master: ITaskMaster) -> Iterable[Task]:
        """One task: all others follow from it."""
        return [Walk(self.root, [self.root])]

    def task_finished(
        self, master: ITaskMaster, task: Task, result: Any, error: TaskError | None
    ) -> Iterable[Task]:
        """A stage of the pipeline ended: hand on to the next what is ready for it."""
        further: list[Task] = []
        if isinstance(task, Hash):
            self.hashing -= 1
        if error is not None:
            hint = error.hint or getattr(error.cause, "hint", "")
            self.failures.append(f"{task.name}: {error.message} (slave {error.slave}). {hint}".rstrip())
        elif isinstance(task, Walk):
            further += self.seen(result)
        elif isinstance(task, Hash):
            self.compared(task, result)
        elif isinstance(task, TellApart):
            self.told_apart(task, result)
        further += self.batches(master)
        self.report(master)
        return further

    def seen(self, listing: Listing) -> Iterator[Task]:
        """Group what a walk saw by size; walks for what it did not push itself."""
        self.folders += listing.folders
        self.skipped += listing.skipped
        self.vanished += listing.vanished
        self.problems += listing.problems
        self.files += len(listing.files)
        for file in listing.files:
            self.bytes += file.size
            if file.size < self.smallest:
                self.small += 1
            elif file.size in self.crowded:
                self.waiting.append(file)
            elif (other := self.alone.pop(file.size, None)) is not None:
                self.crowded.add(file.size)
                self.waiting += (other, file)
            else:
                self.alone[file.size] = file
        return walks(self.root, listing.left)

    def batches(self, master: ITaskMaster) -> Iterator[Task]:
        """Tasks for what waits to be hashed: whole batches, and the rest when workers would be idle."""
        is_hungry = master.stats.unfinished <= sum(slave.workers for slave in master.slaves)
        while self.waiting:
            size = count = 0
            while count < min(_BATCH_FILES, len(self.waiting)) and size < _BATCH_BYTES:
                size += self.waiting[count].size
                count += 1
            if not is_hungry and count < _BATCH_FILES and size < _BATCH_BYTES:
                return
            batch, self.waiting = self.waiting[:count], self.waiting[count:]
            self.hashing += 1
            yield Hash(self.root, batch)

    def compared(self, task: Hash, hashed: Hashed) -> None:
        """Group what was hashed by content."""
        self.hashed += len(task.files)
        self.vanished += hashed.vanished
        self.problems += hashed.problems
        for file, digest in zip(task.files, hashed.digests, strict=True):
            if digest is not None:
                self.digests.setdefault((file.size, digest), []).append(file)

    def last_stage(self) -> Iterator[Task]:
        """Tasks for what turned out to be equal: which of it are names of one file."""
        batch: list[list[Seen]] = []
        names = 0
        for group in self.digests.values():
            if len(group) > 1:
                batch.append(group)
                names += len(group)
            if names >= _BATCH_NAMES:
                yield TellApart(self.root, batch)
                batch, names = [], 0
        if batch:
            yield TellApart(self.root, batch)

    def told_apart(self, task: TellApart, told: ToldApart) -> None:
        """Keep the groups of more than one file."""
        self.vanished += told.vanished
        self.problems += told.problems
        for seen, names, links in zip(task.groups, told.groups, told.links, strict=True):
            size = seen[0].size
            self.links += links
            self.bytes -= size * links
            if len(names) > 1:
                self.groups.append(Group(size, names))

    def is_complete(self, master: ITaskMaster) -> bool:
        """Nothing is under way, nothing waits for company, and equal files were told apart."""
        if master.stats.unfinished:
            return False
        further: list[Task] = []
        if self.waiting:  # the last batch need not be a whole one
            further += self.batches(master)
        elif not self.is_last_stage:
            self.is_last_stage = True
            further += self.last_stage()
        if further:
            master.push_tasks(further)
        return not further

    def report(self, master: ITaskMaster) -> None:
        """How much there is to hash is known when the last walk has ended."""
        is_walking = master.stats.unfinished > self.hashing and not self.is_last_stage
        text = f"{self.files:,} files in {self.folders:,} folders"
        master.report_progress(
            self.hashed, 0 if is_walking else self.hashed + self.hashing + len(self.waiting), text
        )

    def gather_result(self, master: ITaskMaster) -> Duplicates:
        """The groups of equal files."""
        return Duplicates(
            sorted(self.groups, key=lambda group: (-group.wasted, group.paths)),
            self.files,
            self.folders,
            self.bytes,
            self.hashed,
            self.small,
            self.links,
            self.skipped,
            self.vanished,
            sorted(self.problems),
            self.failures,
        )
