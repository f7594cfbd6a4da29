"""The loss of You Only Look Once, part by part. Redmon et al. 2016, arXiv 1506.02640, equation 3.

B batch, n boxes a cell, K classes, H W cells.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ShapeError
from striate.ops.boxes import box_iou, grid_to_boxes, split_cells


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
    iou, responsible = _responsible(cells.boxes().detach(), grid_to_boxes(place))
    ours = responsible * there
    off = (cells.place - torch.cat((place[:, :, :2], place[:, :, 2:].sqrt()), 2)).square()
    return YoloLoss(
        center=_mean(ours * off[:, :, :2].sum(2)),
        size=_mean(ours * off[:, :, 2:].sum(2)),
        present=_mean(ours * (cells.confidence - iou).square()),
        absent=_mean((1 - ours) * cells.confidence.square()),
        classes=_mean(there * (cells.classes - target[:, 5:]).square()),
    )


def cell_target(
    boxes: Float[Tensor, "m 4"],
    labels: Int[Tensor, " m"],
    *,
    grid: tuple[int, int],
    num_classes: int,
) -> Float[Tensor, "k5 h w"]:
    """The objects of one picture as `yolo_loss` reads them: each in the cell that holds its centre.

    Args:
        boxes: [x0, y0, x1, y1] as shares of the picture.
        labels: their classes.
        grid: rows and columns of cells.
        num_classes: K.

    Returns:
        Zeros where no object is. Of two objects with their centres in one cell the first is kept.
    """
    rows, columns = grid
    target = boxes.new_zeros(5 + num_classes, rows, columns)
    cells = boxes.new_tensor((columns, rows))
    centers, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2 * cells, boxes[:, 2:] - boxes[:, :2]
    corners = torch.minimum(centers.floor(), cells - 1).clamp(min=0)
    # From the last to the first, so that the first of a cell is what stays.
    for i in reversed(range(len(boxes))):
        column, row = (int(at) for at in corners[i])
        target[:, row, column] = 0
        target[:2, row, column], target[2:4, row, column] = centers[i] - corners[i], sizes[i]
        target[4, row, column] = target[5 + int(labels[i]), row, column] = 1
    return target


def _responsible(guessed: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """IoU of every box with the object of its cell, and 1 for the best box of each cell; [B, n, H, W]."""
    iou = box_iou(guessed, true)
    near = -(guessed - true).square().sum(-1)
    best = torch.where(iou.amax(1, keepdim=True) > 0, iou, near).argmax(1, keepdim=True)
    return iou, torch.zeros_like(iou).scatter(1, best, 1)


def _mean(errors: Tensor) -> Tensor:
    return errors.sum() / len(errors)
