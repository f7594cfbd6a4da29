"""Masks from outlines: each pixel as a slow account of it says."""

import numpy as np
import pytest

from striate.data.masks import Drawing, OutlineMasks, Polygons, Runs
from striate.data.pictures import Head
from striate.data.sources import Form
from striate.errors import DataError

H, W = 17, 20


def inside(ring):
    """Whether a ray to the left of each pixel's centre crosses the ring an odd number of times."""
    y, x = np.mgrid[:H, :W] + 0.5
    found = np.zeros((H, W), bool)
    for (ax, ay), (bx, by) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay > y) != (by > y)
            found ^= crosses & (x >= ax + (y - ay) / (by - ay) * (bx - ax))
    return found


def painted(outline, size=(H, W)):
    mask = np.zeros(size, np.uint8)
    outline.paint(mask, 1)
    return mask.astype(bool)


@pytest.mark.parametrize("step", [None, 1, 2])
def test_polygons(step):
    """Corners anywhere, on edges of pixels, and on their centres; crossing themselves; outside."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        ring = rng.uniform(-5, 25, (rng.integers(1, 9), 2))
        ring = ring if step is None else np.round(ring * step) / step
        np.testing.assert_array_equal(painted(Polygons((ring,))), inside(ring))


def test_a_rectangle_has_its_own_area():
    ring = np.array([[2.0, 3], [5, 3], [5, 7], [2, 7]])
    mask = painted(Polygons((ring,)))
    assert mask.sum() == 12
    assert mask[3:7, 2:5].all()
    assert Polygons((ring,)).box() == (2, 3, 5, 7)


def test_parts_add_up_and_a_ring_within_a_ring_is_filled_by_itself():
    outer = np.array([[0.0, 0], [9, 0], [9, 9], [0, 9]])
    part = np.array([[3.0, 3], [12, 3], [12, 6], [3, 6]])
    np.testing.assert_array_equal(painted(Polygons((outer, part))), inside(outer) | inside(part))


def test_huge_coordinates_cost_nothing():
    ring = np.array([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]])
    assert painted(Polygons((ring,))).all()


def test_runs_go_down_the_columns():
    mask = np.random.default_rng(0).random((5, 4)) < 0.5
    flat = np.concatenate([[False], mask.T.ravel(), [True]])
    ends = np.flatnonzero(np.diff(flat.astype(int)))
    lengths = np.diff(np.concatenate([[0], ends, [20]]))
    outline = Runs(lengths, (5, 4))
    np.testing.assert_array_equal(painted(outline, (5, 4)), mask)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert outline.box() == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert Runs(np.array([20]), (5, 4)).box() == (0, 0, 0, 0)


def test_the_source_of_masks():
    ring = np.array([[2.0, 3], [5, 3], [5, 7], [2, 7]])
    upright = Drawing((H, W), 1, ((3, Polygons((ring,))),))
    turned = upright._replace(orientation=6)
    masks = OutlineMasks([upright, turned, Drawing((0, 0), 1, ())])
    assert masks.decode(0, Form(None, "grey")).shape == (H, W, 1)
    assert masks.decode(1, Form(None, "grey")).shape == (W, H, 1)
    np.testing.assert_array_equal(
        masks.decode(1, Form(None, "grey"))[..., 0], np.rot90(masks.decode(0, Form(None, "grey"))[..., 0], -1)
    )  # fmt: skip
    assert masks.look(1).head == Head(W, H, grey=True)
    assert masks.decode(0, Form((6, 8), "grey")).shape == (6, 8, 1)
    with pytest.raises(DataError, match="the size of its picture is not known"):
        masks.decode(2, Form(None, "grey"))
    assert len({masks.digest(i) for i in range(3)}) == 3
    assert len(set(masks.weights().tolist())) == 3
    taken = masks.take(np.array([1]))
    assert (len(taken), taken.digest(0)) == (1, masks.digest(1))
