"""Where everything stands on the drawing of one step: boxes and words, for SVG and GIF alike.

From left to right: what the window slides over, the kernel, the products, the output; one row of panels a
channel. A `kind` names the looks of a box or a word; `style` gives the colours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from striate.see.stepper.steps import TIMES, Plane, Step, Steps

CELL, GAP, TOP, LEFT, BELOW = 46, 34, 66, 20, 26
LINE, CHARACTERS = (
    22,
    7.4,
)  # of the sentence under the panels: its height, and the width of a letter
MINUS, INFINITY = "\N{MINUS SIGN}", "\N{INFINITY}"
MOST_WRITTEN = 48  # products that are written out under the panels


@dataclass(frozen=True)
class Box:
    """A rectangle: place, size, looks."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True)
class Words:
    """A line of text at its base line: `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    kind: str
    anchor: str = "start"


Part = Box | Words


class Layout:
    """The drawing of one operation: `still` is there at every step, `moving` belongs to one."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.channels = len(steps.inputs)
        self.rows, self.columns = len(steps.marks), len(steps.marks[0])
        first = steps.kernels[0][0] if steps.kernels else []
        self.kernel = (len(first), len(first[0])) if first else (0, 0)
        self.kernel_x = LEFT + self.columns * CELL + GAP
        self.products_x = self.kernel_x + self.kernel[1] * CELL + GAP
        self.output_x = self.products_x + self.kernel[1] * CELL + GAP if first else self.kernel_x
        self.height_in = max(self.rows, self.kernel[0]) * CELL + BELOW + 12
        self.height_out = steps.output[1] * CELL + BELOW + 12
        self.width = max(self.output_x + steps.output[2] * CELL + LEFT, 8.3 * len(steps.said) + 150)
        self.bottom = TOP + max(self.channels * self.height_in, steps.output[0] * self.height_out)
        self.lines = max(len(self._sentence(step)) for step in steps.steps)
        self.height = self.bottom + self.lines * LINE + 14

    def still(self) -> Iterator[Part]:
        """Title, input with its padding, and the empty output."""
        yield Words(LEFT, 28, self.steps.said, "title")
        for channel, plane in enumerate(self.steps.drawn):
            top = TOP + channel * self.height_in
            yield Words(LEFT, top - 8, _numbered("input", channel, self.channels), "label")
            yield from self._plane(plane, LEFT, top)
        count = self.steps.output[0]
        for channel in range(count):
            top = TOP + channel * self.height_out
            yield Words(self.output_x, top - 8, _numbered("output", channel, count), "label")
            for y in range(self.steps.output[1]):
                for x in range(self.steps.output[2]):
                    yield _box(self.output_x, top, y, x, "empty")

    def _plane(self, plane: Plane, left: float, top: float) -> Iterator[Part]:
        for y, row in enumerate(plane):
            for x, number in enumerate(row):
                mark = self.steps.marks[y][x]
                yield _box(left, top, y, x, mark or "cell")
                text = "·" if mark == "gap" else number_text(number)
                yield _number(left, top, y, x, text, f"{mark}-number" if mark else "number")

    def moving(self, index: int) -> Iterator[Part]:
        """The window, its kernel and products, the outputs so far, the sentence."""
        step = self.steps.steps[index]
        yield Words(
            self.width - LEFT, 28, f"step {index + 1} of {len(self.steps.steps)}", "count", "end"
        )
        yield from self._window(step)
        if self.steps.kernels:
            yield from self._kernel(step)
        for i in range(index + 1):
            yield from self._output(self.steps.steps[i], now=i == index)
        for i, line in enumerate(self._sentence(step)):
            yield Words(LEFT, self.bottom + i * LINE + 8, line, "sentence")

    def _window(self, step: Step) -> Iterator[Part]:
        for i, term in enumerate(step.terms):
            top = TOP + term.channel * self.height_in
            mark = f"{term.mark}-" if term.mark else ""
            kind = "taken" if i == step.taken else f"{mark}read"
            yield _box(LEFT, top, *term.cell, kind)
            text = "·" if term.mark == "gap" else number_text(term.input)
            yield _number(LEFT, top, *term.cell, text, "read-number")
            if self.steps.kernels:
                x, y = LEFT + (term.cell[1] + 1) * CELL - 4, top + (term.cell[0] + 1) * CELL - 5
                yield Words(x, y, f"{TIMES}{number_text(term.weight)}", "weight", "end")
        for channel in dict.fromkeys(term.channel for term in step.terms):
            cells = [term.cell for term in step.terms if term.channel == channel]
            (low, left), (high, right) = min(cells), max(cells)
            left, right = (pick(c for _, c in cells) for pick in (min, max))
            yield Box(
                LEFT + left * CELL,
                TOP + channel * self.height_in + low * CELL,
                (right - left + 1) * CELL,
                (high - low + 1) * CELL,
                "window",
            )

    def _kernel(self, step: Step) -> Iterator[Part]:
        for term in step.terms:
            top = TOP + term.channel * self.height_in
            if term.tap == (0, 0):
                turned = " (turned)" if self.steps.turned else ""
                yield Words(self.kernel_x, top - 8, f"kernel{turned}", "label")
                yield Words(self.products_x, top - 8, "products", "label")
            y, x = self._shown(term.tap)
            yield _box(self.kernel_x, top, y, x, "kernel")
            yield _number(self.kernel_x, top, y, x, number_text(term.weight), "number")
            nothing = "gap" if term.mark == "gap" else "product"
            text = "·" if term.mark == "gap" else number_text(term.product)
            yield _box(self.products_x, top, y, x, nothing)
            yield _number(self.products_x, top, y, x, text, "number")

    def _shown(self, tap: tuple[int, int]) -> tuple[int, int]:
        """Where a cell of the kernel is drawn, which may meet the input turned by half."""
        if not self.steps.turned:
            return tap
        return self.kernel[0] - 1 - tap[0], self.kernel[1] - 1 - tap[1]

    def _output(self, step: Step, *, now: bool) -> Iterator[Part]:
        channel, y, x = step.at
        top = TOP + channel * self.height_out
        yield _box(self.output_x, top, y, x, "now" if now else "done")
        kind = "now-number" if now else "number"
        yield _number(self.output_x, top, y, x, number_text(step.value), kind)

    def _sentence(self, step: Step) -> list[str]:
        here = f"output {','.join(map(str, step.at))} = "
        pieces = self._pieces(step)
        end = f" = {number_text(step.value)}"
        room = int((self.width - 2 * LEFT) / CHARACTERS)
        lines = [here + (pieces[0] if pieces else "")]
        for piece in [*pieces[1:], end]:
            if len(lines[-1]) + len(piece) > room:
                lines.append("   ")
            lines[-1] += piece
        return lines

    def _pieces(self, step: Step) -> list[str]:
        numbers = [term.input for term in step.terms if term.mark != "gap"]
        if self.steps.op == "max":
            real = [number_text(n) for n in numbers if n != float("-inf")]
            return [f"the largest of {real[0]}" if real else "", *(f", {n}" for n in real[1:])]
        if self.steps.op == "average":
            return [
                f"({number_text(numbers[0])}",
                *(f" {_signed(n)}" for n in numbers[1:]),
                f") / {len(step.terms)}",
            ]
        # Padding of zeros adds nothing; circular, reflected and replicated cells do.
        real = [t for t in step.terms if t.mark == "" or (t.mark == "padding" and t.product)]
        products = [term.product for term in real] or [0.0]
        if len(products) > MOST_WRITTEN:
            return [f"the sum of {len(products)} products"]
        return [number_text(products[0]), *(f" {_signed(n)}" for n in products[1:])]


def number_text(x: float) -> str:
    """Up to four digits, a true minus sign; nothing for minus infinity under a maximum.

    >>> number_text(2.0), number_text(1 / 3)
    ('2', '0.333')
    """
    if x == float("-inf"):
        return f"{MINUS}{INFINITY}"
    text = f"{x:.3g}" if x != int(x) or abs(x) > 9999 else f"{int(x)}"
    return text.replace("-", MINUS)


def _signed(x: float) -> str:
    return f"{MINUS} {number_text(-x)}" if x < 0 else f"+ {number_text(x)}"


def _numbered(word: str, index: int, count: int) -> str:
    return f"{word} {index}" if count > 1 else word


def _box(left: float, top: float, y: int, x: int, kind: str) -> Box:
    return Box(left + x * CELL, top + y * CELL, CELL, CELL, kind)


def _number(left: float, top: float, y: int, x: int, text: str, kind: str) -> Words:
    return Words(left + (x + 0.5) * CELL, top + (y + 0.5) * CELL + 5.5, text, kind, "middle")
