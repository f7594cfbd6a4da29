"""Pooling: what a maximum keeps and a mean dims, a white circle, and a 5 x 5 picture carried through convolution, ReLU and pooling."""

import numpy as np
import torch

from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Pictures, Shown, Table
from striate.lessons.windows import pool_window, pooled, whole
from striate.ops.conv import conv
from striate.ops.pool import avg_pool, max_pool


def two_kinds() -> Shown:
    x = torch.tensor([[[[1.0, 3, 2, 1], [2, 9, 1, 1], [1, 4, 2, 3], [5, 6, 1, 2]]]])
    largest, mean = max_pool(x, kernel_size=2), avg_pool(x, kernel_size=2)
    return Shown([Grids({"picture": x, "max pooling": largest, "average pooling": mean})])


def white_circle() -> Shown:
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    radius = ((y - 7.5) ** 2 + (x - 7.5) ** 2).sqrt()
    circle = ((radius > 5) & (radius < 6)).float()[None, None]
    kept, dimmed = max_pool(circle, kernel_size=4), avg_pool(circle, kernel_size=4)
    white = Pictures({"picture": circle, "max pooling": kept, "average pooling": dimmed}, 0, 1)
    black = max_pool(1 - circle, kernel_size=4)
    return Shown(
        [white],
        {"kept": float(kept.max()), "dimmed": float(dimmed.max()), "dark": float(black.min())},
    )


def small_shift() -> Shown:
    x = torch.zeros(1, 1, 6, 6)
    x[..., 2, 2] = 1
    rows: list[list[object]] = []
    for shift in (0, 1, 2):
        moved = torch.roll(x, shift, -1)
        same = bool((max_pool(moved, kernel_size=2) == max_pool(x, kernel_size=2)).all())
        rows.append([shift, "the same" if same else "another"])
    return Shown([Table(["moved by", "pooled picture"], rows)])


def whole_way() -> Shown:
    x = torch.tensor(
        [[1.0, 0, 0, 0, 1], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1]]
    )[None, None]
    kernel = torch.tensor([[[[1.0, -1], [-1, 1]]]])
    maps = conv(x, kernel)
    rectified = maps.relu()
    result = max_pool(rectified, kernel_size=2)
    return Shown(
        [Grids({"picture": x, "kernel": kernel, "map": maps, "ReLU": rectified, "pooled": result})]
    )


def cases(rng: np.random.Generator) -> list[Case]:
    settings = [((4, 6), 2, 2), ((5, 7), 3, 2), ((6, 5), 2, 1), ((7, 8), 3, 3)]
    return [
        {"x": whole(rng, *x, low=-9, high=3), "size": size, "stride": s} for x, size, s in settings
    ]


def with_cut_windows(x: Array, size: int, stride: int) -> Array:
    found = torch.from_numpy(np.array(x))[None, None]
    return max_pool(found, kernel_size=size, stride=stride, ceil_mode=True)[0, 0].numpy()


def mean(x: Array, size: int, stride: int) -> Array:
    return avg_pool(torch.from_numpy(np.array(x))[None, None], kernel_size=size, stride=stride)[
        0, 0
    ].numpy()


MISTAKES = (
    Mistake("average", instead=lambda c: mean(**c)),
    Mistake("minimum", instead=lambda c: -pooled(-c["x"], c["size"], c["stride"])),
    Mistake("from_zero", after=lambda y: np.maximum(y, 0)),
    Mistake("stride_ignored", lambda case: {**case, "stride": 1}),
    Mistake("stride_is_size", lambda case: {**case, "stride": case["size"]}),
    Mistake("cut_windows", instead=lambda c: with_cut_windows(**c)),
    Mistake("last_left_out", after=lambda y: y[:-1, :-1]),
    Mistake("transposed", after=lambda y: y.T),
)

LESSON = Lesson(
    "max_pooling",
    (two_kinds, white_circle, small_shift, whole_way),
    (Exercise("max_pool", ("x", "size", "stride"), pooled, cases, MISTAKES, pool_window),),
)
