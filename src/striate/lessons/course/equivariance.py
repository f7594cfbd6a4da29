"""What moves with the picture and what does not: shifts, turns, sizes; and rotation measured, as three textbooks disagree on it."""

from collections.abc import Callable

import torch
from torch import Tensor

from striate.auditing.checks.equivariance import CHANGES
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Shown, Table
from striate.lessons.small import digits, plain_net, right, seeded, taught
from striate.ops.conv import conv
from striate.ops.pool import global_max_pool


def moves_with() -> Shown:
    rng = torch.Generator().manual_seed(0)
    x, kernel = torch.randn(1, 1, 12, 12, generator=rng), torch.randn(1, 1, 3, 3, generator=rng)

    def layer(picture: Tensor) -> Tensor:
        return conv(picture, kernel, padding=1, fill="circular")

    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "shift by 2": lambda t: torch.roll(t, 2, -1),
        "turn by 90": lambda t: torch.rot90(t, 1, (-2, -1)),
        "mirror": lambda t: t.flip(-1),
        "twice as large": lambda t: t.repeat_interleave(2, -1).repeat_interleave(2, -2),
    }
    rows = [
        [name, float((layer(change(x)) - change(layer(x))).abs().max())]
        for name, change in changes.items()
    ]
    return Shown([Table(["change", "largest difference"], rows)])


def invariant() -> Shown:
    rng = torch.Generator().manual_seed(0)
    x, kernel = torch.randn(1, 1, 12, 12, generator=rng), torch.randn(4, 1, 3, 3, generator=rng)

    def features(picture: Tensor) -> Tensor:
        return global_max_pool(conv(picture, kernel, padding=1, fill="circular"))

    rows = [
        ["shift by 2", float((features(torch.roll(x, 2, -1)) - features(x)).abs().max())],
        ["turn by 90", float((features(torch.rot90(x, 1, (-2, -1))) - features(x)).abs().max())],
    ]
    return Shown([Table(["change", "largest difference"], rows)])


def rotation_measured() -> Shown:
    d = digits()
    change = {each.name: each.of for each in CHANGES}
    turns = [f"turned by {degrees} degrees" for degrees in (5, 15, 90)]
    turned_x = torch.cat([d.x, *(change[name](d.x) for name in turns)])
    settings = {"epochs": 6, "lr": 0.01, "optimizer": "adamw"}
    upright = taught(seeded(plain_net), d.x, d.y, settings=settings)
    shown_turns = taught(
        seeded(plain_net), turned_x, d.y.repeat(4), settings={**settings, "epochs": 3}
    )
    rows = [["as it is", *(right(net, d.held_x, d.held_y) for net in (upright, shown_turns))]]
    for name in ("shift by 1", *turns):
        moved = change[name](d.held_x)
        rows.append([name, *(right(net, moved, d.held_y) for net in (upright, shown_turns))])
    table = Table(
        ["held-out digits", "right", "right, if it learned from turned ones"],
        [[name, f"{a:.1%}", f"{b:.1%}"] for name, a, b in rows],
    )
    return Shown([table], {"small": rows[2][1], "large": rows[4][1]})


LESSON = Lesson("equivariance", (moves_with, invariant, rotation_measured))
