"""Batches: their order, their views, their seeds."""

from dataclasses import replace

import pytest
import torch

from striate.inputs import Pictures
from striate.inputs.pictures import padded
from striate.training import reproducibility
from striate.training.batches import Batches

SIDE = 8


def batches(n=21, *, batch=8, augment="none", size=SIDE, stored=SIDE, channels=1):
    images = torch.arange(n, dtype=torch.uint8)[:, None, None, None].repeat(
        1, stored, stored, channels
    )
    images += (
        torch.arange(stored, dtype=torch.uint8)[None, None, :, None] * 10
    )  # brighter to the right
    pre = Pictures((size, size), (stored, stored), "grey", (0.0,) * channels, (1.0,) * channels)
    if augment == "shift":
        images = padded(images, (size, size))
    return Batches(images, torch.arange(n), pre, batch, augment, 0)


def test_an_epoch_sees_every_item_once_in_batches_of_nearly_one_size():
    order = batches(21, batch=8).order(0)
    assert sorted(torch.cat(order).tolist()) == list(range(21))
    assert [len(index) for index in order] == [7, 7, 7]
    assert [len(index) for index in batches(257, batch=256).order(0)] == [129, 128]


def test_the_order_is_a_function_of_seed_and_epoch():
    one = batches()
    assert torch.equal(torch.cat(one.order(3)), torch.cat(batches().order(3)))
    assert not torch.equal(torch.cat(one.order(3)), torch.cat(one.order(4)))


def test_without_augmentation_the_middle_is_taken():
    made = batches(size=4, stored=8)
    x, y = made.take(torch.tensor([2, 5]), 0, 0)
    assert x.shape == (2, 1, 4, 4)
    assert x[0, 0, 0].tolist() == [22, 32, 42, 52]
    assert y.tolist() == [2, 5]
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_a_shift_moves_by_a_pixel_at_most_and_repeats_the_edge():
    made = batches(augment="shift")
    index = torch.tensor([0])
    rows = {tuple(made.take(index, 0, step)[0][0, 0, 0].tolist()) for step in range(60)}
    middle = tuple(range(0, 80, 10))
    assert rows == {middle, (0, *middle[:-1]), (*middle[1:], 70)}
    assert made.take(index, 0, 1, plain=True)[0][0, 0, 0].tolist() == list(middle)


def test_crops_move_each_picture_for_itself_and_flips_turn_half():
    made = batches(64, batch=64, augment="crop+flip", size=4, stored=8, channels=3)
    x, items = made.take(torch.arange(64), 0, 0)
    rows = x[:, 0, 0] - items[:, None]
    starts = {tuple(sorted(row.tolist())) for row in rows}
    assert starts == {tuple(range(s, s + 40, 10)) for s in range(0, 50, 10)}
    turned = (rows[:, 0] > rows[:, 1]).float().mean()
    assert 0.2 < turned < 0.8
    again, _ = made.take(torch.arange(32, 64), 0, 1)
    assert torch.equal(x[32:], again)  # whatever the batch and step


def test_a_shift_may_be_mixed_and_mixing_alone_takes_the_middle():
    shifted, mixed = batches(augment="shift"), batches(augment="mixup", size=4, stored=8)
    both = replace(shifted, augment="shift+mixup")
    index = torch.tensor([0, 5])
    assert torch.equal(both.take(index, 0, 3)[0], shifted.take(index, 0, 3)[0])
    assert mixed.take(index, 0, 0)[0][0, 0, 0].tolist() == [20, 30, 40, 50]


def test_normalising_subtracts_the_mean_and_divides():
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 3), np.uint8)
    pre = Pictures.measured(images, (6, 6), "rgb")
    x = pre.normalise(torch.from_numpy(images))
    assert x.mean((0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
    assert x.std((0, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, abs=1e-5)


def test_places_have_seeds_of_their_own():
    places = [("order", 1), ("order", 2), ("view", 1), ("order", 1, 0)]
    seeds = [reproducibility.derive(0, *place) for place in places] + [
        reproducibility.derive(1, "order", 1)
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= value < 2**63 for value in seeds)
    seed_state = torch.random.get_rng_state()
    with reproducibility.fork_rng():
        reproducibility.seed_everything(0, "x")
        first = torch.rand(3)
        reproducibility.seed_everything(0, "x")
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.random.get_rng_state(), seed_state)
