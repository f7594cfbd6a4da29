"""Boxes [x0, y0, x1, y1]: how much two overlap, and boxes told relative to the cells of a grid.

Any unit of length; x to the right, y down. A box with x1 < x0 or y1 < y0 is empty.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ShapeError
from striate.ops import checks


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


def split_cells(answer: Float[Tensor, "b c h w"], *, boxes: int) -> Cells:
    """The parts of an answer whose channels are x, y, root of width, root of height, confidence of each box, then classes.

    Raises:
        ShapeError: fewer channels than the boxes have, or not four axes.
    """
    if answer.ndim != 4 or answer.shape[1] <= 5 * boxes:
        raise ShapeError(
            f"split_cells: got {list(answer.shape)}, expected [batch, more than {5 * boxes}, height, "
            f"width] for {boxes} boxes of 5 numbers and the classes"
        )
    told = answer[:, : 5 * boxes].unflatten(1, (boxes, 5))
    return Cells(told[:, :, :4], told[:, :, 4], answer[:, 5 * boxes :])


def decode_cells(
    answer: Float[Tensor, "b c h w"], *, boxes: int, size: tuple[int, int]
) -> tuple[Float[Tensor, "b n 4"], Float[Tensor, "b n k"]]:
    """Boxes in pixels and their scores, confidence times class, of all cells; nothing is left out or merged.

    Args:
        answer: as `split_cells` takes it.
        boxes: of a cell.
        size: height and width of the picture in pixels.

    Raises:
        ShapeError: as `split_cells` does.
    """
    cells = split_cells(answer, boxes=boxes)
    height, width = size
    pixels = cells.boxes() * answer.new_tensor((width, height, width, height))
    scores = cells.confidence[:, :, None] * cells.classes[:, None]
    return pixels.flatten(1, 3), scores.movedim(2, -1).flatten(1, 3)


def _area(corner: Tensor, opposite: Tensor) -> Tensor:
    return (opposite - corner).clamp(min=0).prod(-1)


def _shared(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Areas of intersection and union."""
    shared = _area(torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:]))
    return shared, box_area(a) + box_area(b) - shared


def _check(a: Tensor, b: Tensor, who: str) -> None:
    checks.floating(a, who)
    checks.floating(b, who)
    if a.shape[-1:] != (4,) or b.shape[-1:] != (4,):
        raise ShapeError(
            f"{who}: got {list(a.shape)} and {list(b.shape)}, expected boxes [..., 4] of x0, y0, x1, y1"
        )
