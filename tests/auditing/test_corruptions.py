"""Spoilt pictures: of any size and number of channels, the same for the same seed, worse with the strength."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import striate
from striate.auditing.corruptions import KINDS, STRENGTHS, corrupted


def picture(channels=3, height=48, width=64):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = torch.stack([128 + 90 * torch.sin(x / (3 + c) + y / 7) for c in range(channels)])
    return waves[None].repeat(2, 1, 1, 1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 48, 64), (1, 28, 28), (3, 8, 8)], ids=str)
def test_any_size_and_channels(kind, shape):
    x = picture(*shape)
    for strength in STRENGTHS:
        found = corrupted(x, kind, strength, seeded())
        assert found.shape == x.shape
        assert torch.isfinite(found).all()
        assert found.min() >= 0
        assert found.max() <= 255
    assert torch.equal(x, picture(*shape)), "what was given stays"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_spoils_alike_and_the_strongest_most(kind):
    x = picture()
    first, again = (corrupted(x, kind, 3, seeded(1)) for _ in range(2))
    assert torch.equal(first, again)
    weak, strong = (
        (corrupted(x, kind, strength, seeded()) - x).square().mean() for strength in (1, 5)
    )
    assert strong > weak > 0


def test_blur_is_that_of_scipy():
    x = picture(1, 112, 112)
    found = corrupted(x, "gaussian_blur", 4, seeded())[0, 0].numpy()
    wanted = ndimage.gaussian_filter(x[0, 0].numpy(), 4 * 112 / 224, mode="mirror", truncate=3.0)
    assert np.abs(found - wanted).max() < 0.5


def test_noise_has_the_deviation_of_the_paper():
    grey = torch.full((4, 3, 64, 64), 127.5)
    assert (corrupted(grey, "gaussian_noise", 1, seeded()) - grey).std() == pytest.approx(
        0.08 * 255, rel=0.02
    )
    changed = corrupted(grey, "impulse_noise", 5, seeded()) != grey
    assert changed.float().mean() == pytest.approx(0.27, abs=0.01)
    shot = corrupted(grey, "shot_noise", 1, seeded()) / 255
    assert shot.var() == pytest.approx(0.5 / 60, rel=0.05)


def test_contrast_is_what_it_says():
    x = picture()
    found = corrupted(x, "contrast", 2, seeded())
    assert found.std() == pytest.approx(0.3 * x.std().item(), rel=0.02)
    assert found.mean() == pytest.approx(x.mean().item(), abs=0.5)


def test_of_masks(tmp_path):
    """Any task over pictures is audited by the leading score of its items."""
    rng = np.random.default_rng(0)
    for i in range(60):
        pixels = rng.integers(0, 80, (32, 32), np.uint8)
        mask = np.zeros((32, 32), np.uint8)
        top, left = rng.integers(2, 16, 2)
        mask[top : top + 12, left : left + 12] = 255
        pixels[mask > 0] += 150
        for folder, content in (("images", pixels), ("masks", mask)):
            (tmp_path / "d" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(tmp_path / "d" / folder / f"{i}.png")
    run = striate.train(
        tmp_path / "d",
        epochs=4,
        out=tmp_path / "runs",
        plan="default",
        val=0.4,
        width=0.25,
        batch=8,
    )
    found = striate.audit(run, only=["corruptions"], budget=60).findings
    first = next(each for each in found if each.unit)
    assert first.unit in ("iou", "dice", "miou")
    assert first.limit is not None
    assert 0 <= first.value.value <= first.limit + 0.05
    kinds = {row["kind"] for row in first.evidence}
    assert "elastic_transform" not in kinds
    assert "fog" in kinds
