"""Shortcuts: snow that tells the wolf and crosses that tell the sick, planted here in digits, and found by the audit."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import striate
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Pictures, Shown, Table
from striate.lessons.small import digits, plain_net, right, seeded, taught
from striate.workbench import audit

SETTINGS = {"epochs": 6, "lr": 0.01, "optimizer": "adamw"}


def three_or_eight() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The threes (0) and eights (1): pictures and classes, to learn from and held out."""
    d = digits()
    found: list[Tensor] = []
    for x, y in ((d.x, d.y), (d.held_x, d.held_y)):
        wanted = (y == 3) | (y == 8)
        found += [x[wanted].clone(), (y[wanted] == 8).long()]
    x, y, held_x, held_y = found
    return x, y, held_x, held_y


def snowed(x: Tensor, where: Tensor) -> Tensor:
    """The lowest row white where it is wanted: there lies snow."""
    marked = x.clone()
    marked[where, :, -1] = 1.0
    return marked


def crossed(x: Tensor, where: Tensor) -> Tensor:
    """A small cross in the upper left corner where it is wanted: a sign of the hospital."""
    marked = x.clone()
    marked[where, :, 0, :3] = 1.0
    marked[where, :, :3, 1] = 1.0
    return marked


def snow() -> Shown:
    return learned_from(snowed)


def crosses() -> Shown:
    return learned_from(crossed)


def learned_from(mark: Callable[[Tensor, Tensor], Tensor]) -> Shown:
    """Train with a mark on every eight; test with it there, absent and on the threes."""
    x, y, held_x, held_y = three_or_eight()
    net = taught(seeded(plain_net), mark(x, y == 1), y, settings=SETTINGS)
    none = torch.zeros_like(held_y, dtype=torch.bool)
    tests = {"as learned": held_y == 1, "no mark": none, "on the threes": held_y == 0}
    rows = [
        [name, f"{right(net, mark(held_x, where), held_y):.1%}"] for name, where in tests.items()
    ]
    drawn = mark(held_x, held_y == 1)
    pictures = {"three": drawn[held_y == 0][0], "eight": drawn[held_y == 1][0]}
    return Shown([Pictures(pictures), Table(["the mark lies", "right"], rows)])


def found_by_the_audit() -> Shown:
    x, y, _, _ = three_or_eight()
    marked = (crossed(x, y == 1)[:, 0] * 255).to(torch.uint8).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "marked.npz"
        np.savez(path, x=marked, y=y.numpy())
        found = audit(None, striate.open(path), only=["shortcuts"])
    rows = [
        [each.severity, each.text.partition(" (")[0].partition(":")[0], f"{each.value.value:.1%}"]
        for each in found.findings
        if each.severity == "fail"
    ]
    return Shown([Table(["finding", "what tells the labels", "labels told"], rows)])


LESSON = Lesson("shortcuts", (snow, crosses, found_by_the_audit))
