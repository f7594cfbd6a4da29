"""A student's answer, compared cell by cell with the true operation: what is wrong, where, and by which mistake."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from striate.errors import UsageError
from striate.lessons.catalogue import common
from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson, folded
from striate.lessons.running import SECONDS, Answers, functions_of, run
from striate.lessons.shown import beside, grid_lines, grid_of
from striate.result import Result
from striate.text import times

NEAR = 1e-4  # of two values that are taken for equal: relative to the largest of the true ones
MOST_CELLS = 400  # of an answer that is shown


@dataclass(frozen=True)
class Verdict(Result):
    """What became of one function of an answer.

    Attributes:
        lesson: that asks for it.
        function: its name.
        cases: that were tried.
        right: how many of them agree in every cell.
        outcome: "right", "wrong", or the problem that ended it.
        mistakes: names of those that explain every wrong case.
        said: what is wrong, in lines.
    """

    lesson: str
    function: str
    cases: int
    right: int
    outcome: str
    mistakes: tuple[str, ...] = ()
    said: str = ""
    language: str = "en"

    def as_text(self) -> str:
        """One line, and below it what is wrong."""
        counts = {"function": self.function, "right": self.right, "cases": self.cases}
        key = "all_right" if self.outcome == "right" else "some_wrong"
        return "\n\n".join(filter(None, (common(key, self.language, counts), self.said)))

    def as_dict(self) -> dict[str, Any]:
        """Outcome, counts, mistakes and what is said."""
        return {
            "lesson": self.lesson,
            "function": self.function,
            "cases": self.cases,
            "right": self.right,
            "outcome": self.outcome,
            "mistakes": list(self.mistakes),
            "said": self.said,
        }


@dataclass(frozen=True)
class Checked(Result):
    """The verdicts on the functions of one answer."""

    verdicts: tuple[Verdict, ...]

    @property
    def right(self) -> bool:
        """Whether every function is."""
        return all(each.outcome == "right" for each in self.verdicts)

    def as_text(self) -> str:
        """One verdict below the other."""
        return "\n\n".join(each.as_text() for each in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """The verdicts."""
        return {"verdicts": [each.as_dict() for each in self.verdicts], "right": self.right}


def check(lesson: Lesson, file: Path, *, seed: int = 0, language: str = "en") -> Checked:
    """Try the functions of a student's file that a lesson asks for.

    Args:
        lesson: with exercises.
        file: of the student.
        seed: of the cases; 0 gives those that everyone sees.
        language: of what is said.

    Raises:
        UsageError: the lesson has no exercises, there is no such file, or it has none of the functions.
    """
    if not lesson.exercises:
        raise UsageError(f"the lesson {lesson.name} has no exercises: there is nothing to check")
    if not file.is_file():
        raise UsageError(f"{file}: no such file; name the file that holds your function")
    wanted = {each.function: each for each in lesson.exercises}
    known = functions_of(file)
    if known is not None and not wanted.keys() & known:
        raise UsageError(
            f"{file}: it defines none of {', '.join(wanted)}; the first line is def {lesson.exercises[0].signature}:"
        )
    # A file that is no Python is tried with the first function alone: that says what is wrong with it.
    chosen = [e for e in lesson.exercises if known is not None and e.function in known]
    return Checked(
        tuple(
            verdict(lesson.name, each, file, seed=seed, language=language)
            for each in chosen or lesson.exercises[:1]
        )
    )


def verdict(
    lesson: str, exercise: Exercise, file: Path, *, seed: int = 0, language: str = "en"
) -> Verdict:
    """Run one function of a file on the cases of a seed, and judge its answers."""
    cases = exercise.cases(seed)
    answers = run(file, exercise.function, cases)
    return judged(lesson, exercise, cases, answers, language)


def judged(
    lesson: str, exercise: Exercise, cases: Sequence[Case], answers: Answers, language: str = "en"
) -> Verdict:
    """Compare answers with the truth."""
    true = [exercise.right(case) for case in cases]
    wrong = [i for i, found in enumerate(answers.found) if not equal(found, true[i])]
    right = len(answers.found) - len(wrong)
    if not wrong:
        if not answers.problem:
            return Verdict(lesson, exercise.function, len(cases), right, "right", language=language)
        said = _problem(answers, len(answers.found), cases, language)
        return Verdict(
            lesson, exercise.function, len(cases), right, answers.problem, (), said, language
        )
    found = likely(exercise, cases, answers.found, wrong)
    first = wrong[0]
    said = _difference(exercise, cases[first], answers.found[first], true[first], language)
    said += f"\n\n{_mistakes(found, language)}"
    names = tuple(each.name for each in found)
    return Verdict(lesson, exercise.function, len(cases), right, "wrong", names, said, language)


def equal(found: Array, true: Array) -> bool:
    """Whether two answers agree in every cell, but for rounding."""
    return found.shape == true.shape and not differing(found, true).any()


def differing(found: Array, true: Array) -> np.ndarray[Any, Any]:
    """Which cells differ by more than rounding; what is no number differs."""
    scale = float(np.abs(true).max(initial=0.0)) or 1.0
    return ~(np.abs(found - true) <= NEAR * scale)


def likely(
    exercise: Exercise, cases: Sequence[Case], found: Sequence[Array], wrong: Sequence[int]
) -> tuple[Mistake, ...]:
    """The one mistake, or the two together, that give these very answers; none where nothing fits.

    An explanation gives every wrong case as it came, and leaves right what came right.
    """
    for together in _tried(exercise.mistakes):
        if all(
            (made := exercise.wrong(together, cases[i])) is not None and equal(answer, made)
            for i, answer in enumerate(found)
        ):
            return together
    # A slip that shows in some cases only, such as a branch of its own for one setting.
    for one in exercise.mistakes:
        if all(
            (made := exercise.wrong((one,), cases[i])) is not None and equal(found[i], made)
            for i in wrong
        ):
            return (one,)
    return ()


def _tried(mistakes: Sequence[Mistake]) -> Iterable[tuple[Mistake, ...]]:
    yield from ((one,) for one in mistakes)
    yield from (
        pair for pair in combinations(mistakes, 2) if sum(m.instead is not None for m in pair) < 2
    )


def _difference(exercise: Exercise, case: Case, found: Array, true: Array, language: str) -> str:
    """The case, both answers, the first wrong cell and what it is made of."""
    blocks = [f"{common('in_case', language)} {described(case)}"]
    if found.shape != true.shape:
        sizes = {"found": size_of(found), "true": size_of(true)}
        blocks += [common("other_size", language, sizes), *_both(found, true, language)]
        return "\n\n".join(map(folded_or_kept, blocks))
    off = differing(found, true)
    at = tuple(int(i) for i in np.argwhere(off)[0])
    values = {
        "count": int(off.sum()),
        "of": off.size,
        "at": ", ".join(map(str, at)),
        "found": f"{found[at]:g}",
        "true": f"{true[at]:g}",
    }
    blocks += _both(found, true, language)
    blocks.append(common("one_value" if not at else "first_wrong", language, values))
    if exercise.window is not None:
        blocks.append(exercise.window(case, at))
    return "\n\n".join(map(folded_or_kept, blocks))


def folded_or_kept(block: str) -> str:
    """A paragraph of one line folded; a drawing of several as it is."""
    return block if "\n" in block else folded(block)


def size_of(array: Array) -> str:
    """The sizes of an answer."""
    return times(array.shape) if array.ndim else "1"


def _both(found: Array, true: Array, language: str) -> list[str]:
    """Both answers side by side where they are small grids; wrong cells have a star."""
    if (
        not (1 <= found.ndim <= 2 and 1 <= true.ndim <= 2)
        or max(found.size, true.size) > MOST_CELLS
    ):
        return []
    marks: dict[tuple[int, int], str] = {}
    if found.shape == true.shape:
        off = np.atleast_2d(differing(found, true))
        marks = {(int(y), int(x)): "*" for y, x in np.argwhere(off)}
    return [
        beside(
            [
                [common("yours", language), *grid_lines(grid_of(found), marks)],
                [common("expected", language), *grid_lines(grid_of(true))],
            ]
        )
    ]


def described(case: Case) -> str:
    """The arguments of a case on one line: of arrays the sizes."""
    return ", ".join(
        f"{key} {times(value.shape)}" if isinstance(value, np.ndarray) else f"{key}={value}"
        for key, value in case.items()
    )


def _mistakes(found: Sequence[Mistake], language: str) -> str:
    if not found:
        return folded(common("unknown_mistake", language))
    told = [common(f"mistake_{each.name}", language) for each in found]
    both = f"{common('and', language)} "
    return folded(f"{common('likely', language)} {both.join(told)}.")


def _problem(answers: Answers, done: int, cases: Sequence[Case], language: str) -> str:
    values = {"detail": answers.detail, "seconds": SECONDS}
    told = common(f"problem_{answers.problem}", language, values)
    if answers.problem in ("no_function", "exit", "died") or done >= len(cases):
        return folded(told)
    return folded(f"{told} {common('in_case', language)} {described(cases[done])}")
