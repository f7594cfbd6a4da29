"""Where weights begin, and dropout: values that neither fade nor explode, and a net that cannot rely on one unit."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Shown, Table
from striate.lessons.small import digits, right, seeded, taught
from striate.lessons.windows import whole
from striate.ops.init import gaussian_, glorot_, he_
from striate.ops.norm import dropout
from striate.shapes.costs import fans


def through_twenty_layers() -> Shown:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(256, 128, generator=rng)
    ways: dict[str, Callable[[Tensor], object]] = {
        "N(0, 0.01)": lambda w: gaussian_(w, std=0.01, generator=rng),
        "Glorot": lambda w: glorot_(w, generator=rng),
        "He": lambda w: he_(w, generator=rng),
        "N(0, 0.5)": lambda w: gaussian_(w, std=0.5, generator=rng),
    }
    rows: list[list[object]] = []
    for name, begin in ways.items():
        y, seen = x, list[str]()
        for layer in range(1, 21):
            weight = torch.empty(128, 128)
            begin(weight)
            y = (y @ weight.T).relu()
            if layer in (1, 5, 20):
                seen.append(f"{float(y.std()):.2g}")
        rows.append([name, *seen])
    return Shown([Table(["start", "after 1", "after 5", "after 20"], rows)])


def one_layer() -> Shown:
    x = torch.ones(1, 8)
    rng = torch.Generator().manual_seed(1)
    dropped = dropout(x, p=0.5, training=True, generator=rng)
    many = dropout(torch.ones(100_000), p=0.5, training=True, generator=rng)
    grids = Grids(
        {"input": x, "in training": dropped, "afterwards": dropout(x, p=0.5, training=False)}
    )
    return Shown([grids], {"mean": float(many.mean())})


def what_it_costs() -> Shown:
    d = digits()
    few = slice(0, 120)
    rows: list[list[object]] = []
    for p in (0.0, 0.5):
        net = seeded(
            lambda p=p: nn.Sequential(
                nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Dropout(p), nn.Linear(256, 10)
            )
        )
        settings = {"epochs": 60, "lr": 0.003, "optimizer": "adamw"}
        taught(net, d.x[few], d.y[few], settings=settings, batch=40)
        scores = right(net, d.x[few], d.y[few]), right(net, d.held_x, d.held_y)
        rows.append([p, *(f"{score:.1%}" for score in scores)])
    return Shown([Table(["dropout", "learned", "held out"], rows)])


def dropped(x: Array, kept: Array, p: float) -> Array:
    """Values that are kept are divided by 1 - p."""
    return x * kept / (1 - p)


def he(shape: list[int]) -> float:
    """The deviation of He's start, of a weight [O, I, h, w]."""
    fan_in, _ = fans(shape)
    return (2 / fan_in) ** 0.5


def dropout_cases(rng: np.random.Generator) -> list[Case]:
    return [
        {"x": whole(rng, n, low=1), "kept": (rng.random(n) > p).astype(float), "p": p}
        for n, p in ((6, 0.5), (8, 0.2), (7, 0.75))
    ]


def shapes(rng: np.random.Generator) -> list[Case]:
    drawn = [rng.integers((8, 3, 2, 2), (65, 33, 6, 6)).tolist() for _ in range(3)]
    return [{"shape": shape} for shape in ([16, 3, 3, 3], [64, 16, 5, 5], *drawn)]


LESSON = Lesson(
    "dropout",
    (through_twenty_layers, one_layer, what_it_costs),
    (
        Exercise(
            "dropout",
            ("x", "kept", "p"),
            dropped,
            dropout_cases,
            (
                Mistake("not_scaled", instead=lambda c: c["x"] * c["kept"]),
                Mistake("scaled_down", instead=lambda c: c["x"] * c["kept"] * (1 - c["p"])),
                Mistake("divided_by_p", instead=lambda c: c["x"] * c["kept"] / c["p"]),
                Mistake("mask_turned", lambda c: {**c, "kept": 1 - c["kept"]}),
            ),
        ),
        Exercise(
            "he_std",
            ("shape",),
            he,
            shapes,
            (
                Mistake("variance", after=np.square),
                Mistake(
                    "fan_out", lambda c: {"shape": [c["shape"][1], c["shape"][0], *c["shape"][2:]]}
                ),
                Mistake("kernel_forgotten", lambda c: {"shape": c["shape"][:2]}),
                Mistake("one_over_fan", after=lambda s: s / np.sqrt(2)),
            ),
        ),
    ),
)
