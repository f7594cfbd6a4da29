"""Boxes: overlaps against counted pixels, the laws of both measures, cells of a grid by loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import ArgumentError, ShapeError
from striate.ops.boxes import (
    box_area,
    box_giou,
    box_iou,
    decode_cells,
    decode_logits,
    detections,
    grid_to_boxes,
    nms,
    split_cells,
)

corner = st.integers(0, 9)
whole_boxes = st.tuples(corner, corner, corner, corner)


def pixels(box):
    x0, y0, x1, y1 = box
    return {(x, y) for x in range(x0, x1) for y in range(y0, y1)}


def around(a, b):
    return pixels((min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])))


def tensor(*boxes):
    return torch.tensor(boxes, dtype=torch.float64)


@given(whole_boxes, whole_boxes)
@settings(deadline=None)
def test_overlaps_are_those_of_counted_pixels(a, b):
    both, either = pixels(a) & pixels(b), pixels(a) | pixels(b)
    expected = len(both) / len(either) if either else 0.0
    assert box_area(tensor(a)).item() == len(pixels(a))
    assert box_iou(tensor(a), tensor(b)).item() == pytest.approx(expected)
    hull = around(a, b)
    if pixels(a) and pixels(b):
        farther = (len(hull) - len(either)) / len(hull)
        assert box_giou(tensor(a), tensor(b)).item() == pytest.approx(expected - farther)


def test_every_pair_by_broadcasting():
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(7, 2, generator=generator)
    boxes = torch.cat((low, low + torch.rand(7, 2, generator=generator)), 1)
    for measure in (box_iou, box_giou):
        table = measure(boxes[:, None], boxes[:4])
        assert table.shape == (7, 4)
        assert table[5, 2] == measure(boxes[5], boxes[2])
        torch.testing.assert_close(table[:4], table[:4].T)
        torch.testing.assert_close(table[:4].diag(), torch.ones(4))
        torch.testing.assert_close(measure(3 * boxes[:, None] - 1, 3 * boxes[:4] - 1), table)


def test_giou_tells_near_from_far_where_nothing_overlaps():
    here, near, far = tensor((0, 0, 1, 1)), tensor((2, 0, 3, 1)), tensor((8, 0, 9, 1))
    assert box_iou(here, near).item() == box_iou(here, far).item() == 0
    # 1 of 3 and 7 of 9 pixels between them are empty.
    assert box_giou(here, near).item() == pytest.approx(-1 / 3)
    assert box_giou(here, far).item() == pytest.approx(-7 / 9)


def test_gradients_are_right_and_finite_for_empty_boxes():
    a = tensor((0.1, 0.2, 0.7, 0.9), (0.5, 0.5, 0.5, 0.5)).requires_grad_()
    b = tensor((0.3, 0.1, 0.8, 0.6), (0.5, 0.5, 0.5, 0.5))
    for measure in (box_iou, box_giou):
        assert torch.autograd.gradcheck(lambda x, f=measure: f(x, b[:1]), (a[:1],))
        (grad,) = torch.autograd.grad(measure(a, b).sum(), a)
        assert grad.isfinite().all()


def decoded_by_loops(answer, boxes, size):
    height, width = size
    rows, columns = answer.shape[2:]
    found = []
    for n in range(boxes):
        for i in range(rows):
            for j in range(columns):
                x, y, root_w, root_h, sure = answer[0, 5 * n : 5 * n + 5, i, j].tolist()
                x, y = (j + x) / columns * width, (i + y) / rows * height
                w, h = root_w**2 * width, root_h**2 * height
                scores = [sure * p for p in answer[0, 5 * boxes :, i, j].tolist()]
                found.append(([x - w / 2, y - h / 2, x + w / 2, y + h / 2], scores))
    return found


def test_cells_are_decoded_as_by_loops():
    generator = torch.Generator().manual_seed(1)
    answer = torch.rand(1, 13, 2, 3, dtype=torch.float64, generator=generator)
    boxes, scores = decode_cells(answer, boxes=2, size=(128, 192))
    by_loops = decoded_by_loops(answer, 2, (128, 192))
    torch.testing.assert_close(boxes[0], torch.tensor([b for b, _ in by_loops]).double())
    torch.testing.assert_close(scores[0], torch.tensor([s for _, s in by_loops]).double())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_logits_are_decoded_as_by_loops(dtype):
    generator = torch.Generator().manual_seed(2)
    answer = torch.randn(1, 13, 2, 3, dtype=torch.float64, generator=generator).to(dtype)
    boxes, scores = decode_logits(answer, boxes=2)
    found, sure = [], []
    for n in range(2):
        for i in range(2):
            for j in range(3):
                x, y, w, h, c = answer[0, 5 * n : 5 * n + 5, i, j].double()
                x, y = (j - 0.5 + 2 * x.sigmoid()) / 3, (i - 0.5 + 2 * y.sigmoid()) / 2
                w, h = w.exp() / 3, h.exp() / 2
                found.append(torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
                sure.append(c.sigmoid() * answer[0, 10:, i, j].double().softmax(0))
    torch.testing.assert_close(boxes[0].double(), torch.stack(found), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scores[0].double(), torch.stack(sure), rtol=1e-5, atol=1e-5)


def suppressed_by_loops(boxes, scores, iou, labels):
    stay = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i].item(), i)):
        rivals = [j for j in stay if labels[j] == labels[i]]
        if all(box_iou(boxes[i], boxes[j]) <= iou for j in rivals):
            stay.append(i)
    return stay


def crowd(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator)
    boxes = torch.cat((low, low + 0.4 * torch.rand(count, 2, generator=generator)), 1)
    # Few values, so that scores are equal too.
    scores = torch.randint(0, 20, (count,), generator=generator) / 20
    return boxes, scores, torch.randint(0, 3, (count,), generator=generator)


@pytest.mark.parametrize("iou", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("count", [0, 1, 2, 60])
def test_suppression_is_greedy(count, iou):
    for seed in range(5):
        boxes, scores, labels = crowd(count, seed)
        alone = nms(boxes, scores, iou=iou)
        assert alone.tolist() == suppressed_by_loops(boxes, scores, iou, [0] * count)
        apart = nms(boxes, scores, iou=iou, labels=labels)
        assert apart.tolist() == suppressed_by_loops(boxes, scores, iou, labels.tolist())


def test_a_chain_of_boxes_is_decided_from_its_first():
    left = torch.arange(40) * 0.4
    boxes = torch.stack((left, torch.zeros(40), left + 1, torch.ones(40)), 1)
    scores = torch.linspace(1, 0.1, 40)
    assert nms(boxes, scores, iou=0.4).tolist() == list(range(0, 40, 2))


def test_detections_are_of_every_class_and_at_most_so_many():
    boxes = torch.stack([crowd(50, seed)[0] for seed in range(2)])
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(2, 50, 3, generator=generator)
    for own, sure, found in zip(
        boxes, scores, detections(boxes, scores, conf=0.4, iou=0.3), strict=True
    ):
        at, labels = torch.nonzero(sure > 0.4).unbind(1)
        stay = suppressed_by_loops(own[at], sure[at, labels], 0.3, labels.tolist())
        assert torch.equal(found.boxes, own[at][stay])
        assert torch.equal(found.labels, labels[stay])
        assert torch.equal(found.scores, sure[at, labels][stay])
    few = detections(boxes, scores, conf=0, iou=1, candidates=7)
    assert torch.equal(few[1].scores, scores[1].flatten().sort(descending=True).values[:7])
    none = detections(boxes, scores, conf=1)[0]
    assert none.boxes.shape == (0, 4)
    assert len(none.labels) == len(none.scores) == 0


def test_a_box_of_the_whole_picture():
    place = torch.zeros(4, 3, 3)
    place[:, 1, 1] = torch.tensor([0.5, 0.5, 1.0, 1.0])
    torch.testing.assert_close(grid_to_boxes(place)[1, 1], torch.tensor([0.0, 0.0, 1.0, 1.0]))


@pytest.mark.plain
def test_mistakes_are_told():
    with pytest.raises(ShapeError) as error:
        box_iou(torch.rand(2, 4), torch.rand(2, 5))
    assert str(error.value) == (
        "box_iou: got [2, 4] and [2, 5], expected boxes [..., 4] of x0, y0, x1, y1"
    )
    with pytest.raises(ArgumentError) as error:
        box_giou(torch.zeros(2, 4, dtype=torch.long), torch.rand(2, 4))
    assert (
        str(error.value)
        == "box_giou: got torch.int64, expected a floating type; convert with .float()"
    )
    with pytest.raises(ShapeError) as error:
        grid_to_boxes(torch.rand(3, 2, 2))
    assert str(error.value) == "grid_to_boxes: got [3, 2, 2], expected [..., 4, height, width]"
    with pytest.raises(ShapeError) as error:
        split_cells(torch.rand(1, 10, 7, 7), boxes=2)
    assert str(error.value) == (
        "split_cells: got [1, 10, 7, 7], expected [batch, more than 10, height, width] for 2 boxes of "
        "5 numbers and the classes"
    )
