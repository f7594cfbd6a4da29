"""Dilation: kernels with gaps, their sizes said before they are computed, and what shrinking the picture first would lose."""

import numpy as np
import torch

from striate import see
from striate.lessons.exercise import Case, Exercise
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Pictures, Shown, Table
from striate.lessons.windows import (
    DILATION_AS_STRIDE,
    DILATION_IGNORED,
    DILATION_LESS,
    DILATION_MORE,
    FLIPPED,
    KERNEL_TRANSPOSED,
    TRANSPOSED,
    convolved,
    whole,
    window,
)
from striate.ops.conv import conv
from striate.ops.pool import avg_pool
from striate.ops.unpool import nearest_unpool
from striate.shapes import out_size, spread


def sizes() -> Shown:
    x, kernel = torch.zeros(1, 1, 15, 15), torch.ones(1, 1, 3, 3)
    rows: list[list[object]] = []
    for d in (1, 2, 3, 4):
        predicted = out_size(15, kernel=3, dilation=d)
        rows.append([d, spread(3, d), 9, predicted, conv(x, kernel, dilation=d).shape[-1]])
    header = ["dilation", "spreads over", "weights", "predicted", "computed"]
    return Shown([Table(header, rows)])


def one_window() -> Shown:
    steps = see.convolution(torch.arange(1.0, 8)[None], torch.tensor([[[1.0, 1, 1]]]), dilation=2)
    return Shown([steps])


def stacked() -> Shown:
    rows, field = list[list[object]](), 1
    for layer, d in enumerate((1, 2, 4, 8), 1):
        field += 2 * d
        rows.append([layer, d, field, 1 + 2 * layer, 9 * layer])
    return Shown([Table(["layers", "dilation", "field", "field without", "weights"], rows)])


def against_shrinking() -> Shown:
    x = torch.zeros(1, 1, 12, 12)
    x[..., 2:10, 5] = 1
    kernel = torch.tensor([[[[-1.0, 2, -1]] * 3]])
    dilated = conv(x, kernel, dilation=2, padding=2)
    shrunk = conv(avg_pool(x, kernel_size=2), kernel, padding=1)
    enlarged = nearest_unpool(shrunk, scale=2)
    numbers = {"places": int(dilated.numel()), "left": int(shrunk.numel())}
    return Shown([Pictures({"picture": x, "dilated": dilated, "shrunk first": enlarged})], numbers)


def cases(rng: np.random.Generator) -> list[Case]:
    settings = [((7, 8), (3, 3), 2), ((6, 7), (2, 3), 2), ((9, 8), (3, 2), 3), ((5, 6), (3, 3), 1)]
    return [{"x": whole(rng, *x), "w": whole(rng, *w), "dilation": d} for x, w, d in settings]


LESSON = Lesson(
    "dilation",
    (sizes, one_window, stacked, against_shrinking),
    (
        Exercise(
            "dilated_conv",
            ("x", "w", "dilation"),
            convolved,
            cases,
            (
                DILATION_MORE, DILATION_LESS, DILATION_IGNORED, DILATION_AS_STRIDE, FLIPPED,
                KERNEL_TRANSPOSED, TRANSPOSED,
            ),
            window,
        ),
    ),
)  # fmt: skip
