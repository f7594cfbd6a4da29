"""Scores of pictures that are given back, against formulas written out window by window."""

import math

import numpy as np
import pytest

from striate.errors import ArgumentError, ShapeError
from striate.metrics import ReconstructMeter
from striate.metrics.reconstruct import (
    BEST,
    Similarity,
    edge_error,
    picture_scores,
    psnr,
    sharpness,
    ssim,
)


def pictures(channels: int = 3, size: tuple[int, int] = (19, 16)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(channels)
    truth = rng.random((*size, channels))
    return np.clip(truth + rng.normal(0, 0.2, truth.shape), 0, 1), truth


def ssim_by_windows(a: np.ndarray, t: np.ndarray) -> float:
    """Wang et al. 2004, equation 13 with the weights of section III C, each window by itself."""
    at = np.arange(11) - 5
    weights = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    found = []
    for c in range(a.shape[2]):
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                one, two = (each[y : y + 11, x : x + 11, c] for each in (a, t))
                m1, m2 = (weights * one).sum(), (weights * two).sum()
                v1, v2 = (weights * (one - m1) ** 2).sum(), (weights * (two - m2) ** 2).sum()
                both = (weights * (one - m1) * (two - m2)).sum()
                c1, c2 = 0.01**2, 0.03**2
                found.append(
                    (2 * m1 * m2 + c1) * (2 * both + c2) / ((m1**2 + m2**2 + c1) * (v1 + v2 + c2))
                )
    return float(np.mean(found))


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_that_of_the_paper(channels):
    answer, truth = pictures(channels)
    assert ssim(answer, truth) == pytest.approx(ssim_by_windows(answer, truth), abs=1e-12)
    assert ssim(truth, truth) == pytest.approx(1)


@pytest.mark.parametrize("size", [(19, 16), (43, 12), (50, 37)])
def test_ssim_of_pictures_in_blocks_and_strips(size, monkeypatch):
    """Sizes that are no multiple of a block, and strips of rows as large pictures have them; one object for all."""
    monkeypatch.setattr("striate.metrics.reconstruct.NEAR", 1)
    similarity = Similarity()
    for channels in (3, 1, 3):
        answer, truth = pictures(channels, size)
        expected = pytest.approx(ssim_by_windows(answer, truth), abs=1e-12)
        assert similarity(answer, truth) == expected


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.002, 0.03, 0.2])
def test_ssim_in_float32_is_that_of_float64(level, noise):
    """Flat pictures with noise are the hard case: their variance is the small difference of two squares."""
    rng = np.random.default_rng(0)
    truth = np.full((64, 64, 3), level, np.float32)
    truth[20:40, 20:40] = 0.5
    answer = np.clip(truth + rng.normal(0, noise, truth.shape), 0, 1).astype(np.float32)
    assert ssim(answer, truth) == pytest.approx(
        ssim(answer.astype(float), truth.astype(float)), abs=1e-6
    )


@pytest.mark.parametrize("size", [(1, 1), (2, 30), (10, 10), (11, 11)])
def test_small_pictures_have_a_smaller_window(size):
    answer, truth = pictures(1, size)
    assert -1 <= ssim(answer, truth) < 1
    assert ssim(truth, truth) == pytest.approx(1)


def test_psnr_of_a_known_error():
    assert psnr(0.01) == pytest.approx(20)
    assert psnr(0.0) == psnr(1e-30) == BEST


def test_edges_and_detail_by_hand():
    """A step of 1 between columns: Sobel over 8 is a slope of a half in the two columns beside it."""
    truth = np.zeros((6, 8, 1))
    truth[:, 4:] = 1
    blurred = truth.copy()
    blurred[:, 3], blurred[:, 4] = 0.25, 0.75
    flat = np.full_like(truth, 0.5)
    assert edge_error(flat, truth) == pytest.approx(0.5 * 2 / 8)
    assert edge_error(truth, truth) == 0
    assert 0 < edge_error(blurred, truth) < edge_error(flat, truth)
    # second differences: +1 and -1 beside the step; 0.25, 0.25, -0.25, -0.25 where it is spread
    assert sharpness(blurred, truth) == pytest.approx(4 * 0.25**2 / 2)
    assert sharpness(truth, truth) == 1
    assert math.isnan(sharpness(truth, flat))


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_pictures_of_one_colour_have_numbers(value):
    flat = np.full((12, 12, 3), value)
    found = picture_scores(flat, flat)
    assert found["psnr"] == BEST
    assert found["ssim"] == pytest.approx(1)
    assert math.isnan(found.pop("sharpness"))
    assert all(math.isfinite(each) for each in found.values())
    off = picture_scores(flat * 0.5 + 0.1, flat)
    assert all(math.isfinite(each) for key, each in off.items() if key != "sharpness")


def test_a_meter_takes_means_and_says_what_is_not_known():
    meter, other = ReconstructMeter(), ReconstructMeter()
    for k in range(8):
        answer, truth = pictures(1 + 2 * (k % 2))
        (meter if k < 5 else other).add(answer, truth)
    flat = np.full((12, 12, 1), 0.3)
    other.add(flat + 0.1, flat)
    meter.add_rows(other.state())
    assert [row["psnr"] for row in meter.last(6)] == meter.row("psnr")[-6:].tolist()
    assert "sharpness" not in meter.last(1)[0]
    assert meter.last(0) == []
    assert len(meter) == len(meter.last(20)) == 9
    found = meter.scores()
    rows = [picture_scores(*pictures(1 + 2 * (k % 2))) for k in range(8)]
    rows.append(picture_scores(flat + 0.1, flat))
    assert found["psnr"].value == pytest.approx(np.mean([row["psnr"] for row in rows]))
    assert found["psnr"].low < found["psnr"].value < found["psnr"].high
    assert found["sharpness"].value == pytest.approx(np.nanmean([r["sharpness"] for r in rows]))
    assert "sharpness is not known of 1 picture, which has next to no detail" in meter.notes()
    assert set(ReconstructMeter(whole=False).values()) == {"psnr", "l1", "l2"}


def test_other_sizes_and_no_numbers_are_refused():
    answer, truth = pictures()
    with pytest.raises(ShapeError, match="expected two"):
        picture_scores(answer[1:], truth)
    answer[0, 0] = np.nan
    with pytest.raises(ArgumentError, match="nan or infinity"):
        picture_scores(answer, truth)
