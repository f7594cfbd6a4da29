"""A loss for detectors that answer a grid of logits: is there an object, where does it lie, what is it.

B batch, M objects of a picture, n boxes a cell, K classes, H W cells. The channels are those of You Only Look Once
(Redmon et al. 2016, arXiv 1506.02640); what stands in them is read as `striate.ops.boxes.split_logits` says.
Overlap instead of coordinates is made large (Rezatofighi et al. 2019, arXiv 1902.09630), many easy cells count
little (Lin et al. 2017, arXiv 1708.02002), and cells beside a centre learn its object too (as in YOLOv5).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from striate.errors import ShapeError
from striate.ops.boxes import box_area, box_giou, box_iou, split_logits

Objects = Float[Tensor, "b m 5"]
Parts = tuple[Float[Tensor, ""], dict[str, Tensor]]


class Owned(NamedTuple):
    """What each cell of a grid has to learn.

    Attributes:
        there: 1 where a cell has an object, [B, H, W].
        label: its class, [B, H, W]; -1 where there is none.
        box: x0, y0, x1, y1 as shares of the picture, [B, H, W, 4].
    """

    there: Tensor
    label: Tensor
    box: Tensor


def owned(objects: Objects, grid: tuple[int, int], *, beside: bool = False) -> Owned:
    """The object of each cell: the first of those whose centre it holds.

    Args:
        objects: class, x0, y0, x1, y1 in shares of the picture; a class of -1 fills up a picture with fewer.
        grid: rows and columns of cells.
        beside: whether the nearest cell beside and the nearest above or below learn the object too,
            where they have none of their own.

    Raises:
        ShapeError: objects that are not [B, M, 5].
    """
    _check(objects)
    objects = F.pad(objects, (0, 0, 0, 1), value=-1)  # what a cell without an object has
    owner = _owner(objects, grid, beside=beside).flatten(1)
    mine = objects.gather(1, owner[:, :, None].expand(-1, -1, 5)).unflatten(1, grid)
    label = mine[..., 0].long()
    return Owned((label >= 0).to(objects.dtype), label, mine[..., 1:])


def grid_loss(
    answer: Float[Tensor, "b c h w"],
    objects: Objects,
    *,
    boxes: int = 2,
    box: float = 2.0,
    gamma: float = 1.5,
) -> Parts:
    """How far a grid of logits is from the objects: 1 - GIoU, focal and ordinary cross-entropy.

    Every cell with an object has one responsible box, the one that overlaps the object most. Sums over the
    cells of a picture are divided by its number of such cells, then the mean over the batch is taken.
    Where centres share a cell the smaller object has it.

    Args:
        answer: 5 logits a box and K logits of classes.
        objects: as `owned` takes them.
        boxes: of a cell.
        box: weight of the boxes.
        gamma: of the focal objectness; 0 weighs every cell alike.

    Returns:
        The sum, and its weighted parts: box, object, class.

    Raises:
        ShapeError: an answer or objects of another shape.
    """
    cells = split_logits(answer, boxes=boxes)
    _check(objects)
    if len(objects) != len(answer):
        raise ShapeError(
            f"grid_loss: got answers of {len(answer)} pictures and objects of {len(objects)}"
        )
    rows, columns = answer.shape[2:]
    mine = owned(_smallest_first(objects), (rows, columns), beside=True)
    true = mine.box[:, None]
    ours = responsible(cells.boxes().detach(), true)[1] * mine.there[:, None]
    count = mine.there.flatten(1).sum(1).clamp(min=1)
    far = ours * (1 - box_giou(cells.boxes(), true))
    parts = {
        "box": box * _mean(far, count),
        "object": _mean(_focal(cells.confidence, ours, gamma), count),
        "class": _mean(_classes(cells.classes, mine.label), count),
    }
    return parts["box"] + parts["object"] + parts["class"], parts


def responsible(
    guessed: Float[Tensor, "b n h w 4"], true: Float[Tensor, "b 1 h w 4"]
) -> tuple[Float[Tensor, "b n h w"], Float[Tensor, "b n h w"]]:
    """IoU of every box with the object of its cell, and 1 for the best box of each cell.

    The best overlaps most; where none overlaps, its corners are nearest.
    """
    iou = box_iou(guessed, true)
    near = -(guessed - true).square().sum(-1)
    best = torch.where(iou.amax(1, keepdim=True) > 0, iou, near).argmax(1, keepdim=True)
    return iou, torch.zeros_like(iou).scatter(1, best, 1)


def _check(objects: Tensor) -> None:
    if objects.ndim != 3 or objects.shape[2] != 5:
        raise ShapeError(
            f"objects: got {list(objects.shape)}, expected [batch, most objects of a picture, 5] of class, "
            "x0, y0, x1, y1"
        )


def _owner(objects: Tensor, grid: tuple[int, int], *, beside: bool) -> Int[Tensor, "b h w"]:
    most, (rows, columns) = objects.shape[1], grid
    cells = objects.new_tensor((columns, rows))
    centers = (objects[..., 1:3] + objects[..., 3:]) / 2 * cells
    corners = torch.minimum(centers.floor(), cells - 1).clamp(min=0)
    column, row = _cells(centers, corners, beside=beside).long().unbind(-1)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    # A centre in the cell goes before all that lie beside it, then the order of the objects decides.
    turn = torch.arange(most, device=objects.device)[:, None].expand_as(column[0])
    turn = turn + most * (torch.arange(column.shape[2], device=objects.device) > 0)
    none = 2 * most
    turn = torch.where(inside & (objects[..., :1] >= 0), turn, none)
    cell = torch.where(inside, row * columns + column, 0)
    first = turn.new_full((len(objects), rows * columns), none)
    first = first.scatter_reduce(1, cell.flatten(1), turn.flatten(1), "amin")
    return torch.where(first < none, first % most, most - 1).unflatten(1, grid)


def _cells(centers: Tensor, corners: Tensor, *, beside: bool) -> Float[Tensor, "b m s 2"]:
    """The cell of each centre, as column and row, and the two nearest next to it."""
    if not beside:
        return corners[:, :, None]
    step = torch.where(centers - corners < 0.5, -1.0, 1.0)
    sides = torch.diag_embed(step)  # one along x alone, one along y alone
    return torch.cat((corners[:, :, None], corners[:, :, None] + sides), 2)


def _smallest_first(objects: Tensor) -> Tensor:
    order = box_area(objects[..., 1:]).argsort(dim=1, stable=True)
    return objects.gather(1, order[:, :, None].expand_as(objects))


def _focal(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Binary cross-entropy of each logit times its distance from the target to the power of gamma."""
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return entropy * (target - logits.sigmoid()).abs() ** gamma if gamma else entropy


def _classes(logits: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of the classes of each cell, 0 where there is no object."""
    return F.cross_entropy(logits, label, ignore_index=-1, reduction="none")


def _mean(costs: Tensor, count: Tensor) -> Tensor:
    return (costs.flatten(1).sum(1) / count).mean()
