"""The loss of You Only Look Once, part by part. Redmon et al. 2016, arXiv 1506.02640, equation 3.

B batch, n boxes a cell, K classes, H W cells.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from striate.errors import ShapeError
from striate.losses.grid import Objects, Parts, owned, responsible
from striate.ops.boxes import grid_to_boxes, split_cells


class YoloLoss(NamedTuple):
    """The sums of equation 3 over cells and boxes, before their weights; means over the batch.

    Attributes:
        center: squared errors of x and y, in cells, of responsible boxes.
        size: squared errors of the roots of width and height of responsible boxes.
        present: squared distance of the confidence of responsible boxes from their IoU.
        absent: squared confidence of all other boxes.
        classes: squared errors of the class scores of cells with an object.
    """

    center: Tensor
    size: Tensor
    present: Tensor
    absent: Tensor
    classes: Tensor

    def total(self, *, coordinates: float = 5.0, no_object: float = 0.5) -> Tensor:
        """The weighted sum: boxes count more, the many cells without an object less."""
        located = coordinates * (self.center + self.size)
        return located + self.present + no_object * self.absent + self.classes


def yolo_loss(
    answer: Float[Tensor, "b c h w"], target: Float[Tensor, "b k5 h w"], *, boxes: int = 2
) -> YoloLoss:
    """How far an answer is from the objects.

    Of the boxes of a cell the one with the largest IoU with the object is responsible; where none overlaps
    it, the one whose corners are nearest, as in the authors' program.

    Args:
        answer: 5 numbers a box and K class scores, as `striate.ops.boxes.split_cells` reads them.
        target: x, y, width, height, 1 where there is an object, K zeros and a one; see `cell_target`.
        boxes: of a cell.

    Raises:
        ShapeError: an answer and a target that do not fit together.
    """
    cells = split_cells(answer, boxes=boxes)
    if target.shape != (len(answer), 5 + cells.classes.shape[1], *answer.shape[2:]):
        raise ShapeError(
            f"yolo_loss: got an answer {list(answer.shape)} and a target {list(target.shape)}, expected "
            f"{[len(answer), 5 + cells.classes.shape[1], *answer.shape[2:]]} for {boxes} boxes a cell"
        )
    place, there = target[:, None, :4], target[:, 4:5]
    iou, best = responsible(cells.boxes().detach(), grid_to_boxes(place))
    ours = best * there
    off = (cells.place - torch.cat((place[:, :, :2], place[:, :, 2:].sqrt()), 2)).square()
    return YoloLoss(
        center=_mean(ours * off[:, :, :2].sum(2)),
        size=_mean(ours * off[:, :, 2:].sum(2)),
        present=_mean(ours * (cells.confidence - iou).square()),
        absent=_mean((1 - ours) * cells.confidence.square()),
        classes=_mean(there * (cells.classes - target[:, 5:]).square()),
    )


def yolo_from_objects(
    answer: Float[Tensor, "b c h w"],
    objects: Objects,
    *,
    boxes: int = 2,
    coordinates: float = 5.0,
    no_object: float = 0.5,
) -> Parts:
    """`yolo_loss` from lists of objects.

    Args:
        answer: as `yolo_loss` takes it.
        objects: as `cell_target` takes them.
        boxes: of a cell.
        coordinates: weight of the errors of places and sizes.
        no_object: weight of the confidence of boxes that are not responsible.

    Returns:
        The sum, and its weighted parts: center, size, present, absent, class.

    Raises:
        ShapeError: an answer or objects of another shape.
    """
    rows, columns = answer.shape[2:]
    classes = answer.shape[1] - 5 * boxes
    target = cell_target(objects, grid=(rows, columns), num_classes=classes)
    loss = yolo_loss(answer, target, boxes=boxes)
    parts = {
        "center": coordinates * loss.center,
        "size": coordinates * loss.size,
        "present": loss.present,
        "absent": no_object * loss.absent,
        "class": loss.classes,
    }
    return loss.total(coordinates=coordinates, no_object=no_object), parts


def cell_target(
    objects: Objects, *, grid: tuple[int, int], num_classes: int
) -> Float[Tensor, "b k5 h w"]:
    """The objects of pictures as `yolo_loss` reads them: each in the cell that holds its centre.

    Args:
        objects: class, x0, y0, x1, y1 in shares of the picture; a class of -1 fills up a picture with fewer.
        grid: rows and columns of cells.
        num_classes: K.

    Returns:
        Zeros where no object is. Of two objects with their centres in one cell the first is taken.

    Raises:
        ShapeError: objects that are not [B, M, 5].
    """
    mine = owned(objects, grid)
    centers, sizes = (
        (mine.box[..., :2] + mine.box[..., 2:]) / 2,
        mine.box[..., 2:] - mine.box[..., :2],
    )
    rows, columns = (torch.arange(n, dtype=objects.dtype, device=objects.device) for n in grid)
    places = torch.stack(
        (centers[..., 0] * grid[1] - columns, centers[..., 1] * grid[0] - rows[:, None]), -1
    )
    label = mine.label[..., None] == torch.arange(num_classes, device=objects.device)
    there = torch.ones_like(sizes[..., :1])
    target = torch.cat((places, sizes, there, label.to(objects.dtype)), -1)
    return (target * mine.there[..., None]).movedim(-1, 1)


def _mean(errors: Tensor) -> Tensor:
    return errors.sum() / len(errors)
