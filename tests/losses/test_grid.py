"""The loss of grids of logits against loops over pictures, cells and boxes, and what cells learn."""

import math

import pytest
import torch
from torch.nn import functional as F

from striate import losses
from striate.errors import ArgumentError, ShapeError
from striate.losses.grid import grid_loss, owned
from striate.ops.boxes import box_giou, box_iou, decode_logits

B, N, K, ROWS, COLUMNS = 3, 2, 4, 3, 5


def example(seed=0, objects=4):
    generator = torch.Generator().manual_seed(seed)
    shape = (B, 5 * N + K, ROWS, COLUMNS)
    answer = torch.randn(shape, dtype=torch.float64, generator=generator)
    low = torch.rand(B, objects, 2, dtype=torch.float64, generator=generator)
    sides = torch.rand(B, objects, 2, dtype=torch.float64, generator=generator)
    label = torch.randint(-1, K, (B, objects, 1), generator=generator)
    return answer, torch.cat((label, low, (low + sides).clamp(max=1)), 2)


def owners_by_loops(picture, *, beside):
    """The object of each cell as (row, column): index."""
    turns = [[], []]
    for m, (label, x0, y0, x1, y1) in enumerate(picture.tolist()):
        if label < 0:
            continue
        x, y = (x0 + x1) / 2 * COLUMNS, (y0 + y1) / 2 * ROWS
        j, i = min(int(x), COLUMNS - 1), min(int(y), ROWS - 1)
        turns[0].append(((i, j), m))
        turns[1].append(((i, j + (1 if x - j >= 0.5 else -1)), m))
        turns[1].append(((i + (1 if y - i >= 0.5 else -1), j), m))
    found = {}
    for (i, j), m in turns[0] + sorted(turns[1], key=lambda one: one[1]) * beside:
        if 0 <= i < ROWS and 0 <= j < COLUMNS:
            found.setdefault((i, j), m)
    return found


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_cells_have_the_objects_that_loops_give_them(seed, beside):
    _, objects = example(seed)
    mine = owned(objects, (ROWS, COLUMNS), beside=beside)
    for b in range(B):
        expected = owners_by_loops(objects[b], beside=beside)
        for i in range(ROWS):
            for j in range(COLUMNS):
                m = expected.get((i, j))
                assert mine.there[b, i, j].item() == (m is not None)
                assert mine.label[b, i, j].item() == (-1 if m is None else objects[b, m, 0].item())
                if m is not None:
                    assert torch.equal(mine.box[b, i, j], objects[b, m, 1:])


def decoded(cell, i, j):
    """The box of the logits of one cell."""
    x, y, w, h = cell[:4].tolist()
    x = (j - 0.5 + 2 / (1 + math.exp(-x))) / COLUMNS
    y = (i - 0.5 + 2 / (1 + math.exp(-y))) / ROWS
    w, h = math.exp(w) / COLUMNS, math.exp(h) / ROWS
    return torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dtype=torch.float64)


def by_loops(answer, objects, gamma):
    box = present = named = 0.0
    for b in range(B):
        areas = (objects[b, :, 3:] - objects[b, :, 1:3]).prod(1)
        picture = objects[b, areas.argsort(dim=0, stable=True)]
        owners = owners_by_loops(picture, beside=True)
        share = B * max(1, len(owners))
        for i in range(ROWS):
            for j in range(COLUMNS):
                m = owners.get((i, j))
                boxes = [decoded(answer[b, 5 * n : 5 * n + 4, i, j], i, j) for n in range(N)]
                best = None
                if m is not None:
                    true = picture[m, 1:]
                    fits = [box_iou(guess, true).item() for guess in boxes]
                    off = [-(guess - true).square().sum().item() for guess in boxes]
                    best = fits.index(max(fits)) if any(fits) else off.index(max(off))
                    box += (1 - box_giou(boxes[best], true).item()) / share
                    logits = answer[b, 5 * N :, i, j]
                    named += F.cross_entropy(logits, picture[m, 0].long()).item() / share
                for n in range(N):
                    p = answer[b, 5 * n + 4, i, j].sigmoid().item()
                    p = p if n == best else 1 - p
                    present -= (1 - p) ** gamma * math.log(p) / share
    return {"box": 2 * box, "object": present, "class": named}


