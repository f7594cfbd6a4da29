"""What every step of a sliding window reads and gives, in plain numbers.

C input channels, O outputs, H W cells, K kernel.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import ArgumentError
from striate.result import Result, text_table

if TYPE_CHECKING:
    from striate.see.stepper.layout import Drawable, Layout

Plane = list[list[float]]
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Term:
    """One cell under the window: input channel, drawn row and column, cell of the kernel, and the numbers."""

    channel: int
    cell: tuple[int, int]
    tap: tuple[int, int]
    input: float
    weight: float
    mark: str

    @property
    def product(self) -> float:
        """What it adds."""
        return self.input * self.weight


@dataclass(frozen=True)
class Step:
    """One output value: its channel, row and column, what it was made of, and the one a maximum took."""

    at: tuple[int, int, int]
    terms: tuple[Term, ...]
    value: float
    taken: int | None = None


class Stepped(Result):
    """What is drawn step by step."""

    def layout(self, *, narrow: bool = False) -> "Drawable":
        """Where everything stands on its drawing; `narrow` for a phone."""
        raise NotImplementedError

    def svg(self, step: int | None = None) -> str:
        """One step as a drawing, or all of them on one sheet."""
        from striate.see.stepper import drawing

        return drawing.sheet(self.layout()) if step is None else drawing.one(self.layout(), step)

    def page(self) -> str:
        """A page with play, pause and step that needs nothing else."""
        from striate.see.stepper import drawing

        return drawing.page(self.layout(), self.layout(narrow=True))

    def save(self, path: str | Path) -> Path:
        """Write an .svg with every step, an animated .gif, or an .html page.

        Raises:
            ArgumentError: another ending.
        """
        path = Path(path)
        match path.suffix.lower():
            case ".svg":
                path.write_text(self.svg(), encoding="utf-8")
            case ".html":
                path.write_text(self.page(), encoding="utf-8")
            case ".gif":
                from striate.see.stepper import drawing

                drawing.write_animation(self.layout(), path)
            case ending:
                raise ArgumentError(
                    f"{path}: cannot write {ending!r}; end it in .svg, .gif or .html"
                )
        return path

    def _repr_html_(self) -> str:
        return self.svg(self.layout().count - 1)


@dataclass(frozen=True, eq=False)
class Steps(Stepped):
    """All steps of one operation, row by row.

    Attributes:
        op: "convolution", "transposed", "max" or "average".
        said: the settings in words.
        inputs: the input, C planes of H rows.
        drawn: what lies under the window, C planes of drawn rows.
        marks: of every drawn cell "", "padding" or "gap"; one plane for all channels.
        kernels: O x C/groups planes of K rows; none for a pooling.
        groups: of input and output channels.
        steps: one an output value.
        output: sizes [O, H, W].
        sources: for every drawn row and column the one of the input that it holds; None where it holds none.
        turned: whether the last cell of a kernel meets the first one under the window.
    """

    op: str
    said: str
    inputs: list[Plane] = field(repr=False)
    drawn: list[Plane] = field(repr=False)
    marks: list[list[str]] = field(repr=False)
    kernels: list[list[Plane]] = field(repr=False)
    groups: int
    steps: tuple[Step, ...] = field(repr=False)
    output: tuple[int, int, int]
    sources: tuple[tuple[int | None, ...], tuple[int | None, ...]] = field(repr=False)
    turned: bool = False

    def as_text(self) -> str:
        """The settings and one line a step."""
        rows = [[",".join(map(str, s.at)), written(s, self.op), f"{s.value:g}"] for s in self.steps]
        return f"{self.said}\n\n{text_table(['output', 'from', 'value'], rows)}"

    def as_dict(self) -> dict[str, Any]:
        """Input, kernels and every step with its terms."""
        return {
            "op": self.op,
            "settings": self.said,
            "input": self.inputs,
            "kernels": self.kernels,
            "output": list(self.output),
            "steps": [
                {
                    "at": list(step.at),
                    "value": step.value,
                    "terms": [
                        [
                            t.channel,
                            *t.tap,
                            None if math.isinf(t.input) else t.input,
                            t.weight,
                            t.mark,
                        ]
                        for t in step.terms
                    ],
                }
                for step in self.steps
            ],
        }

    def layout(self, *, narrow: bool = False) -> "Layout":
        """Where everything stands on its drawing."""
        from striate.see.stepper.layout import Layout

        return Layout(self, narrow=narrow)


def written(step: Step, op: str) -> str:
    """What a value was made of: products, or the numbers that were compared or averaged."""
    if op in ("max", "average"):
        numbers = ", ".join(f"{t.input:g}" for t in step.terms if not math.isinf(t.input))
        return f"{'largest' if op == 'max' else 'mean'} of {numbers}"
    return " + ".join(f"{_bracketed(t.input)}{TIMES}{_bracketed(t.weight)}" for t in step.terms)


def _bracketed(x: float) -> str:
    return f"({x:g})" if x < 0 else f"{x:g}"
