"""Padding: which sizes come out, what lies in the border, and how little the border counts without it."""

import numpy as np
import torch

from striate.lessons.exercise import Case, Exercise
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Shown, Table
from striate.lessons.windows import (
    FLIPPED,
    KERNEL_TRANSPOSED,
    PADDING_AFTER,
    PADDING_BEFORE,
    PADDING_EDGE,
    PADDING_IGNORED,
    PADDING_LESS,
    PADDING_MORE,
    PADDING_TWICE,
    TRANSPOSED,
    convolved,
    whole,
    window,
)
from striate.ops.conv import conv
from striate.ops.padding import padded
from striate.ops.transposed import conv_transpose
from striate.shapes import out_size


def sizes() -> Shown:
    x, kernel = torch.rand(1, 1, 7, 7), torch.ones(1, 1, 3, 3)
    rows: list[list[object]] = []
    for name, padding in (("valid", 0), ("same", 1), ("full", 2)):
        predicted = out_size(7, kernel=3, padding=padding)
        rows.append([name, padding, predicted, conv(x, kernel, padding=padding).shape[-1]])
    return Shown([Table(["name", "padding", "predicted", "computed"], rows)])


def fills() -> Shown:
    x = torch.arange(1.0, 10).view(1, 1, 3, 3)
    names = ("zeros", "reflect", "replicate", "circular")
    return Shown([Grids({name: padded(x, ((1, 1), (1, 1)), name) for name in names})])


def how_often_read() -> Shown:
    ones, kernel = torch.ones(1, 1, 5, 5), torch.ones(1, 1, 3, 3)
    valid = conv_transpose(ones, kernel)
    same = conv_transpose(torch.ones(1, 1, 7, 7), kernel, padding=1)
    shown = Grids({"valid": valid, "same": same})
    return Shown([shown], {"corner": int(valid[0, 0, 0, 0]), "middle": int(valid.max())})


def shrinking() -> Shown:
    side, rows = 28, list[list[object]]()
    for depth in range(1, 14):
        side = out_size(side, kernel=3)
        if depth in (1, 5, 10, 13):
            rows.append([depth, side, f"{side**2 / 28**2:.1%}", 28])
    return Shown([Table(["layers", "side, valid", "cells left", "side, same"], rows)])


def cases(rng: np.random.Generator) -> list[Case]:
    settings = [((4, 5), (3, 3), 1), ((5, 4), (3, 2), 2), ((4, 6), (2, 3), 0), ((3, 4), (3, 3), 2)]
    return [{"x": whole(rng, *x), "w": whole(rng, *w), "padding": p} for x, w, p in settings]


LESSON = Lesson(
    "padding",
    (sizes, fills, how_often_read, shrinking),
    (
        Exercise(
            "padded_conv",
            ("x", "w", "padding"),
            convolved,
            cases,
            (
                PADDING_MORE, PADDING_LESS, PADDING_IGNORED, PADDING_BEFORE, PADDING_AFTER,
                PADDING_TWICE, PADDING_EDGE, FLIPPED, KERNEL_TRANSPOSED, TRANSPOSED,
            ),
            window,
        ),
    ),
)  # fmt: skip
