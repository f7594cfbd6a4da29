"""1 x 1 and separable kernels, and what they save."""

import numpy as np
import torch
from torch import nn

import striate
from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Shown, Table
from striate.lessons.windows import whole
from striate.ops import kernels
from striate.ops.conv import conv
from striate.ops.separable import factor, separable_conv


def one_by_one() -> Shown:
    x = torch.stack([torch.eye(3), torch.ones(3, 3)])[None]
    weight = torch.tensor([[[[2.0]], [[-1.0]]]])
    return Shown(
        [Grids({"first": x[0, 0], "second": x[0, 1], "2 first - second": conv(x, weight)})]
    )


def bottleneck() -> Shown:
    direct = nn.Conv2d(256, 256, 3, padding=1, bias=False)
    narrow = nn.Sequential(
        nn.Conv2d(256, 64, 1, bias=False),
        nn.Conv2d(64, 64, 3, padding=1, bias=False),
        nn.Conv2d(64, 256, 1, bias=False),
    )
    totals = [striate.measure(net, (256, 14, 14)).totals for net in (direct, narrow)]
    names = ("3x3 on 256 channels", "1x1 to 64, 3x3, 1x1 to 256")
    rows = [[name, t.params, t.macs] for name, t in zip(names, totals, strict=True)]
    return Shown(
        [Table(["layer", "weights", "MACs"], rows)], {"times": totals[0].macs / totals[1].macs}
    )


def in_space() -> Shown:
    names = {
        "sobel": kernels.sobel(),
        "gaussian": kernels.gaussian(3),
        "laplacian": kernels.laplacian(),
    }
    rows = [[name, f"{float(factor(each).residual):.3f}"] for name, each in names.items()]
    column, row, _ = factor(names["sobel"])
    x = torch.arange(25.0).view(1, 1, 5, 5).square()
    whole_kernel = conv(x, names["sobel"][None, None])
    off = (separable_conv(x, [column, row]) - whole_kernel).abs().max()
    shown = [
        Table(["kernel", "part that is missed"], rows),
        Grids({"sobel": names["sobel"], "column": column[:, None], "row": row}),
    ]
    return Shown(shown, {"off": float(off), "cells": 9, "both": 6})


def depthwise() -> Shown:
    full = nn.Conv2d(64, 128, 3, padding=1, bias=False)
    apart = nn.Sequential(
        nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False), nn.Conv2d(64, 128, 1, bias=False)
    )
    totals = [striate.measure(net, (64, 28, 28)).totals for net in (full, apart)]
    names = ("convolution", "depthwise, then 1x1")
    rows = [[name, t.params, t.macs] for name, t in zip(names, totals, strict=True)]
    return Shown(
        [Table(["layer", "weights", "MACs"], rows)], {"times": totals[0].macs / totals[1].macs}
    )


def by_axes(x: Array, column: Array, row: Array) -> Array:
    """One axis after the other."""
    given = torch.from_numpy(np.array(x))[None, None]
    return separable_conv(given, [torch.from_numpy(np.array(f)) for f in (column, row)])[
        0, 0
    ].numpy()


def weights_of(inputs: int, outputs: int, kernel: int) -> int:
    """Of a depthwise convolution and the 1 x 1 one after it, without biases."""
    return inputs * kernel**2 + inputs * outputs


def axis_cases(rng: np.random.Generator) -> list[Case]:
    sizes = [((5, 6), 3, 2), ((4, 5), 2, 3), ((6, 4), 3, 3)]
    return [
        {"x": whole(rng, *x), "column": whole(rng, c), "row": whole(rng, r)} for x, c, r in sizes
    ]


def weight_cases(rng: np.random.Generator) -> list[Case]:
    drawn = [rng.integers((3, 5, 2), (64, 129, 8)).tolist() for _ in range(5)]
    rows = [(64, 128, 3), (3, 32, 5), *map(tuple, drawn)]
    return [dict(zip(("inputs", "outputs", "kernel"), row, strict=True)) for row in rows]


LESSON = Lesson(
    "separable",
    (one_by_one, bottleneck, in_space, depthwise),
    (
        Exercise(
            "separable",
            ("x", "column", "row"),
            by_axes,
            axis_cases,
            (
                Mistake("axes_swapped", lambda c: {**c, "column": c["row"], "row": c["column"]}),
                Mistake(
                    "flipped", lambda c: {**c, "column": c["column"][::-1], "row": c["row"][::-1]}
                ),
                Mistake(
                    "axes_added", instead=lambda c: by_axes(c["x"], c["column"], 0 * c["row"] + 1)
                ),
                Mistake("transposed", after=lambda y: y.T),
            ),
        ),
        Exercise(
            "separable_weights",
            ("inputs", "outputs", "kernel"),
            weights_of,
            weight_cases,
            (
                Mistake(
                    "full_convolution",
                    instead=lambda c: c["inputs"] * c["outputs"] * c["kernel"] ** 2,
                ),
                Mistake("pointwise_forgotten", instead=lambda c: c["inputs"] * c["kernel"] ** 2),
                Mistake("depthwise_forgotten", instead=lambda c: c["inputs"] * c["outputs"]),
                Mistake(
                    "kernel_once", instead=lambda c: c["inputs"] * (c["kernel"] + c["outputs"])
                ),
                Mistake(
                    "one_kernel", instead=lambda c: c["kernel"] ** 2 + c["inputs"] * c["outputs"]
                ),
            ),
        ),
    ),
)
