"""The loss of YOLO against equation 3 written as loops over pictures, cells, boxes and classes."""

import math

import pytest
import torch

from striate import losses
from striate.errors import ShapeError
from striate.losses import cell_target, yolo_loss
from striate.ops.boxes import decode_cells

B, N, K, ROWS, COLUMNS = 3, 2, 4, 2, 3


def example(seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    answer = torch.rand(B, 5 * N + K, ROWS, COLUMNS, dtype=torch.float64, generator=generator)
    target = torch.zeros(B, 5 + K, ROWS, COLUMNS, dtype=torch.float64)
    for b in range(B):
        for i, j in ((0, 0), (1, 2)):
            target[b, :4, i, j] = torch.rand(4, dtype=torch.float64, generator=generator)
            target[b, 4, i, j] = target[b, 5 + (b + i) % K, i, j] = 1
    return answer * spread, target


def corners(x, y, w, h, i, j):
    x, y = (j + x) / COLUMNS, (i + y) / ROWS
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def iou(a, b):
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return wide * high / (sum(areas) - wide * high)


def by_loops(answer, target):
    center = size = present = absent = classes = 0.0
    for b in range(B):
        for i in range(ROWS):
            for j in range(COLUMNS):
                told, true = answer[b, :, i, j].tolist(), target[b, :, i, j].tolist()
                boxes = [told[5 * n : 5 * n + 5] for n in range(N)]
                if not true[4]:
                    absent += sum(box[4] ** 2 for box in boxes)
                    continue
                x, y, w, h = true[:4]
                object_ = corners(x, y, w, h, i, j)
                guesses = [
                    corners(p, q, root_w**2, root_h**2, i, j) for p, q, root_w, root_h, _ in boxes
                ]
                fits = [iou(guess, object_) for guess in guesses]
                if any(fits):
                    best = fits.index(max(fits))
                else:
                    off = [math.dist(guess, object_) for guess in guesses]
                    best = off.index(min(off))
                for n, (p, q, root_w, root_h, sure) in enumerate(boxes):
                    if n != best:
                        absent += sure**2
                        continue
                    center += (p - x) ** 2 + (q - y) ** 2
                    size += (root_w - math.sqrt(w)) ** 2 + (root_h - math.sqrt(h)) ** 2
                    present += (sure - fits[n]) ** 2
                classes += sum((p - t) ** 2 for p, t in zip(told[5 * N :], true[5:], strict=True))
    return [part / B for part in (center, size, present, absent, classes)]


# Tiny boxes seldom overlap the object, so that the other rule for the responsible box is met too.
@pytest.mark.parametrize(("seed", "spread"), [(0, 1.0), (1, 1.0), (2, 0.01), (3, 0.02)])
def test_every_part_is_that_of_the_loops(seed, spread):
    answer, target = example(seed, spread)
    parts = yolo_loss(answer, target, boxes=N)
    assert [part.item() for part in parts] == pytest.approx(by_loops(answer, target), rel=1e-12)
    center, size, present, absent, classes = (part.item() for part in parts)
    weighed = 5 * (center + size) + present + 0.5 * absent + classes
    assert parts.total().item() == pytest.approx(weighed)
    assert parts.total(coordinates=1, no_object=1).item() == pytest.approx(
        sum(by_loops(answer, target))
    )


def test_the_right_answer_costs_nothing():
    _, target = example()
    answer = torch.zeros(B, 5 * N + K, ROWS, COLUMNS, dtype=torch.float64)
    answer[:, :2], answer[:, 2:4] = target[:, :2], target[:, 2:4].sqrt()
    answer[:, 4], answer[:, 5 * N :] = target[:, 4], target[:, 5:]
    assert yolo_loss(answer, target, boxes=N).total().item() == pytest.approx(0, abs=1e-20)


def test_the_confidence_learns_the_overlap_and_does_not_move_the_box():
    answer, target = example()
    answer.requires_grad_()
    (grad,) = torch.autograd.grad(yolo_loss(answer, target, boxes=N).present, answer)
    assert grad[:, [4, 9]].abs().sum() > 0
    assert not grad[:, [0, 1, 2, 3, 5, 6, 7, 8]].any()

    def others(answer):
        parts = yolo_loss(answer, target, boxes=N)
        return parts.center, parts.size, parts.absent, parts.classes

    assert torch.autograd.gradcheck(others, (answer,))


def filled(*objects):
    """Objects of one picture and two rows that fill it up."""
    return torch.tensor([*objects, [-1.0] * 5, [-1.0, 0.4, 0.4, 0.6, 0.6]])


def test_objects_go_to_the_cell_of_their_centre():
    objects = filled([1, 0.0, 0.0, 0.5, 0.5], [0, 0.9, 0.9, 1.1, 1.1], [2, 0.1, 0.1, 0.3, 0.3])
    other = filled([2, 0.4, 0.6, 0.8, 0.8])
    batch = torch.stack((objects, torch.cat((other, other[1:])), -torch.ones(5, 5)))
    target = cell_target(batch, grid=(2, 3), num_classes=3)
    # The first and the last have centres (0.25, 0.25) and (0.2, 0.2), both in the first cell.
    expected = torch.zeros(3, 8, 2, 3)
    expected[0, :, 0, 0] = torch.tensor([0.75, 0.5, 0.5, 0.5, 1, 0, 1, 0])
    # A centre on the far edge belongs to the last cell.
    expected[0, :, 1, 2] = torch.tensor([1, 1, 0.2, 0.2, 1, 1, 0, 0])
    expected[1, :, 1, 1] = torch.tensor([0.8, 0.4, 0.4, 0.2, 1, 0, 0, 1])
    torch.testing.assert_close(target, expected)
    assert not cell_target(batch[:, :0], grid=(2, 2), num_classes=1).any()


def test_the_spelled_loss_is_that_of_its_target():
    answer, _ = example()
    objects = filled([3, 0.0, 0.0, 0.5, 0.5], [0, 0.6, 0.7, 1.0, 0.9]).double()
    batch = torch.stack((objects, objects.flip(0), objects - 1))
    spelled = losses.read("2*yolo(coordinates=3)")
    total, parts = spelled.within(boxes=N).measured(answer, batch)
    expected = yolo_loss(answer, cell_target(batch, grid=(ROWS, COLUMNS), num_classes=K), boxes=N)
    torch.testing.assert_close(total, 2 * expected.total(coordinates=3))
    torch.testing.assert_close(parts["absent"], expected.absent)
    assert sum(part.item() for part in parts.values()) == pytest.approx(total.item())
    boxes, scores = spelled.decode(answer, boxes=N)
    by_pixels = decode_cells(answer, boxes=N, size=(1, 1))
    assert torch.equal(boxes, by_pixels[0])
    assert torch.equal(scores, by_pixels[1])


def test_an_answer_that_does_not_fit_its_target_is_told():
    with pytest.raises(ShapeError) as error:
        yolo_loss(torch.rand(1, 30, 7, 7), torch.rand(1, 24, 7, 7))
    assert str(error.value) == (
        "yolo_loss: got an answer [1, 30, 7, 7] and a target [1, 24, 7, 7], expected [1, 25, 7, 7] "
        "for 2 boxes a cell"
    )
