"""Where pixels of a view come from: against hand-made pictures, PyTorch's rotations, and boxes."""

import math

import pytest
import torch

from striate import augment
from striate.augment.draws import Draws
from striate.augment.geometry import Geometry, draw
from striate.errors import ArgumentError


def ramp(h, w, n=1):
    """x + 100 y in one channel of uint8-like floats [n, h, w, 1]."""
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return (x + 10 * y).to(torch.uint8)[None, :, :, None].repeat(n, 1, 1, 1)


def views(text, images, size, *, seed=0, items=None):
    items = torch.arange(len(images)) if items is None else items
    return augment.view(images, items, augment.read(text), seed=seed, size=size)


def test_no_step_takes_the_middle_without_computing_a_pixel():
    x, _ = views("none", ramp(6, 8), (4, 4))
    assert x.dtype == torch.uint8
    assert x[0, 0, :, 0].tolist() == [12, 13, 14, 15]


def test_crops_reach_every_place_and_flips_turn_half():
    images = ramp(6, 6, n=400)
    x, where = views("crop+flip", images, (4, 4))
    corners = {(min(v[0, 0, 0], v[0, -1, 0]).item()) for v in x}
    assert corners == {x + 10 * y for x in range(3) for y in range(3)}
    turned = sum(bool(v[0, 0, 0] > v[0, -1, 0]) for v in x)
    assert 150 < turned < 250
    # Computing the same views by resampling gives the same pixels.
    again = where.pictures(images.permute(0, 3, 1, 2).float())
    torch.testing.assert_close(again.permute(0, 2, 3, 1), x.float(), rtol=0, atol=1e-3)


def test_a_view_depends_on_seed_and_item_alone():
    images = torch.randint(0, 256, (8, 9, 9, 3), dtype=torch.uint8, generator=torch.Generator())
    text = "resized+flip+rotate+shear+perspective+elastic+brightness+contrast+color+pca+blur+noise+erase:1"
    whole, _ = views(text, images, (7, 7))
    part, _ = views(text, images[[6, 2]], (7, 7), items=torch.tensor([6, 2]))
    torch.testing.assert_close(part, whole[[6, 2]], rtol=0, atol=2e-3)
    other, _ = views(text, images, (7, 7), seed=1)
    assert not torch.allclose(other, whole, atol=1)


def rotated(degrees):
    angle = torch.tensor([math.radians(degrees)])
    c, s, z, o = torch.cos(angle), torch.sin(angle), torch.zeros(1), torch.ones(1)
    return torch.stack([c, -s, z, s, c, z, z, z, o], 1).unflatten(1, (3, 3))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_quarter_turn_moves_every_pixel_exactly(quarters):
    picture = torch.rand(1, 2, 5, 5, generator=torch.Generator())
    found = Geometry(rotated(90 * quarters), (5, 5), (5, 5)).pictures(picture)
    torch.testing.assert_close(found, torch.rot90(picture, quarters, (2, 3)), rtol=0, atol=1e-4)


def test_masks_follow_their_pictures_and_have_an_outside():
    mask = torch.zeros(1, 6, 6, dtype=torch.int64)
    mask[0, 1:3, 1:3] = 2
    where = Geometry(rotated(90), (6, 6), (6, 6))
    assert torch.equal(where.masks(mask, outside=255), torch.rot90(mask, 1, (1, 2)))
    moved = torch.eye(3)[None].clone()
    moved[0, 0, 2] = 4.0
    far = Geometry(moved, (6, 6), (6, 6)).masks(mask, outside=255)
    assert (far[0, :, 2:] == 255).all()
    assert torch.equal(far[0, :, :2], mask[0, :, 4:])


@pytest.mark.parametrize("text", ["crop+flip", "rotate:90+scale:0.4", "perspective:0.3", "resized"])
def test_boxes_follow_what_is_in_them(text):
    """A bright rectangle alone in its picture: its box in the view holds all that is bright."""
    images = torch.zeros(24, 40, 40, 1, dtype=torch.uint8)
    images[:, 10:22, 14:30] = 255
    box = torch.tensor([[14.0, 10.0, 30.0, 22.0]])
    x, where = views(text, images, (32, 32))
    for item in range(len(images)):
        found, kept = where.boxes(item, box)
        lit = (x[item, ..., 0] > 127).nonzero()
        if not kept[0] or not len(lit):
            continue
        top, left = lit.amin(0).tolist()
        bottom, right = (lit.amax(0) + 1).tolist()
        x0, y0, x1, y1 = found[0].tolist()
        assert x0 - 1 <= left
        assert y0 - 1 <= top
        assert right <= x1 + 1
        assert bottom <= y1 + 1
        if text == "crop+flip":
            assert (left, top, right, bottom) == pytest.approx((x0, y0, x1, y1))


