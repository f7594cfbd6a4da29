"""Views of sounds against an account sample by sample."""

import math

import numpy as np
import pytest
import torch

from striate.augment import sound
from striate.augment.draws import Draws

WAVES = torch.randn(6, 101, generator=torch.Generator().manual_seed(0))
ITEMS = torch.tensor([5, 0, 3, 9, 2, 7])


def drawn(most: float) -> tuple[list[float], Draws]:
    """The numbers that a view draws, and draws that begin anew."""
    return Draws(4, ITEMS).uniform(-most, most).tolist(), Draws(4, ITEMS)


@pytest.mark.parametrize("most", [0.0, 0.1, 1.0])
def test_a_moved_sound_has_its_samples_elsewhere_and_silence_around(most):
    shares, draws = drawn(most)
    expected = torch.zeros_like(WAVES)
    for row, wave, share in zip(expected, WAVES, shares, strict=True):
        by = round(share * 101)
        for t in range(101):
            if 0 <= t - by < 101:
                row[t] = wave[t - by]
    assert torch.equal(sound.shifted(WAVES, draws, most=most), expected)


@pytest.mark.parametrize("most", [0.0, 0.1, 1.0])
def test_a_faster_sound_is_read_between_its_samples_up_to_its_end(most):
    shares, draws = drawn(1.0)
    expected = np.zeros((6, 101))
    for row, wave, share in zip(expected, WAVES.double().numpy(), shares, strict=True):
        speed = math.exp(share * math.log1p(most))
        row[:] = np.interp(np.arange(101) * speed, np.arange(101), wave, right=0.0)
    found = sound.faster(WAVES, draws, most=most)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)


def test_views_leave_the_waves_as_they_are():
    before = WAVES.clone()
    for view in (sound.shifted, sound.faster, sound.noisy):
        view(WAVES, Draws(4, ITEMS))
    assert torch.equal(WAVES, before)
