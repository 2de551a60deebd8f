"""The helix path of a DNA sequence, from what each pair of neighbours does to its direction.

It is the seed's test of stability: more than 10,000 tasks, each with much data. Three forms place the nucleotides;
all must come to the coordinates of the package dnacurve. What is heavy, numpy, dnacurve and matplotlib, is
imported when the sample runs, so that nobody else pays for it.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from concurrence import (
    ApplicationNode,
    BoolOption,
    ChoiceOption,
    IntOption,
    ITaskSystem,
    PathOption,
    StrOption,
    TaskError,
    UsageError,
)
from concurrence.samples.tables import human_bytes, table
from concurrence.samples.whole_files import check_file

if TYPE_CHECKING:
    from concurrence.samples.dna_curve import Matrices
    from concurrence.samples.dna_tasks import Curve

FORMS = ("naive", "optimized", "prefix")
MODELS = ("trifonov", "aawedge", "calladine", "desantis", "reversed")
"""The dinucleotide models of dnacurve in which a path bends; a straight one has no orientation to compare."""

TOLERANCE = 1e-9
"""Angstrom by which coordinates may differ, for a path of 10,000 nucleotides; rounding grows with the length."""

_SHORTEST, _LONGEST = 30, 100_000


class Measurement(NamedTuple):
    """How one form went.

    Attributes:
        form: Its name.
        tasks: How many tasks finished.
        moved: Bytes of tasks and results.
        seconds: From the push to the result.
        difference: The greatest difference to the reference, in angstrom; None if it was not compared.
    """

    form: str
    tasks: int
    moved: int
    seconds: float
    difference: float | None


class DNA(ApplicationNode):
    """Calculates the path of a DNA helix, compares it with the package dnacurve's, and draws it."""

    form = ChoiceOption(
        "dna",
        "form",
        (*FORMS, "all"),
        "optimized",
        "How the work is shared out: each task with matrices of its own, matrices that are shared, a prefix "
        "product in few tasks; or all three, one after the other.",
    )
    sequence = StrOption("dna", "sequence", "ATGCAAATTG", "Nucleotides, repeated up to the length.")
    length = IntOption("dna", "length", 10_010, "How many nucleotides the path has.", min=_SHORTEST, max=_LONGEST)
    fasta = PathOption(
        "dna", "fasta", None, "A FASTA file; its one sequence, of A, T, C and G, takes the place of the other."
    )
    model = ChoiceOption(
        "dna",
        "model",
        MODELS,
        "trifonov",
        "Which of dnacurve's models tells the angles between pairs of neighbours.",
    )
    blocks = IntOption("dna", "blocks", 16, "Into how many blocks the prefix product is cut.", min=1, max=10_000)
    check = BoolOption(
        "dna", "check", True, "Compare with dnacurve's coordinates, which takes some seconds for a long sequence."
    )
    output = PathOption("dna", "output", Path("dna.png"), "The file for the picture, a PNG.")

    def app_init(self) -> None:
        """Find out what is wrong before a swarm is started."""
        for module in ("numpy", "dnacurve", "matplotlib"):
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise UsageError(
                    f"the sample dna needs the package {module}: {error}",
                    hint="Install what the samples need: pip install 'concurrence[samples]'",
                ) from error
        check_file(self.output, "dna.output", "dna.png")
        self._nucleotides = self._read()

    def start_processing(self) -> None:
        """Push the first form."""
        from concurrence.samples import dna_library  # noqa: PLC0415  heavy

        self._points = dna_library.points()
        self._steps = dna_library.steps_of(self._nucleotides, self.model)
        self._expected: Matrices | None = None
        if self.check:
            self.say(f"the coordinates of dnacurve for {len(self._nucleotides):,} nucleotides ...")
            self._expected = dna_library.reference(self._nucleotides, self.model)
        self._left = list(FORMS) if self.form == "all" else [self.form]
        self._measured: list[Measurement] = []
        self._next()

    def work_finished(self, result: Curve, system_id: int) -> None:
        """A path is there: measure, compare, and go on with the next form."""
        seconds = time.perf_counter() - self._begun
        if result.failures:
            count = f"{len(result.failures):,} tasks failed"
            self.log.error("no path: %s; the first: %s", count, result.failures[0])
            self.shutdown_main_loop(1)
            return
        from concurrence.samples import dna_library  # noqa: PLC0415  heavy

        summary = self.summary_so_far()
        difference = None
        if self._expected is None:
            coordinates = dna_library.oriented(result.path)
        else:
            coordinates = dna_library.superimposed(result.path, self._expected)
            difference = float(abs(coordinates - self._expected).max())
        tasks, moved = summary.finished - self._before.finished, summary.moved - self._before.moved
        self._measured.append(Measurement(self._form, tasks, moved, seconds, difference))
        if self._left:
            self._next()
        else:
            self._end(coordinates)

    def push_tasksystem_failed(self, system_id: int, error: TaskError) -> None:
        """There is no path."""
        self.log.error("no path: %s", error)
        self.shutdown_main_loop(1)

    def _read(self) -> str:
        from concurrence.samples import dna_library  # noqa: PLC0415  heavy

        if self.fasta is not None:
            try:
                letters = dna_library.read_fasta(self.fasta)
            except (OSError, ValueError) as error:
                raise UsageError(f"no sequence can be read from {self.fasta}: {error}") from error
        else:
            unit = self.sequence.upper()
            if not unit or set(unit) - set("ATCG"):
                raise UsageError(f"dna.sequence is {self.sequence!r}", hint="Write it in letters A, T, C and G.")
            letters = (unit * (self.length // len(unit) + 1))[: self.length]
        if not _SHORTEST <= len(letters) <= _LONGEST:
            raise UsageError(
                f"the sequence has {len(letters):,} nucleotides",
                hint=f"A path has from {_SHORTEST} to {_LONGEST:,} of them.",
            )
        return letters

    def _next(self) -> None:
        self._form = self._left.pop(0)
        self._before = self.summary_so_far()
        self._begun = time.perf_counter()
        self.push_tasksystem(self._system())

    def _system(self) -> ITaskSystem:
        from concurrence.samples.dna_tasks import (  # noqa: PLC0415  heavy
            NaiveSystem,
            PrefixSystem,
            SharedSystem,
        )

        if self._form == "naive":
            return NaiveSystem(self._points, self._steps)
        if self._form == "prefix":
            return PrefixSystem(self._points, self._steps, self.blocks)
        return SharedSystem(self._points, self._steps)

    def _end(self, coordinates: Matrices) -> None:
        """Say how the forms went, and draw the path."""
        for line in table(
            ("form", "tasks", "moved", "time", "greatest difference"),
            [
                (
                    each.form,
                    f"{each.tasks:,}",
                    human_bytes(each.moved),
                    f"{each.seconds:.2f} s",
                    "not compared" if each.difference is None else f"{each.difference:.1e} A",
                )
                for each in self._measured
            ],
        ):
            self.say(line)
        tolerance = TOLERANCE * max(1.0, len(self._nucleotides) / 10_010)
        wrong = [each.form for each in self._measured if not (each.difference or 0.0) <= tolerance]  # or no number
        if wrong:
            self.log.error("the coordinates differ from those of dnacurve: %s", ", ".join(wrong))
        self.shutdown_main_loop(1 if wrong or not self._draw(coordinates) else 0)

    def _draw(self, coordinates: Matrices) -> bool:
        from concurrence.samples.dna_plot import draw_curve  # noqa: PLC0415  heavy

        title = f"{len(self._nucleotides):,} nucleotides, model {self.model}"
        try:
            draw_curve(self.output, coordinates, title)
        except OSError as error:
            self.log.error("the picture could not be written to %s: %s", self.output, error.strerror or error)
            return False
        self.announce(self.output, "the picture")
        return True