def test_boxes_bend_with_their_pictures():
    """The box of a rectangle is that of what is lit in its view, to a pixel, elastic and turned."""
    images = torch.zeros(16, 64, 64, 1, dtype=torch.uint8)
    images[:, 20:44, 16:50] = 255
    box = torch.tensor([[16.0, 20.0, 50.0, 44.0]])
    for text in ("elastic:0.1", "elastic:0.1+rotate:20"):
        x, where = views(text, images, (64, 64))
        for item in range(len(images)):
            lit = (x[item, ..., 0] > 127).nonzero()
            (top, left), (bottom, right) = lit.amin(0).tolist(), (lit.amax(0) + 1).tolist()
            found, _ = where.boxes(item, box)
            assert found[0].tolist() == pytest.approx((left, top, right, bottom), abs=1.5)


def test_boxes_outside_the_view_are_dropped():
    eye = torch.eye(3)[None]
    where = Geometry(eye, (10, 10), (30, 30))
    boxes = torch.tensor([[0.0, 0, 8, 8], [12, 12, 16, 18], [9, 9, 12, 12]])
    found, kept = where.boxes(0, boxes)
    assert kept.tolist() == [False, True, True]
    assert found[1].tolist() == [2, 2, 6, 8]
    assert found[2].tolist() == [0, 0, 2, 2]


def test_any_number_of_steps_is_one_resampling(monkeypatch):
    calls = []
    real = torch.nn.functional.grid_sample
    monkeypatch.setattr(
        "striate.augment.geometry.F.grid_sample",
        lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs),
    )
    views("resized+flip+rotate+shear+perspective+elastic+translate+scale", ramp(9, 9, 3), (8, 8))
    assert len(calls) == 1


def test_a_resized_window_stays_inside_and_has_the_stated_area():
    items = torch.arange(500)
    where = draw(augment.read("resized:0.25"), Draws(0, items), stored=(60, 80), size=(32, 32))
    wide, high = 32 * where.matrix[:, 0, 0], 32 * where.matrix[:, 1, 1]
    share = wide * high / (60 * 80)
    assert share.min() >= 0.249 * 0.7  # the 4:3 bound may cut a large window at the edge
    assert share.max() <= 1.0001
    x, y = where.matrix[:, 0, 2], where.matrix[:, 1, 2]
    assert ((x.abs() + wide / 2) <= 40.001).all()
    assert ((y.abs() + high / 2) <= 30.001).all()


def test_draws_are_uniform_and_independent_of_each_other():
    draws = Draws(3, torch.arange(20_000))
    a, b, n = draws.uniform(), draws.uniform(), draws.normal()
    for column in (a, b):
        counts = torch.histc(column, 20, 0, 1)
        assert ((counts - 1000).abs() < 160).all()  # five standard deviations
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.035
    assert abs(n.mean()) < 0.035
    assert n.std().item() == pytest.approx(1, abs=0.03)
    shuffled = torch.randperm(20_000, generator=torch.Generator())
    assert torch.equal(Draws(3, shuffled).uniform(), a[shuffled])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop+flop", "augment=crop+flop: 'flop' is no step; did you mean flip?"),
        ("rotate:200", "augment=rotate:200: rotate takes a number from 0 to 180, got '200'"),
        ("rotate:much", "augment=rotate:much: rotate takes a number from 0 to 180, got 'much'"),
        ("flip+flip", "augment=flip+flip: flip is there twice"),
    ],
)
def test_a_wrong_policy_is_told(text, message):
    with pytest.raises(ArgumentError) as error:
        augment.read(text)
    assert str(error.value).startswith(message)


def test_the_policy_of_2012_has_2048_views_before_colour():
    assert [name for name, _ in augment.read("alexnet2012").steps] == ["crop", "flip", "pca"]
    places = set()
    for seed in range(400):
        where = draw(
            augment.read("crop+flip"),
            Draws(seed, torch.arange(64)),
            stored=(256, 256),
            size=(224, 224),
        )
        places |= {tuple(m[:2].flatten().tolist()) for m in where.matrix}
    assert len(places) == 2 * 33 * 33  # the paper counts 32 places a side
