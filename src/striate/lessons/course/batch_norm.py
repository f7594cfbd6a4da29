"""Batch normalisation: every channel to mean 0 and variance 1, by hand; and the rates of learning that it allows."""

import numpy as np
import torch
from torch import nn

from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Shown, Table
from striate.lessons.small import digits, right, seeded, taught
from striate.lessons.windows import whole
from striate.ops.norm import batch_norm

EPS = 1e-5


def by_hand() -> Shown:
    x = torch.tensor([[1.0, 100], [3, 300], [5, 500], [7, 700]])
    by_hand = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
    by_op = batch_norm(x[..., None], None, None, training=True)[..., 0]
    grids = Grids({"four items, two channels": x, "by hand": by_hand, "batch_norm": by_op})
    return Shown([grids], {"difference": float((by_op - by_hand).abs().max())})


def two_modes() -> Shown:
    norm = nn.BatchNorm1d(1)
    rng = torch.Generator().manual_seed(0)
    rows: list[list[object]] = []
    for step in range(1, 31):
        norm(5 + 2 * torch.randn(64, 1, generator=rng))
        if step in (1, 10, 30):
            held = norm.state_dict()
            mean, variance = float(held["running_mean"]), float(held["running_var"])
            rows.append([step, f"{mean:.2f}", f"{variance:.2f}"])
    alone = norm.eval()(torch.tensor([[9.0]])).detach()
    table = Table(["steps", "running mean", "running variance"], rows)
    return Shown([table], {"alone": float(alone)})


def rates() -> Shown:
    d = digits()
    rows: list[list[object]] = []
    for lr in (0.01, 0.1, 1.0):
        found: list[str] = []
        for normed in (False, True):
            net = seeded(lambda normed=normed: deep(normed=normed))
            taught(net, d.x, d.y, settings={"epochs": 3, "lr": lr})
            found.append(f"{right(net, d.held_x, d.held_y):.1%}")
        rows.append([lr, *found])
    return Shown([Table(["learning rate", "without", "with batch norm"], rows)])


def deep(*, normed: bool) -> nn.Module:
    """Six sigmoid layers with or without normalisation."""
    layers: list[nn.Module] = [nn.Flatten()]
    for i in range(6):
        layers.append(nn.Linear(64, 64, bias=not normed))
        layers += [nn.BatchNorm1d(64)] if normed else []
        layers.append(nn.Tanh() if i % 2 else nn.Sigmoid())
    return nn.Sequential(*layers, nn.Linear(64, 10))


def normed(x: Array, scale: Array, shift: Array) -> Array:
    """Of items [N, C], as `striate.ops` does it in training."""
    given = torch.from_numpy(np.array(x))[..., None]
    weight, bias = (torch.from_numpy(np.array(each)) for each in (scale, shift))
    return batch_norm(given, None, None, weight, bias, training=True, eps=EPS)[..., 0].numpy()


def cases(rng: np.random.Generator) -> list[Case]:
    return [
        {
            "x": whole(rng, n, c) + rng.random((n, c)),
            "scale": whole(rng, c, low=1),
            "shift": whole(rng, c),
        }
        for n, c in ((4, 2), (5, 3), (3, 4))
    ]


def other(c: Case, *, correction: int = 0, axis: int | None = 0) -> Array:
    x: Array = c["x"]
    keep = axis is not None
    mean = x.mean(axis, keepdims=keep)
    variance = x.var(axis, ddof=correction, keepdims=keep)
    return (x - mean) / np.sqrt(variance + EPS) * c["scale"] + c["shift"]


LESSON = Lesson(
    "batch_norm",
    (by_hand, two_modes, rates),
    (
        Exercise(
            "batch_norm",
            ("x", "scale", "shift"),
            normed,
            cases,
            (
                Mistake("variance_n_minus_one", instead=lambda c: other(c, correction=1)),
                Mistake("over_channels", instead=lambda c: other(c, axis=1)),
                Mistake("over_everything", instead=lambda c: other(c, axis=None)),
                Mistake("scale_forgotten", lambda c: {**c, "scale": np.ones_like(c["scale"])}),
                Mistake("shift_forgotten", lambda c: {**c, "shift": np.zeros_like(c["shift"])}),
                Mistake(
                    "no_root",
                    instead=lambda c: (
                        (c["x"] - c["x"].mean(0)) / (c["x"].var(0) + EPS) * c["scale"] + c["shift"]
                    ),
                ),
            ),
        ),
    ),
)
