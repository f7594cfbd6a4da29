"""How the error of the output of a window flows back: to the input, and to the weights. Rumelhart, Hinton and Williams 1986.

An error is the derivative of a loss by a number. Each input gets, of every output that read it, that output's error
times the weight between them; under a maximum the input that was taken gets all of it, under an average all get the
same. A padding cell that repeats an input hands its error on to it, others drop it.

C input channels, O outputs, H W cells, K kernel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from striate.errors import ArgumentError, ShapeError
from striate.result import text_table
from striate.see import fonts
from striate.see.stepper.layout import (
    BELOW,
    CELL,
    GAP,
    LEFT,
    LINE,
    NARROW,
    TOP,
    Box,
    Part,
    Stepwise,
    Words,
    box,
    broken,
    number,
    number_text,
    numbered,
)
from striate.see.stepper.steps import TIMES, Plane, Step, Stepped, Steps
from striate.text import times


@dataclass(frozen=True, eq=False)
class Errors(Stepped):
    """The errors of one operation.

    Attributes:
        steps: the operation.
        output: the error of its output, O planes.
        input: the error of its input, C planes of H rows, without padding.
        weights: the error of its kernels, O x C/groups planes; none for a pooling.
        so_far: after each step the error of every drawn cell, padding included, C planes.
    """

    steps: Steps
    output: list[Plane]
    input: list[Plane]
    weights: list[list[Plane]]
    so_far: list[list[Plane]] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Errors of the output, the input and the weights."""
        return {
            "op": self.steps.op,
            "settings": self.steps.said,
            "error": self.output,
            "input_error": self.input,
            "weight_error": self.weights,
        }

    def as_text(self) -> str:
        """The errors as grids."""
        blocks = [f"error map: {self.steps.said}"]
        blocks += _grids("error of the output", self.output)
        blocks += _grids("error of the input", self.input)
        for o, planes in enumerate(self.weights):
            blocks += _grids(f"error of kernel {o}" if len(self.weights) > 1 else "error of the kernel", planes)  # fmt: skip
        return "\n\n".join(blocks)

    def layout(self, *, narrow: bool = False) -> "BackLayout":
        """Where everything stands on its drawing."""
        return BackLayout(self, narrow=narrow)


def backward(steps: Steps, error: Tensor | Sequence[int] | None = None) -> Errors:
    """The errors of an operation whose output has a given error.

    Args:
        steps: the operation, as `convolution` gives it.
        error: of the output [O, H, W], or the place (O, Y, X) of the one output whose error is 1 while all others
            have none; 1 everywhere if not given.

    Raises:
        ShapeError: an error of another shape.
        ArgumentError: there is no such output.
    """
    given = _given(steps, error)
    drawn = [[[0.0 for _ in row] for row in plane] for plane in steps.drawn]
    weights = [[[[0.0 for _ in row] for row in p] for p in planes] for planes in steps.kernels]
    so_far: list[list[Plane]] = []
    per_group = len(steps.inputs) // steps.groups
    for step in steps.steps:
        o, y, x = step.at
        for i, share in enumerate(shares(steps.op, step, given[o][y][x])):
            term = step.terms[i]
            drawn[term.channel][term.cell[0]][term.cell[1]] += share
            if weights:
                row, column = term.tap
                weights[o][term.channel % per_group][row][column] += given[o][y][x] * term.input
        so_far.append([[list(row) for row in plane] for plane in drawn])
    return Errors(steps, given, _handed_on(steps, drawn), weights, so_far)


def _given(steps: Steps, error: Tensor | Sequence[int] | None) -> list[Plane]:
    channels, rows, columns = steps.output
    planes = [[[1.0] * columns for _ in range(rows)] for _ in range(channels)]
    if error is None:
        return planes
    if isinstance(error, Tensor):
        if tuple(error.shape) != steps.output:
            raise ShapeError(
                f"error: got shape {times(error.shape)}, expected that of the output, {times(steps.output)}"
            )
        return error.detach().double().cpu().tolist()
    at = tuple(error)
    if len(at) != 3 or not all(0 <= i < n for i, n in zip(at, steps.output, strict=True)):
        raise ArgumentError(
            f"error={','.join(map(str, at))}: expected a place C,Y,X in an output of {times(steps.output)}"
        )
    return [
        [[float((o, y, x) == at) for x in range(columns)] for y in range(rows)]
        for o in range(channels)
    ]


