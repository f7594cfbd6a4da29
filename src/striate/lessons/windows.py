"""What exercises about sliding windows share: the true operation, cases, usual mistakes, and a window drawn with its numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from striate.lessons.exercise import Array, Case, Mistake, changed
from striate.lessons.shown import beside, grid_lines
from striate.ops.conv import conv
from striate.ops.pool import max_pool
from striate.see import stepper
from striate.see.stepper.steps import written


def convolved(x: Array, w: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Array:
    """The cross-correlation of a picture [H, W] with a kernel, by `striate.ops.conv`."""
    given = (torch.from_numpy(np.array(each))[None, None] for each in (x, w))
    return conv(*given, stride=stride, padding=padding, dilation=dilation)[0, 0].numpy()


def pooled(x: Array, size: int, stride: int) -> Array:
    """The largest value of every window, by `striate.ops.pool`."""
    given = torch.from_numpy(np.array(x))[None, None]
    return max_pool(given, kernel_size=size, stride=stride)[0, 0].numpy()


def whole(rng: np.random.Generator, *shape: int, low: int = -3, high: int = 7) -> Array:
    """Small whole numbers, no two neighbours alike by rule: sums can be checked in the head."""
    return rng.integers(low, high, shape).astype(np.float64)


def _set(**changes: Any) -> Callable[[Case], Case]:
    return lambda case: changed(case, changes)


def _of(key: str, change: Callable[[Any], Any]) -> Callable[[Case], Case]:
    """One argument changed, where the case has it."""
    return lambda case: {**case, key: change(case[key])} if key in case else case


def _padding(by: int) -> Callable[[Case], Case]:
    """Padding one wider or narrower; below none the picture itself is cut."""

    def change(case: Case) -> Case:
        padding = case.get("padding", 0)
        if isinstance(padding, int) and padding + by >= 0:
            return {**case, "padding": padding + by}
        return {**case, "x": case["x"][1:-1, 1:-1]}

    return change


FLIPPED = Mistake("flipped", _of("w", lambda w: w[::-1, ::-1]))
KERNEL_TRANSPOSED = Mistake("kernel_transposed", _of("w", lambda w: w.T))
FLIPPED_ROWS = Mistake("flipped_one", _of("w", lambda w: w[::-1]))
FLIPPED_COLUMNS = Mistake("flipped_one", _of("w", lambda w: w[:, ::-1]))
TRANSPOSED = Mistake("transposed", after=lambda y: y.T)
LAST_LEFT_OUT = Mistake("last_left_out", after=lambda y: y[:-1, :-1])
LATE = Mistake("late", after=lambda y: y[1:, 1:])
MEAN = Mistake("mean", lambda case: {**case, "w": case["w"] / case["w"].size})
STRIDE_SWAPPED = Mistake("stride_swapped", _of("stride", lambda s: (s[1], s[0])))
STRIDE_IGNORED = Mistake("stride_ignored", _set(stride=1))
STRIDE_ROWS = Mistake("stride_one_axis", _of("stride", lambda s: (s[0], 1)))
STRIDE_COLUMNS = Mistake("stride_one_axis", _of("stride", lambda s: (1, s[1])))
STRIDE_FIRST = Mistake("stride_first", _of("stride", lambda s: (s[0], s[0])))
STRIDE_LAST = Mistake("stride_first", _of("stride", lambda s: (s[1], s[1])))
PADDING_MORE = Mistake("padding_more", _padding(1))
PADDING_LESS = Mistake("padding_less", _padding(-1))
PADDING_IGNORED = Mistake("padding_ignored", _set(padding=0))
PADDING_BEFORE = Mistake("padding_one_side", _of("padding", lambda p: ((p, 0), (p, 0))))
PADDING_AFTER = Mistake("padding_one_side", _of("padding", lambda p: ((0, p), (0, p))))
PADDING_TWICE = Mistake("padding_twice", _of("padding", lambda p: 2 * p))
DILATION_MORE = Mistake("dilation_more", _of("dilation", lambda d: d + 1))
DILATION_LESS = Mistake("dilation_less", _of("dilation", lambda d: max(1, d - 1)))
DILATION_IGNORED = Mistake("dilation_ignored", _set(dilation=1))
DILATION_AS_STRIDE = Mistake(
    "dilation_as_stride", lambda case: {**case, "stride": case.get("dilation", 1), "dilation": 1}
)

KERNEL = (
    FLIPPED,
    KERNEL_TRANSPOSED,
    FLIPPED_ROWS,
    FLIPPED_COLUMNS,
    TRANSPOSED,
    LAST_LEFT_OUT,
    LATE,
    MEAN,
)


def edged(case: Case) -> Case:
    """With a border that repeats the outermost cells in the place of zeros."""
    padding = case["padding"]
    return {**case, "x": np.pad(case["x"], padding, mode="edge"), "padding": 0}


PADDING_EDGE = Mistake("padding_edge", edged)


def window(case: Case, at: tuple[int, ...]) -> str:
    """The cells under the window of one output value, the kernel, and the sum with all its terms."""
    x, w = (torch.from_numpy(np.array(case[key])) for key in ("x", "w"))
    steps = stepper.convolution(
        x[None] if x.ndim == 2 else x,
        w[None, None] if w.ndim == 2 else w[None],
        stride=case.get("stride", 1),
        padding=case.get("padding", 0),
        dilation=case.get("dilation", 1),
    )
    step = next(each for each in steps.steps if each.at[-len(at) :] == at)
    blocks: list[list[str]] = []
    planes = sorted({term.channel for term in step.terms})
    for channel in planes:
        terms = [term for term in step.terms if term.channel == channel]
        name = f"{channel}" if len(planes) > 1 else ""
        blocks += [
            [f"x{name}", *_laid(terms, lambda t: t.input)],
            [f"w{name}", *_laid(terms, lambda t: t.weight)],
        ]
    return f"{beside(blocks)}\n\n{written(step, steps.op)} = {step.value:g}"


def _laid(terms: Any, value: Callable[[Any], float]) -> list[str]:
    """Numbers of the terms where the kernel's cells are; what lies in the padding has a p behind it."""
    rows, columns = (1 + max(term.tap[axis] for term in terms) for axis in (0, 1))
    grid = np.zeros((rows, columns))
    marks: dict[tuple[int, int], str] = {}
    for term in terms:
        grid[term.tap] = value(term)
        if term.mark == "padding" and value(term) == term.input:
            marks[term.tap] = "p"
    return grid_lines(grid, marks)


def pool_window(case: Case, at: tuple[int, ...]) -> str:
    """The cells under the window of one pooled value."""
    (y, x), size, stride = at, case["size"], case["stride"]
    under = case["x"][y * stride :, x * stride :][:size, :size]
    return "\n".join(["x", *grid_lines(under), "", f"max = {under.max():g}"])