@pytest.mark.parametrize(("seed", "gamma"), [(0, 1.5), (1, 0.0), (2, 2.0)])
def test_every_part_is_that_of_the_loops(seed, gamma):
    answer, objects = example(seed)
    total, parts = grid_loss(answer, objects, boxes=N, gamma=gamma)
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(
        by_loops(answer, objects, gamma)
    )
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()))


def test_a_batch_costs_the_mean_of_its_pictures():
    answer, objects = example(3)
    whole, _ = grid_loss(answer, objects, boxes=N)
    alone = [grid_loss(answer[b : b + 1], objects[b : b + 1], boxes=N)[0] for b in range(B)]
    torch.testing.assert_close(whole, sum(alone) / B)
    filled = F.pad(objects, (0, 0, 0, 3), value=-1)
    torch.testing.assert_close(grid_loss(answer, filled, boxes=N)[0], whole)


def test_pictures_without_objects_teach_that_nothing_is_there():
    answer, objects = example()
    answer.requires_grad_()
    total, parts = grid_loss(answer, objects[:, :0], boxes=N)
    assert parts["box"].item() == parts["class"].item() == 0
    (grad,) = torch.autograd.grad(total, answer)
    assert (grad[:, [4, 9]] > 0).all()
    assert not grad[:, [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13]].any()


def test_gradients_are_right_also_far_out():
    answer, objects = example(4)

    def total(x):
        return grid_loss(x, objects, boxes=N)[0]

    assert torch.autograd.gradcheck(total, (answer.requires_grad_(),))
    (grad,) = torch.autograd.grad(total((100 * answer).float()), answer)
    assert grad.isfinite().all()


def test_what_is_learned_by_heart_is_decoded():
    objects = torch.tensor([[[2.0, 0.1, 0.1, 0.3, 0.6], [0.0, 0.5, 0.5, 0.9, 0.9]]])
    answer = torch.zeros(1, 5 + 3, ROWS, COLUMNS, requires_grad=True)
    optimizer = torch.optim.Adam([answer], lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        losses.read("grid").within(boxes=1)(answer, objects).backward()
        optimizer.step()
    boxes, scores = decode_logits(answer.detach(), boxes=1)
    sure = scores[0].amax(1) > 0.5
    for label, *box in objects[0].tolist():
        mine = sure & (scores[0].argmax(1) == label)
        assert mine.sum() == 3  # the cell of the centre and the two next to it
        assert (box_iou(boxes[0, mine], torch.tensor(box)) > 0.95).all()
    assert sure.sum() == 6


@pytest.mark.plain
def test_mistakes_are_told():
    with pytest.raises(ShapeError) as error:
        grid_loss(torch.rand(2, 8, 3, 3), torch.rand(2, 4), boxes=1)
    assert str(error.value) == (
        "objects: got [2, 4], expected [batch, most objects of a picture, 5] of class, x0, y0, x1, y1"
    )
    with pytest.raises(ShapeError) as error:
        grid_loss(torch.rand(2, 8, 3, 3), torch.rand(3, 4, 5), boxes=1)
    assert str(error.value) == "grid_loss: got answers of 2 pictures and objects of 3"
    with pytest.raises(ShapeError) as error:
        grid_loss(torch.rand(2, 5, 3, 3), torch.rand(2, 4, 5), boxes=1)
    assert str(error.value).startswith(
        "split_logits: got [2, 5, 3, 3], expected [batch, more than 5"
    )
    with pytest.raises(ArgumentError) as error:
        losses.read("grid+0.5*yolo")
    assert str(error.value) == (
        "loss=grid+0.5*yolo: grid is the whole loss of a detector and is added to no other; take one of "
        "grid, yolo"
    )