def shares(op: str, step: Step, error: float) -> list[float]:
    """What each cell under the window gets of an output's error."""
    if op == "max":
        return [error * (i == step.taken) for i in range(len(step.terms))]
    if op == "average":
        return [error / len(step.terms)] * len(step.terms)
    return [error * term.weight for term in step.terms]


def _handed_on(steps: Steps, drawn: list[Plane]) -> list[Plane]:
    """The error of the input itself, from that of the drawn cells that hold it."""
    rows, columns = steps.sources
    found = [[[0.0 for _ in row] for row in plane] for plane in steps.inputs]
    for channel, plane in enumerate(drawn):
        for r, row in zip(rows, plane, strict=True):
            for c, value in zip(columns, row, strict=True):
                if r is not None and c is not None:
                    found[channel][r][c] += value
    return found


def _grids(title: str, planes: Sequence[Plane]) -> list[str]:
    blocks: list[str] = []
    for channel, plane in enumerate(planes):
        cells = [[f"{value:g}" for value in row] for row in plane]
        head, *rest = cells
        blocks.append(f"{numbered(title, channel, len(planes))}\n{text_table(head, rest)}")
    return blocks


class BackLayout(Stepwise):
    """The drawing: the error of the output, the kernel, what each cell gets, the error of the input so far."""

    def __init__(self, errors: Errors, *, narrow: bool = False) -> None:
        self.errors, self.steps, self.narrow = errors, errors.steps, narrow
        self.said = f"error map: {self.steps.said}"
        _, out_rows, out_columns = self.steps.output
        first = self.steps.kernels[0][0] if self.steps.kernels else []
        high, wide = (len(first), len(first[0])) if first else (0, 0)
        self.rows, self.columns = len(self.steps.marks), len(self.steps.marks[0])
        self.height_out = out_rows * CELL + BELOW + 12
        self.height_in = max(self.rows, 0 if narrow else high) * CELL + BELOW + 12
        channels, outputs = len(self.steps.inputs), self.steps.output[0]
        if narrow:
            self.kernel_x = self.input_x = LEFT
            self.gets_x = LEFT + wide * CELL + GAP
            panels = max(out_columns, 2 * wide + bool(wide), self.columns) * CELL
            self.width = max(panels + 2 * LEFT, NARROW)
        else:
            self.kernel_x = LEFT + out_columns * CELL + GAP
            self.gets_x = self.kernel_x + wide * CELL + GAP
            self.input_x = self.gets_x + wide * CELL + GAP if high else self.kernel_x
            least = fonts.width(self.said, 14, bold=True) + 150
            self.width = max(self.input_x + self.columns * CELL + LEFT, least)
        self.title = broken(self.said, self.width - 2 * LEFT) if narrow else [self.said]
        self.top = TOP + 20 * (len(self.title) - 1) + 20 * narrow
        self.kernels = self.top + outputs * self.height_out if narrow else self.top
        self.per_kernel = high * CELL + BELOW + 12 if narrow else self.height_in
        self.inputs = self.kernels + (channels * self.per_kernel if narrow and high else 0)
        self.bottom = max(self.top + outputs * self.height_out, self.inputs + channels * self.height_in)  # fmt: skip
        self.lines = max(len(self._sentence(i)) for i in range(self.count))
        self.height = float(self.bottom + self.lines * LINE + 14)

    def still(self) -> Iterator[Part]:
        """Title, the error of the output, the empty error of the input."""
        for i, line in enumerate(self.title):
            yield Words(LEFT, 28 + 20 * i, line, "title")
        for channel, plane in enumerate(self.errors.output):
            top = self.top + channel * self.height_out
            name = numbered("error of the output", channel, len(self.errors.output))
            yield Words(LEFT, top - 8, name, "label")
            for y, row in enumerate(plane):
                for x, value in enumerate(row):
                    yield box(LEFT, top, y, x, "cell")
                    yield number(LEFT, top, y, x, number_text(value), "number")
        for channel in range(len(self.steps.inputs)):
            top = self.inputs + channel * self.height_in
            name = numbered("error of the input", channel, len(self.steps.inputs))
            yield Words(self.input_x, top - 8, name, "label")
            for y, marks in enumerate(self.steps.marks):
                for x, mark in enumerate(marks):
                    yield box(self.input_x, top, y, x, mark or "empty")

    def moving(self, index: int) -> Iterator[Part]:
        """The output whose error goes back, what each cell gets, the sum so far, the sentence."""
        step = self.steps.steps[index]
        yield self.counted(index)
        channel, y, x = step.at
        top = self.top + channel * self.height_out
        error = self.errors.output[channel][y][x]
        yield box(LEFT, top, y, x, "now")
        yield number(LEFT, top, y, x, number_text(error), "now-number")
        given = shares(self.steps.op, step, error)
        if self.steps.kernels:
            yield from self._kernel(step, given)
        yield from self._input(step, given, self.errors.so_far[index])
        for i, line in enumerate(self._sentence(index)):
            yield Words(LEFT, self.bottom + i * LINE + 8, line, "sentence")

    def _kernel(self, step: Step, given: Sequence[float]) -> Iterator[Part]:
        for term, share in zip(step.terms, given, strict=True):
            top = self.kernels + term.channel * self.per_kernel
            if term.tap == (0, 0):
                yield Words(self.kernel_x, top - 8, "kernel", "label")
                yield Words(self.gets_x, top - 8, f"error {TIMES} weight", "label")
            for x, value, kind in ((self.kernel_x, term.weight, "kernel"), (self.gets_x, share, "product")):  # fmt: skip
                yield box(x, top, *term.tap, kind)
                yield number(x, top, *term.tap, number_text(value), "number")

    def _input(self, step: Step, given: Sequence[float], so_far: list[Plane]) -> Iterator[Part]:
        under = {(t.channel, *t.cell): share for t, share in zip(step.terms, given, strict=True)}
        for channel, plane in enumerate(so_far):
            top = self.inputs + channel * self.height_in
            for y, row in enumerate(plane):
                for x, value in enumerate(row):
                    share = under.get((channel, y, x))
                    mark = self.steps.marks[y][x]
                    if share is None and not value:
                        continue
                    kind = "read" if share is not None else mark or "done"
                    yield box(self.input_x, top, y, x, kind)
                    words = "read-number" if share is not None else f"{mark}-number" if mark else "number"  # fmt: skip
                    yield number(self.input_x, top, y, x, number_text(value), words)
                    if share:
                        right, low = self.input_x + (x + 1) * CELL - 4, top + (y + 1) * CELL - 5
                        sign = "+" if share > 0 else ""
                        yield Words(right, low, f"{sign}{number_text(share)}", "weight", "end")
            yield from self._window(channel, top, under)

    def _window(self, channel: int, top: float, under: dict[tuple[int, int, int], float]) -> Iterator[Part]:  # fmt: skip
        cells = [(y, x) for c, y, x in under if c == channel]
        if cells:
            rows, columns = [y for y, _ in cells], [x for _, x in cells]
            yield Box(
                self.input_x + min(columns) * CELL,
                top + min(rows) * CELL,
                (max(columns) - min(columns) + 1) * CELL,
                (max(rows) - min(rows) + 1) * CELL,
                "window",
            )

    def _sentence(self, index: int) -> list[str]:
        step = self.steps.steps[index]
        o, y, x = step.at
        error = number_text(self.errors.output[o][y][x])
        rule = {
            "max": "all of it goes to the input that was taken",
            "average": f"each cell under the window gets {error} / {len(step.terms)}",
        }.get(self.steps.op, f"each cell under the window gets {error} {TIMES} its weight")
        return broken(f"the error of output {o},{y},{x} is {error}, {rule}", self.width - 2 * LEFT)
