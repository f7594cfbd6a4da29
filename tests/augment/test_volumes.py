"""Random views of volumes: flips, moves, turns; masks follow; an item's view depends on nothing else."""

import pytest
import torch

from striate.augment import read
from striate.augment.draws import Draws
from striate.augment.volumes import shifted, view

ITEMS = torch.arange(6)


def volumes(dtype=torch.int16, sides=(5, 6, 7)):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-99, 99, (6, *sides, 1), generator=generator).to(dtype)


def masks_of(x):
    return (x > 0).to(torch.uint8)


@pytest.mark.parametrize(("word", "axis"), [("flip", 3), ("flip_vertical", 2), ("flip_depth", 1)])
def test_a_flip_exchanges_the_ends_of_its_axis(word, axis):
    x = volumes()
    seen, masks = view(x, masks_of(x), ITEMS, read(f"{word}:1"), seed=1)
    assert torch.equal(seen, x.flip(axis))
    assert masks is not None
    assert torch.equal(masks, masks_of(seen))
    some, _ = view(x, None, ITEMS, read(word), seed=1)
    turned = [torch.equal(a, b.flip(axis - 1)) for a, b in zip(some, x, strict=True)]
    assert 0 < sum(turned) < 6


def test_a_move_is_of_whole_voxels_and_masks_say_what_came_from_beyond():
    x = volumes(torch.uint8, (10, 10, 10))
    seen, masks = view(x, masks_of(x), ITEMS, read("translate:0.2"), seed=3)
    assert seen.dtype == torch.uint8
    assert masks is not None
    known = masks != 255
    assert torch.equal(masks[known], masks_of(seen)[known])
    assert not known.all()
    moved = {
        (a, b, c)
        for a in range(-2, 3)
        for b in range(-2, 3)
        for c in range(-2, 3)
        if torch.equal(seen[0, 2:-2, 2:-2, 2:-2], x[0].roll((a, b, c), (0, 1, 2))[2:-2, 2:-2, 2:-2])
    }
    assert len(moved) == 1


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_moved_volume_repeats_its_edges_and_its_mask_says_what_lies_beyond(share):
    x = volumes(sides=(5, 1, 7))
    seen, masks = view(x, masks_of(x), ITEMS, read(f"translate:{share}"), seed=3)
    assert masks is not None
    draws = Draws(3, ITEMS)
    by = [(draws.uniform(-share, share) * side).round().int().tolist() for side in (5, 1, 7)]
    for item, moved, mask, *steps in zip(x, seen, masks, *by, strict=True):
        places = [torch.arange(side) - k for side, k in zip((5, 1, 7), steps, strict=True)]
        d, h, w = (at.clamp(0, len(at) - 1) for at in places)
        assert torch.equal(moved, item[d][:, h][:, :, w])
        a, b, c = ((at >= 0) & (at < len(at)) for at in places)
        inside = (a[:, None, None] & b[:, None] & c)[..., None]
        assert torch.equal(mask, torch.where(inside, masks_of(moved), 255))


def test_a_shift_moves_a_batch_as_one():
    x = volumes(torch.uint8, (30, 30, 30))
    for seed in range(4):
        seen, masks = shifted(x, masks_of(x), torch.Generator().manual_seed(seed))
        assert masks is not None
        known = masks != 255
        assert torch.equal(masks[known], masks_of(seen)[known])
        assert seen.shape == x.shape


@pytest.mark.parametrize("policy", ["rotate:90", "scale:0.3+translate", "flip+rotate+noise"])
def test_a_view_is_a_function_of_seed_and_item(policy):
    x, policy = volumes(torch.float32), read(policy)
    whole, _ = view(x, None, ITEMS, policy, seed=5)
    alone, _ = view(x[3:4], None, ITEMS[3:4], policy, seed=5)
    torch.testing.assert_close(alone[0], whole[3])
    other, _ = view(x, None, ITEMS, policy, seed=6)
    assert not torch.equal(whole, other)


def test_a_turn_is_about_the_axis_of_depth():
    """A box that is as long as it is wide, in a volume that is not: it keeps its depth, and its voxels their number."""
    x = torch.zeros(1, 6, 16, 24, 1)
    x[:, 2:4, 6:10, 10:14] = 100
    seen, masks = view(x, (x > 0).to(torch.uint8), torch.tensor([1]), read("rotate:45"), seed=2)
    assert seen[0, :2].abs().max() == seen[0, 4:].abs().max() == 0
    assert seen[0, 2].sum() == pytest.approx(1600, rel=0.1)
    assert int((masks == 1).sum()) == pytest.approx(32, abs=6)
    assert not torch.equal(seen, x)
