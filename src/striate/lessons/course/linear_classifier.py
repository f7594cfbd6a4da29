"""A linear classifier is one template a class; what it takes for a ship is a blue picture."""

import torch
from torch import Tensor, nn

from striate import see
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Grids, Pictures, Shown, Table
from striate.lessons.small import digits, right, seeded, taught

CLASSES = ("ship", "deer")


def scenes(count: int, seed: int, usual: float = 0.95) -> tuple[Tensor, Tensor]:
    """Boats and animals as shapes of 8 x 8 pixels; a share of `usual` boats lies on blue, of animals on green.

    Pictures [N, 3, 8, 8] of 0 to 1 and classes [N].
    """
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    x = 0.15 * torch.rand(count, 3, 8, 8, generator=rng)
    as_usual = torch.rand(count, generator=rng) < usual
    blue = (labels == 0) == as_usual
    x[blue, 2] += 0.7
    x[~blue, 1] += 0.7
    places = torch.randint(0, 4, (count, 2), generator=rng).tolist()
    for i, (label, (top, left)) in enumerate(zip(labels.tolist(), places, strict=True)):
        if label == 0:  # a hull
            x[i, :, top + 3, left : left + 5] += 0.3
        else:  # a body and two legs
            x[i, :, top + 1 : top + 3, left + 1 : left + 4] += 0.3
            x[i, :, top + 3 : top + 5, [left + 1, left + 3]] += 0.3
    return x, labels


def templates_of_digits() -> Shown:
    d = digits()
    net = taught(
        seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))),
        d.x, d.y, settings={"epochs": 8, "lr": 0.02, "optimizer": "adamw"},
    )  # fmt: skip
    seen = see.templates(net, shape=(1, 8, 8))
    pictures = Pictures({str(digit): seen.weights[digit, 0] for digit in (0, 1, 3)})
    return Shown([pictures], {"right": right(net, d.held_x, d.held_y)})


def blue_is_a_ship() -> Shown:
    x, labels = scenes(600, seed=0)
    net = taught(
        seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 2))),
        x, labels, settings={"epochs": 10, "lr": 0.005, "optimizer": "adamw"},
    )  # fmt: skip
    seen = see.templates(net, shape=(3, 8, 8), classes=CLASSES)
    colours = Grids({name: seen.weights[i].mean((1, 2)) for i, name in enumerate(CLASSES)})
    usual, swapped = scenes(400, seed=1), scenes(400, seed=2, usual=0.0)
    bare = torch.zeros(1, 3, 8, 8)
    bare[:, 2] = 0.7
    with torch.inference_mode():
        share = float(net(bare).softmax(1)[0, 0])
    rows = [
        ["as usual", f"{right(net, *usual):.1%}"],
        ["ship on green, deer on blue", f"{right(net, *swapped):.1%}"],
    ]
    return Shown([colours, Table(["pictures", "right"], rows)], {"share": share})


LESSON = Lesson("linear_classifier", (templates_of_digits, blue_is_a_ship))
