"""Losses and what they really ask for: black masks, grey borders, and an IoU of one third for half of an object."""

import numpy as np
import torch
from torch import nn

from striate.lessons.exercise import Array, Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Pictures, Shown, Table
from striate.losses.classification import cross_entropy
from striate.losses.maps import bce, dice, iou, l1, l2


def black_mask() -> Shown:
    mask = torch.zeros(1, 1, 20, 20)
    mask[..., 4:8, 5:10] = 1
    black = torch.zeros_like(mask)
    right = f"{float((mask == black).double().mean()):.1%}"
    names = {"all black": black, "found whole": mask}
    rows: list[list[object]] = []
    for name, answer in names.items():
        logits = (answer - 0.5) * 12
        rows.append(
            [
                name,
                f"{float((answer == mask).double().mean()):.1%}",
                *(f"{float(loss(logits, mask)):.3f}" for loss in (bce, dice)),
            ]
        )
    return Shown(
        [Table(["answer", "pixels right", "cross-entropy", "1 - Dice"], rows)], {"right": right}
    )


def best_constant() -> Shown:
    target = torch.zeros(1, 1, 1, 10)
    target[..., :3] = 1
    levels = torch.linspace(0, 1, 101)
    rows: list[list[object]] = []
    for name, loss in (("L2", l2), ("L1", l1)):
        costs = torch.stack(
            [loss(torch.full_like(target, float(level)), target) for level in levels]
        )
        rows.append([name, f"{float(levels[costs.argmin()]):.2f}"])
    return Shown([Table(["loss", "best single grey"], rows)])


def blurred_border() -> Shown:
    rng = torch.Generator().manual_seed(0)
    edges = torch.randint(4, 9, (500,), generator=rng)
    sharp = (torch.arange(12) >= edges[:, None]).float()[:, None, None]
    by_l2 = sharp.mean(0, keepdim=True)
    by_l1 = sharp.median(0, keepdim=True).values
    rows = [
        [name, *(f"{float(loss(answer.expand_as(sharp), sharp)):.4f}" for loss in (l2, l1))]
        for name, answer in (("mean", by_l2), ("median", by_l1))
    ]
    drawn = Pictures({"one edge": sharp[0], "best for L2": by_l2, "best for L1": by_l1}, 0, 1)
    return Shown([drawn, Table(["answer", "L2", "L1"], rows)])


def one_third() -> Shown:
    truth = torch.zeros(1, 1, 1, 8)
    truth[..., 2:6] = 1
    answers = {"half of it, nothing else": (2, 4), "moved by half": (4, 8), "twice as long": (0, 8)}
    rows: list[list[object]] = []
    for name, (start, end) in answers.items():
        answer = torch.zeros_like(truth)
        answer[..., start:end] = 1
        found = [1 - float(loss(answer, truth, logits=False)) for loss in (iou, dice)]
        rows.append([name, *(f"{value:.3f}" for value in found)])
    return Shown([Table(["answer", "IoU", "Dice"], rows)])


def sure_and_wrong() -> Shown:
    rows: list[list[object]] = []
    for share in (0.99, 0.9, 0.5, 0.1, 0.01):
        logits = torch.tensor([[share, 1 - share]]).log()
        rows.append(
            [
                share,
                f"{float(cross_entropy(logits, torch.tensor([0]))):.3f}",
                "right" if share > 0.5 else "wrong" if share < 0.5 else "either",
            ]
        )
    return Shown([Table(["probability of the truth", "cross-entropy", "answer"], rows)])


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two binary masks."""
    given = (torch.from_numpy(np.array(each))[None, None] for each in (a, b))
    return 1 - float(iou(*given, logits=False))


def entropy(logits: Array, label: int) -> float:
    """Cross-entropy in nats."""
    given = torch.from_numpy(np.array(logits))[None]
    return float(nn.functional.cross_entropy(given, torch.tensor([label])))


def mask_cases(rng: np.random.Generator) -> list[Case]:
    return [
        {key: (rng.random(size) < 0.5).astype(float) for key in ("a", "b")}
        for size in ((3, 4), (4, 4), (5, 3), (2, 6))
    ]


def logit_cases(rng: np.random.Generator) -> list[Case]:
    return [{"logits": whole_and_half(rng, n), "label": int(rng.integers(n))} for n in (2, 3, 4, 5)]


def whole_and_half(rng: np.random.Generator, n: int) -> Array:
    """Logits that are easy to read."""
    return rng.integers(-6, 7, n) / 2


LESSON = Lesson(
    "losses",
    (black_mask, best_constant, blurred_border, one_third, sure_and_wrong),
    (
        Exercise(
            "iou",
            ("a", "b"),
            overlap,
            mask_cases,
            (
                Mistake("dice", after=lambda v: 2 * v / (1 + v)),
                Mistake(
                    "sum_not_union",
                    instead=lambda c: (c["a"] * c["b"]).sum() / (c["a"] + c["b"]).sum(),
                ),
                Mistake("of_the_truth", instead=lambda c: (c["a"] * c["b"]).sum() / c["b"].sum()),
                Mistake("pixels", instead=lambda c: (c["a"] == c["b"]).mean()),
                Mistake("one_minus", after=lambda v: 1 - v),
            ),
        ),
        Exercise(
            "cross_entropy",
            ("logits", "label"),
            entropy,
            logit_cases,
            (
                Mistake("sign", after=lambda v: -v),
                Mistake("log2", after=lambda v: v / np.log(2)),
                Mistake("no_softmax", instead=lambda c: -c["logits"][c["label"]]),
                Mistake("probability", after=lambda v: np.exp(-v)),
                Mistake(
                    "label_late", lambda c: {**c, "label": (c["label"] + 1) % len(c["logits"])}
                ),
            ),
        ),
    ),
)
