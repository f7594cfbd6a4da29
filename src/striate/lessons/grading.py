"""Many answers at once: a row each, as a table and as CSV, whatever the answers do."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import UsageError
from striate.files import write_whole
from striate.lessons import checking, every
from striate.lessons.catalogue import common
from striate.lessons.exercise import Exercise
from striate.lessons.lesson import Lesson
from striate.lessons.running import functions_of, imports_of
from striate.metrics.scores import harmless
from striate.result import Result, text_table

HEADER = ("file", "lesson", "function", "outcome", "right", "cases", "mistakes", "imports", "said")


@dataclass(frozen=True)
class Row:
    """One function of one answer."""

    file: str
    verdict: checking.Verdict
    imports: tuple[str, ...]

    def cells(self) -> list[Any]:
        """For a table, in the order of `HEADER`; what is said on one line."""
        v = self.verdict
        said = (
            " ".join(v.said.split("\n\n")[-1].split()) if v.mistakes else " ".join(v.said.split())
        )
        return [
            self.file, v.lesson, v.function, v.outcome, v.right, v.cases,
            " ".join(v.mistakes), " ".join(self.imports), said,
        ]  # fmt: skip


@dataclass(frozen=True)
class Graded(Result):
    """All answers of a folder."""

    rows: tuple[Row, ...]
    seed: int

    def as_text(self) -> str:
        """A line a function."""
        rows = [[*row.cells()[:6], " ".join(row.verdict.mistakes)] for row in self.rows]
        right = sum(row.verdict.outcome == "right" for row in self.rows)
        table = text_table([*HEADER[:6], "mistakes"], rows)
        return f"{table}\n\n{right} of {len(self.rows)} are right; cases of seed {self.seed}"

    def as_dict(self) -> dict[str, Any]:
        """The rows."""
        return {
            "seed": self.seed,
            "rows": [dict(zip(HEADER, row.cells(), strict=True)) for row in self.rows],
        }

    def as_csv(self) -> str:
        """A line a function, with a header; nothing that a table program takes for a formula."""
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(HEADER)
        writer.writerows([harmless(cell) for cell in row.cells()] for row in self.rows)
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        """Write the CSV."""
        write_whole(path, self.as_csv().encode())


def grade(
    folder: Path,
    lesson: Lesson | None = None,
    *,
    seed: int = 0,
    language: str = "en",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Graded:
    """Try every .py file of a folder, each function in a process of its own.

    Args:
        folder: of answers; also of a folder a student, whose name then stands before the file's.
        lesson: whose functions are wanted, each in one row of every answer; those that a file defines, of all
            lessons, if not given.
        seed: of the hidden cases.
        language: of what is said.
        progress: is given how many files are done, and of how many.

    Raises:
        UsageError: there are no answers in it, or the lesson asks for none.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: no such folder; --grade takes a folder of answers, a .py file each"
        )
    files = sorted(
        path for path in folder.rglob("*.py") if path.is_file() and not _hidden(path, folder)
    )
    if not files:
        raise UsageError(f"{folder}: there is no .py file in it")
    chosen = every() if lesson is None else [lesson]
    exercises = [(each.name, exercise) for each in chosen for exercise in each.exercises]
    if not exercises:
        raise UsageError(f"the lesson {chosen[0].name} has no exercises: there is nothing to grade")
    rows: list[Row] = []
    for i, file in enumerate(files):
        progress(i, len(files))
        rows += _rows(file, folder, exercises, seed, language, whole=lesson is not None)
    progress(len(files), len(files))
    return Graded(tuple(rows), seed)


def _hidden(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return any(part.startswith((".", "__")) for part in parts)


def _rows(
    file: Path,
    folder: Path,
    exercises: Sequence[tuple[str, Exercise]],
    seed: int,
    language: str,
    *,
    whole: bool,
) -> Iterator[Row]:
    name = file.relative_to(folder).as_posix()
    known, imports = functions_of(file), imports_of(file)
    asked = [(n, e) for n, e in exercises if known is not None and e.function in known]
    if known is None:  # no Python: one row that says so
        asked = list(exercises[:1])
    elif whole:
        asked = list(exercises)
    if not asked:
        said = common("no_exercise", language)
        yield Row(name, checking.Verdict("", "", 0, 0, "no_function", (), said, language), imports)
    for lesson, exercise in asked:
        found = checking.verdict(lesson, exercise, file, seed=seed, language=language)
        yield Row(name, found, imports)
