"""What is kept for people: the last lines that each job wrote, and the jobs that ended last. Pure.

Lines are kept as they came, and bounded in number and size: per job, and over all jobs.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from msgspec import Struct

from concurrence.wire.messages import Output

MAX_LINES = 1_000
"""Lines that are kept of one job."""

MAX_CHARACTERS = 256 * 1024
"""Characters that are kept of one job."""

MAX_ALL_CHARACTERS = 32 * 1024 * 1024
"""Characters that are kept of all jobs together; beyond it the jobs that wrote longest ago lose their lines."""

MAX_ENDED = 32
"""Jobs that ended and are remembered, with their lines."""


class Piece(Struct, frozen=True, gc=False):
    """What was written at once: a line or several.

    Attributes:
        number: From 1, in the order in which pieces of this job came.
        at: When, in seconds of the master's clock.
        counter: The task that wrote it; None for the task system itself, and for the master.
        stream: ``stdout``, ``stderr`` or ``log``.
        source: The slave's name.
        text: Whole lines, without the last newline.
    """

    number: int
    at: float
    counter: int | None
    stream: str
    source: str
    text: str


class JobLog:
    """The last pieces of one job."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self._lines = 0
        self.characters = 0
        self.count = 0

    def __iter__(self) -> Iterator[Piece]:
        return iter(self._pieces)

    def add(self, output: Output, now: float) -> None:
        """Keep a piece, and forget the oldest ones beyond the bounds."""
        self.count += 1
        text = output.text
        self._pieces.append(Piece(self.count, now, output.counter, output.stream, output.source, text))
        self._lines += text.count("\n") + 1
        self.characters += len(text)
        while len(self._pieces) > 1 and (self._lines > MAX_LINES or self.characters > MAX_CHARACTERS):
            first = self._pieces.popleft()
            self._lines -= first.text.count("\n") + 1
            self.characters -= len(first.text)

    def clear(self) -> None:
        """Forget all pieces; their numbers are not used again."""
        self._pieces.clear()
        self._lines = self.characters = 0

    def since(self, number: int) -> list[Piece]:
        """The pieces after the one with this number, as far as they are kept."""
        return [piece for piece in self._pieces if piece.number > number]


class EndedJob(Struct, frozen=True):
    """A job that is over.

    Attributes:
        system: Its id.
        name: What people see; empty for plain tasks.
        client: The name of the client whose it was.
        how: How it ended, in a few words.
        began: When it began, in seconds of the master's clock.
        ended: When it ended.
        finished: Tasks that returned a result.
        failed: Tasks that failed for good.
        cancelled: Tasks that were cancelled, with those that were unfinished at the end.
    """

    system: int
    name: str
    client: str
    how: str
    began: float
    ended: float
    finished: int
    failed: int
    cancelled: int


class Past:
    """The lines of all jobs, and the jobs that ended last."""

    def __init__(self) -> None:
        self._logs: OrderedDict[int, JobLog] = OrderedDict()  # what wrote last is last
        self._ended: OrderedDict[int, EndedJob] = OrderedDict()
        self._characters = 0

    @property
    def ended(self) -> list[EndedJob]:
        """The jobs that ended last, oldest first."""
        return list(self._ended.values())

    def ended_job(self, system: int) -> EndedJob | None:
        """A job that has ended; None if it has not, or is forgotten."""
        return self._ended.get(system)

    def log(self, system: int) -> JobLog:
        """The last lines of a job."""
        return self._logs.get(system) or JobLog()

    def add(self, output: Output, now: float) -> None:
        """A task, a task system or the master wrote something.

        Args:
            output: What it wrote, with the name of the slave as people see it.
            now: The time.
        """
        log = self._logs.setdefault(output.system, JobLog())
        before = log.characters
        log.add(output, now)
        self._characters += log.characters - before
        self._logs.move_to_end(output.system)
        for other in self._logs.values():
            if self._characters <= MAX_ALL_CHARACTERS:
                break
            self._characters -= other.characters
            other.clear()

    def end(self, job: EndedJob) -> None:
        """A job has ended: it is remembered, and the one that ended first is forgotten."""
        self._ended[job.system] = job
        self._ended.move_to_end(job.system)
        while len(self._ended) > MAX_ENDED:
            system, _ = self._ended.popitem(last=False)
            log = self._logs.pop(system, None)
            self._characters -= log.characters if log is not None else 0
