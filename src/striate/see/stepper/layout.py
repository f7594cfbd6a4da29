"""Where everything stands on the drawing of one step: boxes and words, for SVG and GIF alike.

From left to right, or from top to bottom on a phone: what the window slides over, the kernel, the products, the output; one row of panels a
channel. A `kind` names the looks of a box or a word; `style` gives the colours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from striate.see import fonts
from striate.see.stepper.steps import TIMES, Plane, Step, Steps

CELL, GAP, TOP, LEFT, BELOW = 46, 34, 66, 20, 26
LINE = 22  # height of a line of the sentence under the panels
NARROW = 358.0  # pixels of a phone within its margins
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


class Drawable(Protocol):
    """What can be drawn step by step: its size, how many steps, what is always there and what belongs to one."""

    said: str
    width: float
    height: float

    @property
    def count(self) -> int:
        """How many steps there are."""
        ...

    def still(self) -> Iterator[Part]:
        """What is there at every step."""
        ...

    def moving(self, index: int) -> Iterator[Part]:
        """What belongs to one step."""
        ...


class Stepwise:
    """What the drawings of an operation and of its way back share: the number of steps and where it stands."""

    steps: Steps
    title: list[str]
    width: float
    narrow: bool

    @property
    def count(self) -> int:
        """How many steps there are."""
        return len(self.steps.steps)

    def counted(self, index: int) -> Part:
        """Which step this is, beside the title or below it."""
        words = f"step {index + 1} of {self.count}"
        if self.narrow:
            return Words(LEFT, 28 + 20 * len(self.title), words, "count")
        return Words(self.width - LEFT, 28, words, "count", "end")


class Layout(Stepwise):
    """The drawing of one operation: `still` is there at every step, `moving` belongs to one.

    From left to right, or from top to bottom where it is `narrow`, as for a phone.
    """

    def __init__(self, steps: Steps, *, narrow: bool = False) -> None:
        self.steps, self.said = steps, steps.said
        self.narrow = narrow
        self.channels = len(steps.inputs)
        self.rows, self.columns = len(steps.marks), len(steps.marks[0])
        first = steps.kernels[0][0] if steps.kernels else []
        self.kernel = (len(first), len(first[0])) if first else (0, 0)
        self._place()
        self.top = TOP + 20 * (len(self.title) - 1) + 20 * narrow
        self.below = self.top + self.channels * self.height_in
        outputs = steps.output[0] * self.height_out
        tall = self.below + outputs if narrow else max(self.below, self.top + outputs)
        self.bottom = tall
        self.lines = max(len(self._sentence(step)) for step in steps.steps)
        self.height = float(self.bottom + self.lines * LINE + 14)

    def _place(self) -> None:
        """Where the panels begin, and how wide and high they are together."""
        (high, wide), (_, out_rows, out_columns) = self.kernel, self.steps.output
        input_end = LEFT + self.columns * CELL + GAP
        self.height_out = out_rows * CELL + BELOW + 12
        if self.narrow:
            beside = 2 * wide * CELL + GAP + 2 * LEFT <= max(NARROW, input_end)
            self.kernel_x, self.output_x = LEFT, LEFT
            self.products_x = LEFT + wide * CELL + GAP if beside else LEFT
            self.kernel_below = self.rows * CELL + BELOW + 12
            self.products_below = self.kernel_below + (0 if beside else high * CELL + BELOW + 12)
            under = high * CELL + BELOW + 12 if high else 0
            self.height_in = self.products_below + under
            kernels = 2 * wide * CELL + GAP if beside else wide * CELL
            self.width = max(max(self.columns, out_columns) * CELL, kernels) + 2.0 * LEFT
            self.width = max(self.width, NARROW)
            self.title = broken(self.steps.said, self.width - 2 * LEFT)
            return
        self.kernel_x, self.kernel_below, self.products_below = input_end, 0, 0
        self.products_x = self.kernel_x + wide * CELL + GAP
        self.output_x = self.products_x + wide * CELL + GAP if high else self.kernel_x
        self.height_in = max(self.rows, high) * CELL + BELOW + 12
        right = self.output_x + out_columns * CELL + LEFT
        self.width = max(right, fonts.width(self.steps.said, 14, bold=True) + 150)
        self.title = [self.steps.said]

    def _input_top(self, channel: int) -> float:
        return self.top + channel * self.height_in

    def _output_top(self, channel: int) -> float:
        return (self.below if self.narrow else self.top) + channel * self.height_out

    def still(self) -> Iterator[Part]:
        """Title, input with its padding, and the empty output."""
        for i, line in enumerate(self.title):
            yield Words(LEFT, 28 + 20 * i, line, "title")
        for channel, plane in enumerate(self.steps.drawn):
            top = self._input_top(channel)
            yield Words(LEFT, top - 8, numbered("input", channel, self.channels), "label")
            yield from self._plane(plane, LEFT, top)
        yield from self._empty("output")

    def _empty(self, word: str) -> Iterator[Part]:
        count = self.steps.output[0]
        for channel in range(count):
            top = self._output_top(channel)
            yield Words(self.output_x, top - 8, numbered(word, channel, count), "label")
            for y in range(self.steps.output[1]):
                for x in range(self.steps.output[2]):
                    yield box(self.output_x, top, y, x, "empty")

    def _plane(self, plane: Plane, left: float, top: float) -> Iterator[Part]:
        for y, row in enumerate(plane):
            for x, value in enumerate(row):
                mark = self.steps.marks[y][x]
                yield box(left, top, y, x, mark or "cell")
                text = "·" if mark == "gap" else number_text(value)
                yield number(left, top, y, x, text, f"{mark}-number" if mark else "number")

    def moving(self, index: int) -> Iterator[Part]:
        """The window, its kernel and products, the outputs so far, the sentence."""
        step = self.steps.steps[index]
        yield self.counted(index)
        yield from self._window(step)
        if self.steps.kernels:
            yield from self._kernel(step)
        for i in range(index + 1):
            yield from self._output(self.steps.steps[i], now=i == index)
        yield from self._said(self._sentence(step))

    def _said(self, lines: list[str]) -> Iterator[Part]:
        for i, line in enumerate(lines):
            yield Words(LEFT, self.bottom + i * LINE + 8, line, "sentence")

    def _window(self, step: Step) -> Iterator[Part]:
        for i, term in enumerate(step.terms):
            top = self._input_top(term.channel)
            mark = f"{term.mark}-" if term.mark else ""
            kind = "taken" if i == step.taken else f"{mark}read"
            yield box(LEFT, top, *term.cell, kind)
            text = "·" if term.mark == "gap" else number_text(term.input)
            yield number(LEFT, top, *term.cell, text, "read-number")
            if self.steps.kernels:
                x, y = LEFT + (term.cell[1] + 1) * CELL - 4, top + (term.cell[0] + 1) * CELL - 5
                yield Words(x, y, f"{TIMES}{number_text(term.weight)}", "weight", "end")
        for channel in dict.fromkeys(term.channel for term in step.terms):
            cells = [term.cell for term in step.terms if term.channel == channel]
            (low, left), (high, right) = min(cells), max(cells)
            left, right = (pick(c for _, c in cells) for pick in (min, max))
            yield Box(
                LEFT + left * CELL,
                self._input_top(channel) + low * CELL,
                (right - left + 1) * CELL,
                (high - low + 1) * CELL,
                "window",
            )

    def _kernel(self, step: Step) -> Iterator[Part]:
        for term in step.terms:
            top, low = (
                self._input_top(term.channel) + below
                for below in (self.kernel_below, self.products_below)
            )
            if term.tap == (0, 0):
                turned = " (turned)" if self.steps.turned else ""
                yield Words(self.kernel_x, top - 8, f"kernel{turned}", "label")
                yield Words(self.products_x, low - 8, "products", "label")
            y, x = self._shown(term.tap)
            yield box(self.kernel_x, top, y, x, "kernel")
            yield number(self.kernel_x, top, y, x, number_text(term.weight), "number")
            nothing = "gap" if term.mark == "gap" else "product"
            text = "·" if term.mark == "gap" else number_text(term.product)
            yield box(self.products_x, low, y, x, nothing)
            yield number(self.products_x, low, y, x, text, "number")

    def _shown(self, tap: tuple[int, int]) -> tuple[int, int]:
        """Where a cell of the kernel is drawn, which may meet the input turned by half."""
        if not self.steps.turned:
            return tap
        return self.kernel[0] - 1 - tap[0], self.kernel[1] - 1 - tap[1]

    def _output(self, step: Step, *, now: bool) -> Iterator[Part]:
        channel, y, x = step.at
        top = self._output_top(channel)
        yield box(self.output_x, top, y, x, "now" if now else "done")
        kind = "now-number" if now else "number"
        yield number(self.output_x, top, y, x, number_text(step.value), kind)

    def _sentence(self, step: Step) -> list[str]:
        here = f"output {','.join(map(str, step.at))} = "
        pieces = self._pieces(step)
        end = f" = {number_text(step.value)}"
        return _joined(here, pieces, end, self.width - 2 * LEFT)

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


def _joined(start: str, pieces: list[str], end: str, room: float) -> list[str]:
    """Pieces as lines that fit."""
    lines = [start + (pieces[0] if pieces else "")]
    for piece in [*pieces[1:], end]:
        if fonts.width(lines[-1] + piece, 14) > room:
            lines.append("   ")
        lines[-1] += piece
    return lines


def broken(words: str, room: float) -> list[str]:
    """Words as lines that fit, cut after commas."""
    lines = [""]
    for piece in words.split(", "):
        longer = f"{lines[-1]}, {piece}" if lines[-1] else piece
        if lines[-1] and fonts.width(longer, 14, bold=True) > room:
            lines[-1] += ","
            lines.append(piece)
        else:
            lines[-1] = longer
    return lines


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


def numbered(word: str, index: int, count: int) -> str:
    """With its number where there are several."""
    return f"{word} {index}" if count > 1 else word


def box(left: float, top: float, y: int, x: int, kind: str) -> Box:
    """One cell of a panel."""
    return Box(left + x * CELL, top + y * CELL, CELL, CELL, kind)


def number(left: float, top: float, y: int, x: int, text: str, kind: str) -> Words:
    """What stands in a cell."""
    return Words(left + (x + 0.5) * CELL, top + (y + 0.5) * CELL + 5.5, text, kind, "middle")
