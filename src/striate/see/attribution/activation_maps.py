"""Saliency from the maps of one layer, weighed by what they mean for the number. N items, K maps, P places.

Grad-CAM: Selvaraju et al. 2016, arXiv 1610.02391, equations 1 and 2. Grad-CAM++: Chattopadhay et al. 2017,
arXiv 1710.11063, equation 19. Layer-CAM: Jiang et al. 2021, IEEE TIP 30. Score-CAM: Wang et al. 2019, arXiv 1910.01279,
algorithm 1. Eigen-CAM: Muhammad and Yeasin 2020, arXiv 2008.00299, section III.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.errors import ArgumentError
from striate.probe import cut
from striate.see.attribution.perturbation import LINEAR
from striate.see.attribution.subject import Subject, derived

Rule = Callable[[Tensor, Tensor], Tensor]


def grad_cam(maps: Tensor, gradient: Tensor) -> Tensor:
    """Maps [N, K, *places] weighed by the mean of their gradient, the part above zero, [N, *places]."""
    return (maps * _means(gradient)).sum(1).relu()


def grad_cam_plus(maps: Tensor, gradient: Tensor) -> Tensor:
    """Maps weighed by the mean of the positive gradient, in which places count by the second order.

    As in the paper, the derivatives are those of exp(score), whose common factor is left out.
    """
    square, cube = gradient**2, gradient**3
    below = 2 * square + _sums(maps) * cube
    alpha = torch.where(below != 0, square / torch.where(below != 0, below, 1), 0)
    return (maps * _sums(alpha * gradient.relu())).sum(1).relu()


def layer_cam(maps: Tensor, gradient: Tensor) -> Tensor:
    """Maps weighed place by place with their positive gradient."""
    return (maps * gradient.relu()).sum(1).relu()


def eigen_cam(maps: Tensor) -> Tensor:
    """Maps seen along their first singular direction, [N, *places]; its sign is that of most of its sum."""
    flat = maps.flatten(2).transpose(1, 2)  # [N, P, K]
    _, _, directions = torch.linalg.svd(flat, full_matrices=False)
    seen = (flat @ directions[:, 0, :, None])[..., 0]
    seen = seen * torch.where(seen.sum(1, keepdim=True) < 0, -1.0, 1.0)
    return seen.reshape(len(maps), *maps.shape[2:]).relu()


def weighed_maps(subject: Subject, layer: str, rule: Rule) -> Tensor:
    """A map an item by a rule that takes maps and their gradient; one pass, which also chooses what is explained."""
    found: list[Tensor] = []
    for part in subject.batches(len(subject)):
        with torch.no_grad(), cut(subject.net, layer) as calls:
            values = subject.counted(subject.x[part])
            subject.clean(values)
            leaf = _last(calls, layer, subject)
            with torch.enable_grad():
                score = subject.score(values, torch.arange(part.start, part.stop))
            gradient = derived(score, leaf)
        found.append(rule(leaf.detach().float(), gradient.float()))
    return torch.cat(found)


def maps_of(subject: Subject, layer: str) -> Tensor:
    """What a layer gives for all items, float32 [N, K, *places]; it also chooses what is explained."""
    found: list[Tensor] = []
    with torch.no_grad():
        for part in subject.batches(len(subject), graph=False):
            with cut(subject.net, layer) as calls:
                subject.clean(subject.counted(subject.x[part]).detach())
            found.append(_last(calls, layer, subject).detach().float())
    return torch.cat(found)


def score_cam(subject: Subject, layer: str, most: int) -> tuple[Tensor, int]:
    """Maps weighed by the number that the item gets where each of them leaves it seen, [N, *places].

    Args:
        subject: what is explained.
        layer: whose maps.
        most: maps of an item that are tried, those with the widest range; 0 for all.

    Returns:
        The maps, and how many were tried of each item.
    """
    maps = maps_of(subject, layer)
    low, high = maps.flatten(2).amin(2), maps.flatten(2).amax(2)
    kept = (high - low).topk(min(most or maps.shape[1], maps.shape[1]), 1).indices
    count = kept.shape[1]
    scores = torch.empty(len(subject), count)
    with torch.no_grad():
        nothing = subject.answer(torch.zeros_like(subject.x[:1]))
        nothing = nothing.expand(len(subject), *nothing.shape[1:])
        blank = subject.score(nothing, torch.arange(len(subject))).cpu()
        for part in subject.batches(len(subject) * count, graph=False):
            places = torch.arange(part.start, part.stop)
            items, turns = places // count, places % count
            chosen = kept[items, turns]
            mask = maps[items, chosen][:, None]
            span = (high - low)[items, chosen].view(-1, *[1] * (mask.ndim - 1))
            mask = (mask - low[items, chosen].view_as(span)) / span.clamp_min(1e-12)
            shown = enlarged(mask, subject.space).to(subject.x)
            values = subject.answer(subject.x[items] * shown)
            scores[items, turns] = subject.score(values, items).cpu()
    weights = (scores - blank[:, None]).softmax(1).to(maps)
    chosen_maps = maps.gather(1, _spread(kept, maps))
    return (chosen_maps * _beside(weights, maps)).sum(1).relu(), count


def enlarged(maps: Tensor, space: tuple[int, ...]) -> Tensor:
    """Maps [N, K, *places] brought to the size of the input, linearly."""
    if tuple(maps.shape[2:]) == tuple(space):
        return maps
    return F.interpolate(maps, space, mode=LINEAR[len(space)], align_corners=False)


def _last(calls: list[list[Tensor]], layer: str, subject: Subject) -> Tensor:
    """The maps of the last call of a layer.

    Raises:
        ArgumentError: it did not run, or gives no maps.
    """
    rank = 2 + len(subject.space)
    fitting = [each for call in calls for each in call if each.ndim == rank]
    if not calls:
        raise ArgumentError(f"{layer}: this layer did not run; choose one that does")
    if not fitting or fitting[-1].shape[2:].numel() < 2:
        raise ArgumentError(
            f"{layer or 'the net'}: gives no maps of more than one place; choose a layer before it, or a method that needs "
            "none: gradient-x-input, integrated, occlusion, rise"
        )
    return fitting[-1]


def _means(gradient: Tensor) -> Tensor:
    return _beside(gradient.flatten(2).mean(2), gradient)


def _sums(values: Tensor) -> Tensor:
    return _beside(values.flatten(2).sum(2), values)


def _beside(weights: Tensor, maps: Tensor) -> Tensor:
    return weights.view(*weights.shape, *[1] * (maps.ndim - weights.ndim))


def _spread(kept: Tensor, maps: Tensor) -> Tensor:
    return _beside(kept, maps).expand(*kept.shape, *maps.shape[2:])
