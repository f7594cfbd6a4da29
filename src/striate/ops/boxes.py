"""Boxes [x0, y0, x1, y1]: how much two overlap, boxes relative to the cells of a grid, and which of many stay.

Any unit of length; x to the right, y down. A box with x1 < x0 or y1 < y0 is empty.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ShapeError
from striate.ops import checks

_LARGEST = 8.0  # logarithm of a size in cells; beyond it float16 has no numbers


def box_area(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n"]:
    """Width times height; 0 of an empty box."""
    return _area(boxes[..., :2], boxes[..., 2:])


def box_iou(a: Float[Tensor, "*n 4"], b: Float[Tensor, "*m 4"]) -> Float[Tensor, "*o"]:
    """Intersection over union of boxes that stand for one another, from 0 to 1; two empty boxes have 0.

    Args:
        a: boxes.
        b: boxes; leading axes broadcast, so `box_iou(a[:, None], b)` compares every pair.

    Raises:
        ShapeError: a last axis that is no 4.
        ArgumentError: integers in a tensor.
    """
    _check(a, b, "box_iou")
    shared, union = _shared(a, b)
    return shared / torch.where(union > 0, union, 1)


def box_giou(a: Float[Tensor, "*n 4"], b: Float[Tensor, "*m 4"]) -> Float[Tensor, "*o"]:
    """IoU less the share of the smallest box around both that neither fills: from above -1 to 1.

    Unlike IoU it tells near from far where nothing overlaps. Rezatofighi et al. 2019, arXiv 1902.09630,
    algorithm 1. Arguments and errors as in `box_iou`.
    """
    _check(a, b, "box_giou")
    shared, union = _shared(a, b)
    around = _area(torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:]))
    empty = (around - union) / torch.where(around > 0, around, 1)
    return shared / torch.where(union > 0, union, 1) - empty


def grid_to_boxes(places: Float[Tensor, "*n 4 h w"]) -> Float[Tensor, "*n h w 4"]:
    """Boxes of cells, as shares of the picture, so that the whole picture is [0, 0, 1, 1].

    Args:
        places: of each cell x and y of a centre in cells from the cell's own corner, width and height of
            the box in pictures (Redmon et al. 2016, arXiv 1506.02640, section 2).

    Raises:
        ShapeError: an axis of places that is no 4.
        ArgumentError: integers in the tensor.
    """
    checks.floating(places, "grid_to_boxes")
    if places.ndim < 3 or places.shape[-3] != 4:
        raise ShapeError(
            f"grid_to_boxes: got {list(places.shape)}, expected [..., 4, height, width]"
        )
    x, y, wide, high = places.unbind(-3)
    height, width = places.shape[-2:]
    rows = torch.arange(height, dtype=places.dtype, device=places.device)
    columns = torch.arange(width, dtype=places.dtype, device=places.device)
    x, y = (x + columns) / width, (y + rows[:, None]) / height
    return torch.stack((x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), -1)


class Cells(NamedTuple):
    """What a grid of cells answers: n boxes a cell, and classes that they share.

    Attributes:
        place: x, y (cells from the cell's corner) and the roots of width and height (pictures), [B, n, 4, H, W].
        confidence: whether there is an object, times how well the box fits it, [B, n, H, W].
        classes: of the object if there is one, [B, K, H, W].
    """

    place: Tensor
    confidence: Tensor
    classes: Tensor

    def boxes(self) -> Tensor:
        """Boxes as shares of the picture, [B, n, H, W, 4]."""
        centers, roots = self.place[:, :, :2], self.place[:, :, 2:]
        return grid_to_boxes(torch.cat((centers, roots.square()), 2))

    def scores(self) -> Tensor:
        """Confidence times class of every box, [B, n, K, H, W]."""
        return self.confidence[:, :, None] * self.classes[:, None]


class Logits(NamedTuple):
    """What a grid of logits answers: n boxes a cell, and classes that they share.

    Attributes:
        place: logits of x and y, logarithms of width and height in cells, [B, n, 4, H, W].
        confidence: logits of whether there is an object, [B, n, H, W].
        classes: logits of the classes of the object if there is one, [B, K, H, W].
    """

    place: Tensor
    confidence: Tensor
    classes: Tensor

    def boxes(self) -> Tensor:
        """Boxes as shares of the picture, [B, n, H, W, 4].

        A centre lies from half a cell before its cell to half a cell behind it, so that a border is no
        limit (Bochkovskiy, Wang and Liao 2020, arXiv 2004.10934, section 3.4).
        """
        rows, columns = self.place.shape[-2:]
        centers = 2 * self.place[:, :, :2].sigmoid() - 0.5
        cells = self.place.new_tensor((columns, rows))[:, None, None]
        sizes = self.place[:, :, 2:].clamp(max=_LARGEST).exp() / cells
        return grid_to_boxes(torch.cat((centers, sizes), 2))

    def scores(self) -> Tensor:
        """Probability of an object times that of each class, [B, n, K, H, W]."""
        return self.confidence.sigmoid()[:, :, None] * self.classes.softmax(1)[:, None]


def split_cells(answer: Float[Tensor, "b c h w"], *, boxes: int) -> Cells:
    """The parts of an answer whose channels are x, y, root of width, root of height, confidence of each box, then classes.

    Raises:
        ShapeError: fewer channels than the boxes have, or not four axes.
    """
    return Cells(*_split(answer, boxes, "split_cells"))


def split_logits(answer: Float[Tensor, "b c h w"], *, boxes: int) -> Logits:
    """The parts of an answer with the channels of `split_cells`, read as logits.

    Raises:
        ShapeError: as `split_cells` does.
    """
    return Logits(*_split(answer, boxes, "split_logits"))


def decode_cells(
    answer: Float[Tensor, "b c h w"], *, boxes: int, size: tuple[int, int] = (1, 1)
) -> tuple[Float[Tensor, "b n 4"], Float[Tensor, "b n k"]]:
    """Boxes and their scores, confidence times class, of all cells; nothing is left out or merged.

    Args:
        answer: as `split_cells` takes it.
        boxes: of a cell.
        size: height and width of the picture in pixels; 1 and 1 give shares of the picture.

    Raises:
        ShapeError: as `split_cells` does.
    """
    return _decoded(split_cells(answer, boxes=boxes), size)


def decode_logits(
    answer: Float[Tensor, "b c h w"], *, boxes: int, size: tuple[int, int] = (1, 1)
) -> tuple[Float[Tensor, "b n 4"], Float[Tensor, "b n k"]]:
    """The same of a grid of logits: scores are probabilities of an object times those of its classes.

    Args:
        answer: as `split_logits` takes it.
        boxes: of a cell.
        size: height and width of the picture in pixels; 1 and 1 give shares of the picture.

    Raises:
        ShapeError: as `split_cells` does.
    """
    return _decoded(split_logits(answer, boxes=boxes), size)


def nms(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    *,
    iou: float = 0.5,
    labels: Int[Tensor, " n"] | None = None,
) -> Int[Tensor, " kept"]:
    """Non-maximum suppression: which boxes stay, the highest score first.

    Greedy and exact: a box goes if a better one that stays overlaps it by more than `iou`. Equal scores
    stand in the order given. Instead of box by box all are judged at once, again and again until nothing
    changes, which takes as many rounds as the longest chain of boxes that decide on one another.

    Args:
        boxes: any number of them; time and memory grow with its square.
        scores: of the boxes.
        iou: overlap from which the lesser one goes.
        labels: classes; boxes of different ones do not touch each other.

    Returns:
        Indices into `boxes`.

    Raises:
        ShapeError: a last axis of boxes that is no 4.
        ArgumentError: integers among boxes.
    """
    _check(boxes, boxes, "nms")
    order = scores.argsort(descending=True, stable=True)
    sorted_boxes = boxes[order]
    shared, union = _shared(sorted_boxes[:, None], sorted_boxes)
    over = shared > iou * union
    if labels is not None:
        over &= labels[order][:, None] == labels[order]
    over = over.triu(1).to(boxes.dtype)  # [better, lesser]
    stays, before = over.new_ones(len(order)), over.new_zeros(len(order))
    while not torch.equal(stays, before):
        stays, before = (stays @ over == 0).to(boxes.dtype), stays
    return order[stays.bool()]


class Detections(NamedTuple):
    """What is found in one picture, the highest score first.

    Attributes:
        boxes: [n, 4].
        labels: their classes, [n].
        scores: from 0 to 1, [n].
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor


def detections(
    boxes: Float[Tensor, "b n 4"],
    scores: Float[Tensor, "b n k"],
    *,
    conf: float = 0.25,
    iou: float = 0.5,
    candidates: int = 300,
) -> list[Detections]:
    """What is found in each picture: every class of every box above `conf`, class by class through `nms`.

    Args:
        boxes: as decoded.
        scores: of each box and class.
        conf: scores that are not above it are left out.
        iou: overlap from which the lesser of two boxes of a class goes.
        candidates: of a picture with more, those with the highest scores are looked at.
    """
    return [
        _detected(own, score, conf=conf, iou=iou, candidates=candidates)
        for own, score in zip(boxes, scores, strict=True)
    ]


def _detected(
    boxes: Tensor, scores: Tensor, *, conf: float, iou: float, candidates: int
) -> Detections:
    flat = scores.flatten()
    index = torch.nonzero(flat > conf)[:, 0]
    if len(index) > candidates:
        order = flat[index].argsort(descending=True, stable=True)
        index = index[order[:candidates]]
    found = boxes[index // scores.shape[1]]
    labels, sure = index % scores.shape[1], flat[index]
    stay = nms(found, sure, iou=iou, labels=labels if scores.shape[1] > 1 else None)
    return Detections(found[stay], labels[stay], sure[stay])


def _split(answer: Tensor, boxes: int, who: str) -> tuple[Tensor, Tensor, Tensor]:
    if answer.ndim != 4 or answer.shape[1] <= 5 * boxes:
        raise ShapeError(
            f"{who}: got {list(answer.shape)}, expected [batch, more than {5 * boxes}, height, "
            f"width] for {boxes} boxes of 5 numbers and the classes"
        )
    # Half precision is too coarse for places in a picture.
    answer = answer.to(torch.promote_types(answer.dtype, torch.float32))
    told = answer[:, : 5 * boxes].unflatten(1, (boxes, 5))
    return told[:, :, :4], told[:, :, 4], answer[:, 5 * boxes :]


def _decoded(cells: Cells | Logits, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    height, width = size
    boxes = cells.boxes()
    pixels = boxes * boxes.new_tensor((width, height, width, height))
    return pixels.flatten(1, 3), cells.scores().movedim(2, -1).flatten(1, 3)


def _area(corner: Tensor, opposite: Tensor) -> Tensor:
    return (opposite - corner).clamp(min=0).prod(-1)


def _shared(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    # Coordinate by coordinate: what all pairs of boxes need then lies one after the other in memory.
    left, top, right, bottom = a.movedim(-1, 0).contiguous().unbind()
    left2, top2, right2, bottom2 = b.movedim(-1, 0).contiguous().unbind()
    wide = torch.minimum(right, right2) - torch.maximum(left, left2)
    high = torch.minimum(bottom, bottom2) - torch.maximum(top, top2)
    shared = wide.clamp(min=0) * high.clamp(min=0)
    return shared, box_area(a) + box_area(b) - shared


def _check(a: Tensor, b: Tensor, who: str) -> None:
    checks.floating(a, who)
    checks.floating(b, who)
    if a.shape[-1:] != (4,) or b.shape[-1:] != (4,):
        raise ShapeError(
            f"{who}: got {list(a.shape)} and {list(b.shape)}, expected boxes [..., 4] of x0, y0, x1, y1"
        )
