"""Masks and boxes that are probably wrong: where a net that did not learn from them is sure of something else.

Confidence is held against what is usual for a class, as for labels (Northcutt, Jiang and Chuang 2021, JAIR 70): of masks
the mean probability of a class among pixels labelled so, of boxes the mean confidence of those that meet an object. The
kinds of wrong boxes are those of Tkachenko, Thyagarajan and Mueller 2023, arXiv 2309.00832. Of one box an item the overlap
with an expected one is held against what is usual. N items, K classes, H W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from striate.data.targets import IGNORE, Objects
from striate.ops.boxes import box_iou

THICK = 0.02  # of the shorter side: a region has an inside that far from its border, which lines between objects have not
MEETS = 0.5  # IoU from which two boxes are of one object
APART = 0.1  # IoU below which they are not
FAR = 3.0  # spreads below the median IoU from which on a box is no usual one
SPREAD = 1.4826  # of a normal distribution over its median absolute deviation

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Region:
    """A part of a mask: its item, the class that most of it has, the class it rather is, and its pixels.

    Attributes:
        item: its number.
        label: in the mask.
        rather: what the net is sure of.
        pixels: how many.
        margin: how far the probability of `rather` lies above that of `label`, its mean.
        ends: top, left, bottom and right, as shares of the mask.
    """

    item: int
    label: int
    rather: int
    pixels: int
    margin: float
    ends: tuple[float, float, float, float]


def wrong_regions(probs: NDArray[np.floating], masks: I64) -> list[Region]:
    """Regions of masks [N, H, W] of which the net is sure that they are of another class, the heaviest first.

    Args:
        probs: of the classes [N, K, H, W].
        masks: class numbers; `IGNORE` where nothing is known.
    """
    classes = probs.shape[1]
    usual = np.array([_mean_at(probs[:, k], masks == k) for k in range(classes)])
    found = [
        region
        for i, (each, mask) in enumerate(zip(probs, masks, strict=True))
        for region in _of_mask(i, np.asarray(each, np.float64), mask, usual)
    ]
    return sorted(found, key=lambda region: -region.margin * region.pixels)


def _mean_at(values: NDArray[np.floating], inside: Bools) -> float:
    return float(values[inside].mean()) if inside.any() else np.inf


def _of_mask(item: int, probs: F64, mask: I64, usual: F64) -> Iterator[Region]:
    reached = np.where(probs >= usual[:, None, None], probs, 0.0)
    rather = reached.argmax(0)
    suspect = (reached.max(0) > 0) & (rather != mask) & (mask != IGNORE)
    deep = max(1, round(THICK * min(mask.shape)))
    for k in np.unique(rather[suspect]).tolist():
        parts: Any = ndimage.label(suspect & (rather == k))
        inner = ndimage.binary_erosion(parts[0] > 0, iterations=deep)
        for number in np.unique(parts[0][inner]).tolist():
            here = parts[0] == number
            label = int(np.bincount(mask[here]).argmax())
            margin = float((probs[k][here] - probs[label][here]).mean())
            yield Region(item, label, k, int(here.sum()), margin, _ends(here))


def _ends(here: Bools) -> tuple[float, float, float, float]:
    rows, columns = (np.flatnonzero(here.any(axis)) for axis in (1, 0))
    height, width = here.shape
    return rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width


@dataclass(frozen=True)
class WrongBox:
    """What is probably wrong about the boxes of an item.

    Attributes:
        item: its number.
        kind: "overlooked", an object without a box; "swapped", a box of another class; "misplaced", a box that fits badly.
        label: class of the box that is there; None of an overlooked object.
        rather: class of what the net found.
        box: of it, x0, y0, x1, y1 in pixels.
        sure: the net's confidence.
    """

    item: int
    kind: str
    label: int | None
    rather: int
    box: tuple[float, ...]
    sure: float


def wrong_boxes(found: Sequence[Any], truths: Sequence[Objects], classes: int) -> list[WrongBox]:
    """What of boxes is probably wrong, the surest first.

    Args:
        found: what the net found in each item: `boxes` [n, 4], `labels` [n] and `scores` [n].
        truths: its boxes.
        classes: how many there are.
    """
    pairs = [_overlap(each.boxes, truth.boxes) for each, truth in zip(found, truths, strict=True)]
    met: list[list[float]] = [[] for _ in range(classes)]
    for each, truth, iou in zip(found, truths, pairs, strict=True):
        same = (iou >= MEETS) & (each.labels[:, None] == truth.labels[None])
        for label, score in zip(each.labels[same.any(1)], each.scores[same.any(1)], strict=True):
            met[int(label)].append(float(score))
    usual = np.array([np.mean(scores) if scores else np.inf for scores in met])
    wrong = [
        one
        for i, (each, truth, iou) in enumerate(zip(found, truths, pairs, strict=True))
        for one in _of_boxes(i, each, truth, iou, usual)
    ]
    return sorted(wrong, key=lambda one: -one.sure)


class Misplaced(NamedTuple):
    """Boxes that fit badly: the numbers of their items, the worst first, all overlaps [N], and the one below which a box is suspected."""

    items: I64
    overlaps: F64
    limit: float


def misplaced(found: F64, boxes: F64) -> Misplaced:
    """Which of boxes [N, 4], one an item, lie where those that are expected [N, 4] are not.

    They are held against what is usual: an overlap of less than half, and so far below the median that the usual spread
    does not explain it (three times the median absolute deviation, scaled; Leys et al. 2013, J. Exp. Soc. Psychol. 49).
    Where what is expected fits badly itself, the limit is 0 or less and nothing is suspected.
    """
    iou = box_iou(*(torch.from_numpy(np.asarray(each, np.float64)) for each in (found, boxes)))
    overlaps = iou.numpy()
    middle = float(np.median(overlaps))
    spread = SPREAD * float(np.median(np.abs(overlaps - middle)))
    limit = min(MEETS, middle - FAR * spread)
    items = np.flatnonzero(overlaps < limit)
    return Misplaced(items[np.argsort(overlaps[items], kind="stable")], overlaps, limit)


def _overlap(a: NDArray[np.floating], b: NDArray[np.floating]) -> F64:
    """IoU of every pair [n, m]."""
    left, right = (torch.from_numpy(np.asarray(each, np.float64)).reshape(-1, 4) for each in (a, b))
    return box_iou(left[:, None], right[None]).numpy()


def _of_boxes(item: int, found: Any, truth: Objects, iou: F64, usual: F64) -> Iterator[WrongBox]:
    same = found.labels[:, None] == truth.labels[None]
    # Boxes that something of their own class meets are right, however sure the net is of another one over them.
    taken = (
        ((iou >= MEETS) & same).any(0)
        if len(found.labels)
        else np.zeros(len(truth.labels), np.bool_)
    )
    for n, label in enumerate(found.labels.tolist()):
        over, own = iou[n], same[n]
        if found.scores[n] < usual[label] or (over[own] >= MEETS).any():
            continue
        if (over[truth.crowd] > APART).any():
            continue
        box, sure = tuple(map(float, found.boxes[n])), float(found.scores[n])
        swapped = np.flatnonzero((over >= MEETS) & ~own & ~taken)
        misplaced = np.flatnonzero((over >= APART) & own & ~taken)
        if len(swapped):
            yield WrongBox(item, "swapped", int(truth.labels[swapped[0]]), label, box, sure)
        elif len(misplaced):
            yield WrongBox(item, "misplaced", label, label, box, sure)
        elif over.max(initial=0.0) < APART:
            yield WrongBox(item, "overlooked", None, label, box, sure)
