"""Small changes of pictures that are made to change the answer. N pictures, C channels, H W pixels, values 0 to 255.

FGSM: Goodfellow, Shlens and Szegedy 2015, arXiv 1412.6572. PGD with restarts: Madry et al. 2018, arXiv 1706.06083.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Logits = Callable[[Tensor], Tensor]  # of pictures of 0 to 255 [N, C, H, W]


@dataclass(frozen=True)
class Attack:
    """What may be done to a picture.

    Attributes:
        norm: "linf": no value changes by more than `strength`; "l2": the length of the change of a picture is at most that.
        strength: in grey levels.
        steps: of the ascent; one is FGSM.
        restarts: from random points within the bound, beside the picture itself.
    """

    norm: str
    strength: float
    steps: int = 10
    restarts: int = 0


def attacked(
    logits: Logits, x: Tensor, labels: Tensor, attack: Attack, generator: torch.Generator
) -> Tensor:
    """Pictures within the bound that cost most among those that were tried, [N, C, H, W].

    Args:
        logits: of the net; gradients flow through it.
        x: pictures.
        labels: their classes [N], or which of several labels they have [N, K], each said from a logit of 0 on.
        attack: what may be done.
        generator: of the starts.
    """
    best = x.clone()
    worst = _costs(logits, x, labels)
    for turn in range(attack.restarts + 1):
        start = x if turn == 0 else _within(x + _random(x, attack, generator), x, attack)
        found = _ascended(logits, start, x, labels, attack)
        costs = _costs(logits, found, labels)
        higher = costs > worst
        best[higher], worst[higher] = found[higher], costs[higher]
    return best


def noise(x: Tensor, attack: Attack, generator: torch.Generator) -> Tensor:
    """Pictures with a random change at the bound, which no attack should be weaker than."""
    return _within(x + _random(x, attack, generator, full=True), x, attack)


def smallest(
    logits: Logits,
    x: Tensor,
    labels: Tensor,
    attack: Attack,
    generator: torch.Generator,
    *,
    halvings: int = 6,
) -> Tensor:
    """The least strength at which an attack changes each right answer [N], by bisection up to the attack's own; inf where it never does."""
    low, high = torch.zeros(len(x)), torch.full((len(x),), attack.strength)
    fooled = _wrong(logits, attacked(logits, x, labels, attack, generator), labels)
    for _ in range(halvings):
        middle = (low + high) / 2
        found = x.clone()
        for strength in middle.unique().tolist():
            here = middle == strength
            within = Attack(attack.norm, strength, attack.steps, 0)
            found[here] = attacked(logits, x[here], labels[here], within, generator)
        wrong = _wrong(logits, found, labels)
        high = torch.where(wrong, middle, high)
        low = torch.where(wrong, low, middle)
    return torch.where(fooled, high, torch.inf)


def _ascended(logits: Logits, start: Tensor, x: Tensor, labels: Tensor, attack: Attack) -> Tensor:
    step = attack.strength if attack.steps == 1 else 2.5 * attack.strength / attack.steps
    at = start.clone()
    for _ in range(attack.steps):
        with torch.enable_grad():
            leaf = at.detach().clone().requires_grad_()
            cost = _margins(logits(leaf), labels).sum()
            (slope,) = torch.autograd.grad(cost, leaf)
        if attack.norm == "linf":
            move = slope.sign()
        else:
            move = slope / slope.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
        at = _within(at + step * move, x, attack)
    return at.detach()


def _within(y: Tensor, x: Tensor, attack: Attack) -> Tensor:
    """The nearest picture of 0 to 255 within the bound around x."""
    change = y - x
    if attack.norm == "linf":
        change = change.clamp(-attack.strength, attack.strength)
    else:
        length = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        change = change * (attack.strength / length.clamp_min(attack.strength))
    return (x + change).clamp(0, 255)


def _random(x: Tensor, attack: Attack, generator: torch.Generator, *, full: bool = False) -> Tensor:
    """A change within the bound; a full one lies on it."""
    if attack.norm == "linf":
        draw = torch.rand(x.shape, generator=generator) * 2 - 1
        return attack.strength * (draw.sign() if full else draw)
    draw = torch.randn(x.shape, generator=generator)
    draw = draw / draw.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    length = torch.ones(len(x)) if full else torch.rand(len(x), generator=generator)
    return attack.strength * draw * length.view(-1, 1, 1, 1)


def _costs(logits: Logits, x: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return _margins(logits(x), labels)


def _margins(values: Tensor, labels: Tensor) -> Tensor:
    """How far the best other class lies above the right one [N]; of several labels the one that is nearest to changing.

    Not the cross-entropy of the papers: where a net is sure its gradient is exactly zero in 32 bits, and an attack would
    find nothing (Carlini and Wagner 2017, arXiv 1608.04644, section 5).
    """
    if labels.ndim == 2:
        return torch.where(labels, -values, values).amax(1)
    right = values.gather(1, labels[:, None])[:, 0]
    others = values.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - right


def _wrong(logits: Logits, x: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return ~right_labels(logits(x), labels).all(1)


def right_labels(values: Tensor, labels: Tensor) -> Tensor:
    """Whether the likeliest of logits [N, K] is the class [N, 1], or of several labels which are said where they should be [N, K]."""
    if labels.ndim == 2:
        return (values >= 0) == labels
    return (values.argmax(1) == labels)[:, None]
