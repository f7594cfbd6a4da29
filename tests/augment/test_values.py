"""Values, mixtures and sounds: what a step does, on pictures whose answer is plain."""

import pytest
import torch

from striate import augment
from striate.augment import sound, values
from striate.augment.draws import Draws
from striate.augment.mixing import mix
from striate.errors import ArgumentError

PICTURES = 255 * torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def applied(text, x=PICTURES, seed=0):
    return values.apply(x.clone(), augment.read(text), Draws(seed, torch.arange(len(x))))


def test_brightness_multiplies_every_value():
    dark = PICTURES / 2
    factor = applied("brightness:0.4", dark) / dark
    each = factor.flatten(1).mean(1)
    torch.testing.assert_close(factor, each[:, None, None, None].expand_as(factor))
    assert each.min() < 0.75
    assert each.max() > 1.2
    assert ((each >= 0.6) & (each <= 1.4)).all()


def test_contrast_keeps_the_mean_grey_and_color_keeps_greys():
    soft = 100 + PICTURES / 10
    luma = torch.tensor(values.LUMA)[:, None, None]
    before, after = ((x * luma).sum(1).mean((1, 2)) for x in (soft, applied("contrast:0.5", soft)))
    torch.testing.assert_close(before, after)
    grey = soft[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(applied("color:0.9", grey), grey)
    assert not torch.allclose(applied("color:0.9", soft), soft)


def test_pca_adds_one_colour_to_a_picture():
    soft = 100 + PICTURES / 10
    shift = applied("pca", soft) - soft
    torch.testing.assert_close(shift, shift[:, :, :1, :1].expand_as(shift), rtol=0, atol=1e-3)
    flat = shift[:, :, 0, 0]
    along = flat @ torch.tensor(values.COMPONENTS[0])
    across = flat @ torch.tensor(values.COMPONENTS[2])
    assert along.std() > 5 * across.std()


def test_blur_keeps_constants_and_lowers_the_variance():
    flat = torch.full((4, 3, 9, 9), 77.0)
    torch.testing.assert_close(applied("blur:3", flat), flat)
    assert applied("blur:3").var() < 0.8 * PICTURES.var()
    # A width that tends to nothing leaves a picture as it is.
    torch.testing.assert_close(applied("blur:0", PICTURES), PICTURES)


def test_noise_has_the_stated_spread():
    middle = torch.full((64, 1, 30, 30), 128.0)
    spread = (applied("noise:0.1", middle) - middle).flatten(1).std(1) / 255
    assert spread.max() < 0.105
    assert spread.max() > 0.09
    assert spread.min() < 0.02


def test_erasing_changes_one_rectangle():
    black = torch.zeros(64, 3, 20, 20)
    for picture in applied("erase:1", black):
        changed = (picture != 0).any(0)
        rows, columns = changed.any(1), changed.any(0)
        assert changed[rows][:, columns].float().mean() > 0.99
        assert 0.005 < changed.float().mean() < 0.4
    assert torch.equal(applied("erase:0", black), black)


@pytest.mark.parametrize(
    "text", ["brightness", "contrast", "color", "pca", "blur", "noise", "erase"]
)
def test_values_stay_in_range_on_grey_and_colour(text):
    for x in (PICTURES, PICTURES[:, :1]):
        out = applied(text, x)
        assert out.shape == x.shape
        assert out.min() >= 0
        assert out.max() <= 255


def one_hot(labels):
    return torch.nn.functional.one_hot(torch.tensor(labels), 4).float()


def test_mixup_blends_pictures_and_targets_alike():
    x = torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 2).contiguous()
    target = one_hot([0, 1, 2, 3])
    mixed, shares = mix(x, target, augment.read("mixup:1"), torch.Generator().manual_seed(1))
    torch.testing.assert_close(shares.sum(1), torch.ones(4))
    torch.testing.assert_close(mixed[:, 0, 0, 0], shares @ torch.arange(4.0))


def test_cutmix_takes_a_window_and_says_its_true_share():
    x = torch.arange(4.0)[:, None, None, None].expand(4, 1, 16, 16).contiguous()
    target = one_hot([0, 1, 2, 3])
    for seed in range(20):
        mixed, shares = mix(x, target, augment.read("cutmix"), torch.Generator().manual_seed(seed))
        for i in range(4):
            for j in range(4):
                area = (mixed[i] == j).float().mean().item()
                assert shares[i, j].item() == pytest.approx(area, abs=1e-6)


def test_waves_are_mixed_up_too():
    mixed, shares = mix(
        WAVES[:2], one_hot([0, 1]), augment.read("mixup:8"), torch.Generator().manual_seed(0)
    )
    assert mixed.shape == WAVES[:2].shape
    torch.testing.assert_close(shares.sum(1), torch.ones(2))


def test_without_a_mixing_step_nothing_is_mixed():
    target = one_hot([0, 1])
    x, same = mix(PICTURES[:2], target, augment.read("flip"), torch.Generator())
    assert torch.equal(x, PICTURES[:2])
    assert torch.equal(same, target)


WAVES = torch.sin(torch.arange(400) / 10).repeat(8, 1)


def draws(n=8, seed=0):
    return Draws(seed, torch.arange(n))


def test_a_shifted_wave_is_the_same_wave_later():
    moved = sound.shifted(WAVES, draws())
    for wave, new in zip(WAVES, moved, strict=True):
        best = min(
            range(-40, 41),
            key=lambda k: (new[50:350] - wave[50 - k : 350 - k]).abs().max().item(),
        )
        torch.testing.assert_close(new[50:350], wave[50 - best : 350 - best])


def test_speed_moves_the_pitch():
    fast = sound.faster(WAVES, draws(), most=0.2)

    def crossings(wave):
        return ((wave[1:] > 0) != (wave[:-1] > 0)).sum().item()

    counts = [crossings(wave[:300]) for wave in fast]
    assert min(counts) < crossings(WAVES[0, :300]) < max(counts)
    assert sound.faster(WAVES, draws(), most=0.0).sub(WAVES).abs().max() < 1e-6


def test_noise_keeps_its_ratio():
    noisy = sound.noisy(WAVES, draws(), snr=10)
    ratio = 10 * torch.log10(WAVES.pow(2).mean(1) / (noisy - WAVES).pow(2).mean(1))
    assert (ratio > 9).all()
    assert (ratio < 31).all()


def test_masks_hide_bands_and_spans_with_the_mean():
    x = torch.rand(8, 1, 20, 50, generator=torch.Generator())
    hidden = sound.masked(x, draws(), most=0.5) != x
    for item in hidden[:, 0]:
        bands, spans = item.all(1), item.all(0)
        assert torch.equal(item, bands[:, None] | spans[None])
    with pytest.raises(ArgumentError, match=r"^masked: most is a share from 0 to 1, got 2$"):
        sound.masked(x, draws(), most=2)
