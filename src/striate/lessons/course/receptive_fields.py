"""Receptive fields: how far one value of a deep layer sees, in theory and in effect; three 3 x 3 against one 7 x 7."""

import numpy as np
import torch
from torch import nn

import striate
from striate.lessons.exercise import Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Pictures, Shown, Table
from striate.lessons.small import seeded
from striate.measuring.effective_field import effective
from striate.shapes import in_size


def three_against_one() -> Shown:
    three = nn.Sequential(*(nn.Conv2d(64, 64, 3, padding=1, bias=False) for _ in range(3)))
    one = nn.Conv2d(64, 64, 7, padding=3, bias=False)
    rows: list[list[object]] = []
    for name, net in (("three of 3x3", three), ("one of 7x7", one)):
        sheet = striate.measure(net, (64, 32, 32))
        field = sheet.layers[-1].field
        rows.append(
            [name, "" if field is None else field.size[0], sheet.totals.params, sheet.totals.macs]
        )
    saved = 1 - 27 / 49
    return Shown([Table(["net", "field", "weights", "MACs"], rows)], {"saved": saved})


def of_lenet() -> Shown:
    sheet = striate.measure("lenet5")
    rows = [
        [layer.path, layer.field.size[0], layer.field.stride[0], layer.field.start[0]]
        for layer in sheet.layers
        if layer.field is not None
    ]
    return Shown([Table(["layer", "field", "stride", "start"], rows)])


def in_effect() -> Shown:
    net = seeded(
        lambda: nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(6)))
    )
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(1 / 9)
    seen = effective(net, torch.rand(8, 1, 21, 21))
    strength = seen.map / seen.map.max()
    within = strength[8:13, 8:13].sum() / strength.sum()
    return Shown(
        [Pictures({"effect of each pixel": strength}, 0, 1)], {"field": 13, "share": float(within)}
    )


def field_of(kernels: list[int], strides: list[int]) -> int:
    """Cells along an axis that one value of the last layer reads: the least input that gives one output."""
    cells = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        cells = in_size(cells, kernel=kernel, stride=stride)
    return cells


def cases(rng: np.random.Generator) -> list[Case]:
    found: list[Case] = [
        {"kernels": [3, 3, 3], "strides": [1, 1, 1]},
        {"kernels": [5, 2, 5, 2], "strides": [1, 2, 1, 2]},
    ]
    for _ in range(4):
        n = int(rng.integers(2, 5))
        found.append(
            {"kernels": rng.integers(2, 6, n).tolist(), "strides": rng.integers(1, 4, n).tolist()}
        )
    return found


def shifted(case: Case) -> Case:
    """Each stride counted one layer too early."""
    return {"kernels": [1, *case["kernels"]], "strides": [*case["strides"], 1]}


LESSON = Lesson(
    "receptive_fields",
    (three_against_one, of_lenet, in_effect),
    (
        Exercise(
            "receptive_field",
            ("kernels", "strides"),
            field_of,
            cases,
            (
                Mistake("stride_ignored", lambda c: {**c, "strides": [1] * len(c["strides"])}),
                Mistake("stride_too_early", instead=lambda c: field_of(**shifted(c))),
                Mistake(
                    "kernel_whole",
                    instead=lambda c: field_of([k + 1 for k in c["kernels"]], c["strides"]),
                ),
                Mistake("only_sum", instead=lambda c: sum(c["kernels"])),
                Mistake("forgot_one", after=lambda y: y - 1),
            ),
        ),
    ),
)
