"""Stride: steps wider than one, another one an axis, and the size formula with everything in it."""

import numpy as np
import torch

from striate import see
from striate.lessons.exercise import Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Shown, Table
from striate.lessons.windows import (
    FLIPPED,
    STRIDE_COLUMNS,
    STRIDE_FIRST,
    STRIDE_IGNORED,
    STRIDE_LAST,
    STRIDE_ROWS,
    STRIDE_SWAPPED,
    TRANSPOSED,
    convolved,
    whole,
    window,
)
from striate.ops.conv import conv
from striate.shapes import out_size


def every_other() -> Shown:
    x = torch.arange(1.0, 26).view(1, 1, 5, 5)
    kernel = torch.tensor([[[[1.0, 0], [0, 1]]]])
    every, second = conv(x, kernel), conv(x, kernel, stride=2)
    same = bool((every[..., ::2, ::2] == second).all())
    return Shown([Grids({"stride 1": every, "stride 2": second})], {"same": same})


def two_strides() -> Shown:
    steps = see.convolution((1, 5, 6), 2, stride=(1, 2))
    return Shown([Table(["rows", "columns"], [[steps.output[1], steps.output[2]]])])


def sizes() -> Shown:
    rows: list[list[object]] = []
    for n, k, s, p, d in ((7, 3, 2, 0, 1), (8, 3, 2, 0, 1), (227, 11, 4, 0, 1), (224, 7, 2, 3, 1)):
        predicted = out_size(n, kernel=k, stride=s, padding=p, dilation=d)
        made = conv(torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k), stride=s, padding=p)
        rows.append(
            [n, k, s, p, predicted, made.shape[-1], n + 2 * p - (k - 1 + (predicted - 1) * s) - 1]
        )
    header = ["input", "kernel", "stride", "padding", "predicted", "computed", "cells unread"]
    return Shown([Table(header, rows)])


def cells_out(n: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """The size formula, as `striate.shapes` has it."""
    return out_size(n, kernel=kernel, stride=stride, padding=padding, dilation=dilation)


def cases(rng: np.random.Generator) -> list[Case]:
    settings = [
        ((6, 7), (2, 3), (1, 2)),
        ((7, 6), (3, 3), (2, 1)),
        ((7, 8), (3, 2), (3, 2)),
        ((5, 7), (2, 2), (2, 3)),
    ]
    return [{"x": whole(rng, *x), "w": whole(rng, *w), "stride": s} for x, w, s in settings]


def size_cases(rng: np.random.Generator) -> list[Case]:
    fixed = [(7, 3, 2, 0, 1), (8, 3, 2, 1, 1), (32, 5, 1, 2, 1), (20, 3, 2, 0, 2), (9, 3, 3, 1, 2)]
    drawn = [
        (
            int(rng.integers(12, 60)),
            *(int(rng.integers(low, high)) for low, high in ((2, 6), (1, 4), (0, 4), (1, 3))),
        )
        for _ in range(7)
    ]
    names = ("n", "kernel", "stride", "padding", "dilation")
    return [dict(zip(names, row, strict=True)) for row in fixed + drawn]


def cells(c: Case, padded: int, spread: int) -> int:
    """Cells that are left for moving: of the padded axis, less the kernel."""
    return c["n"] + padded - spread


SIZES = (
    Mistake("forgot_one", after=lambda y: y - 1),
    Mistake("rounded_up", instead=lambda c:
            -(-cells(c, 2 * c["padding"], c["dilation"] * (c["kernel"] - 1) + 1) // c["stride"]) + 1),
    Mistake("padding_once", instead=lambda c:
            cells(c, c["padding"], c["dilation"] * (c["kernel"] - 1) + 1) // c["stride"] + 1),
    Mistake("padding_ignored", lambda case: {**case, "padding": 0}),
    Mistake("dilation_ignored", lambda case: {**case, "dilation": 1}),
    Mistake("spread_wrong", instead=lambda c:
            cells(c, 2 * c["padding"], c["dilation"] * c["kernel"]) // c["stride"] + 1),
    Mistake("stride_ignored", lambda case: {**case, "stride": 1}),
)  # fmt: skip

LESSON = Lesson(
    "stride",
    (every_other, two_strides, sizes),
    (
        Exercise(
            "strided_conv",
            ("x", "w", "stride"),
            convolved,
            cases,
            (
                STRIDE_SWAPPED, STRIDE_IGNORED, STRIDE_ROWS, STRIDE_COLUMNS, STRIDE_FIRST,
                STRIDE_LAST, FLIPPED, TRANSPOSED,
            ),
            window,
        ),
        Exercise("out_size", ("n", "kernel", "stride", "padding", "dilation"), cells_out, size_cases, SIZES),
    ),
)  # fmt: skip
