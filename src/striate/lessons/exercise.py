"""What a student is asked to write, the cases on which it is tried, and the mistakes that are commonly made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Case = dict[
    str, Any
]  # arguments by name, in the order of the function: arrays, numbers, lists, words


def _same(case: Case) -> Case:
    return case


def _as_it_is(found: Array) -> Array:
    return found


@dataclass(frozen=True)
class Mistake:
    """A mistake as a change of what the true function is given, or of what it answers.

    Attributes:
        name: of its text among those that all lessons share, `mistake_NAME`.
        before: of the arguments.
        after: of the answer.
        instead: another function altogether, of the arguments by name.
    """

    name: str
    before: Callable[[Case], Case] = _same
    after: Callable[[Array], Array] = _as_it_is
    instead: Callable[[Case], Any] | None = None


@dataclass(frozen=True)
class Exercise:
    """A function that a student writes.

    Attributes:
        function: its name.
        parameters: as they are written in its first line, such as ("x", "w", "stride=(1, 1)").
        truth: the operation itself, of one case's arguments.
        draw: cases from random numbers: seed 0 gives those that everyone sees.
        mistakes: that are looked for where an answer is wrong, the likeliest first.
        window: what one output value is made of, as lines; None where there are no windows.
    """

    function: str
    parameters: tuple[str, ...]
    truth: Callable[..., Any]
    draw: Callable[[np.random.Generator], Sequence[Case]]
    mistakes: tuple[Mistake, ...]
    window: Callable[[Case, tuple[int, ...]], str] | None = None

    @property
    def signature(self) -> str:
        """The first line of the function."""
        return f"{self.function}({', '.join(self.parameters)})"

    def cases(self, seed: int = 0) -> list[Case]:
        """The cases of a seed."""
        return list(self.draw(np.random.default_rng(seed)))

    def right(self, case: Case) -> Array:
        """The true answer."""
        return numbers(self.truth(**case))

    def wrong(self, mistakes: Sequence[Mistake], case: Case) -> Array | None:
        """The answer of one who makes these mistakes, or None where it cannot be computed."""
        given = dict(case)
        instead = next((m.instead for m in mistakes if m.instead is not None), None)
        try:
            for each in mistakes:
                given = each.before(dict(given))
            found = numbers(instead(given) if instead else self.truth(**given))
            for each in mistakes:
                found = each.after(found)
        except (
            ValueError,
            RuntimeError,
            IndexError,
            TypeError,
            ZeroDivisionError,
            ArithmeticError,
        ):
            return None
        return found


def numbers(value: Any) -> Array:
    """An answer as numbers: of a tensor, an array, lists or one number.

    Raises:
        ValueError: it is nothing of these.
        TypeError: likewise.
    """
    detached = value.detach().cpu() if hasattr(value, "detach") else value
    return np.asarray(detached, dtype=np.float64)


def changed(case: Case, changes: Mapping[str, Any]) -> Case:
    """A case with some arguments exchanged; those that it has not are left out."""
    return {**case, **{key: value for key, value in changes.items() if key in case}}
