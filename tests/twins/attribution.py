"""Saliency as its papers define it, one number after the other. The net takes [1, C, *space] and is called again and again."""

from collections.abc import Callable
from itertools import product
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn

Score = Callable[[Tensor], Tensor]  # of one item [1, C, *space], a number


@torch.no_grad()
def numeric_gradient(score: Score, x: Tensor, step: float = 1e-5) -> Tensor:
    """Central differences, value by value; give float64."""
    found = torch.zeros_like(x)
    for place in product(*map(range, x.shape)):
        up, down = x.clone(), x.clone()
        up[place] += step
        down[place] -= step
        found[place] = (score(up) - score(down)) / (2 * step)
    return found


def integrated(score: Score, x: Tensor, steps: int) -> Tensor:
    points, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(x)
    for point, weight in zip(points, weights, strict=True):
        at = (x * (point + 1) / 2).requires_grad_()
        total += torch.autograd.grad(score(at), at)[0] * weight / 2
    return total * x


def occlusion(score: Score, x: Tensor, window: tuple[int, ...], step: tuple[int, ...]) -> Tensor:
    space = x.shape[2:]
    total, count = torch.zeros(space), torch.zeros(space)
    starts = [
        [k * s for k in range(1 + ceil(max(0, n - w) / s))]
        for n, w, s in zip(space, window, step, strict=True)
    ]
    for corner in product(*starts):
        box = tuple(slice(a, a + w) for a, w in zip(corner, window, strict=True))
        hidden = x.clone()
        hidden[(0, slice(None), *box)] = 0
        total[box] += (score(x) - score(hidden)).item()
        count[box] += 1
    return total / count


def rise(score: Score, x: Tensor, masks: Tensor, share: float) -> Tensor:
    """Masks [M, 1, *space], of which `share` is seen on average."""
    scores = [score(x * mask).item() for mask in masks]
    mean = sum(scores) / len(scores)
    total = torch.zeros(x.shape[2:])
    for value, mask in zip(scores, masks, strict=True):
        total += (value - mean) * mask[0]
    return total / (len(scores) * share)


def maps_and_gradient(
    before: nn.Module, after: nn.Module, pick: Score, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Of a net in two parts: what the first gives, and the gradient of a number of the second by it."""
    maps = before(x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(pick(after(maps.clone())), maps)
    return maps.detach(), gradient


def grad_cam(maps: Tensor, gradient: Tensor) -> Tensor:
    places = maps[0, 0].numel()
    total = torch.zeros_like(maps[0, 0])
    for k in range(maps.shape[1]):
        total += maps[0, k] * gradient[0, k].sum() / places
    return total.clamp(min=0)


def grad_cam_plus(maps: Tensor, gradient: Tensor) -> Tensor:
    total = torch.zeros_like(maps[0, 0])
    for k in range(maps.shape[1]):
        a, g = maps[0, k], gradient[0, k]
        weight = 0.0
        for place in product(*map(range, a.shape)):
            d = g[place].item()
            below = 2 * d**2 + a.sum().item() * d**3
            weight += (d**2 / below if below != 0 else 0.0) * max(d, 0.0)
        total += weight * a
    return total.clamp(min=0)


def layer_cam(maps: Tensor, gradient: Tensor) -> Tensor:
    return sum(
        (maps[0, k] * gradient[0, k].clamp(min=0) for k in range(maps.shape[1])),
        torch.zeros_like(maps[0, 0]),
    ).clamp(min=0)


def eigen_cam(maps: Tensor) -> Tensor:
    """Projected on the eigenvector of the largest eigenvalue of A^T A, by numpy."""
    flat = maps[0].flatten(1).T.double().numpy()
    values, vectors = np.linalg.eigh(flat.T @ flat)
    seen = flat @ vectors[:, values.argmax()]
    seen = -seen if seen.sum() < 0 else seen
    return torch.from_numpy(np.maximum(seen, 0)).float().view(maps.shape[2:])
