"""The convolutional deep belief network: its probabilities from the energy, its steps, and the edges that it finds."""

import itertools
import math

import pytest
import torch
from safetensors.torch import load, save
from sklearn.datasets import load_sample_images
from torch import Tensor

import striate
from striate.errors import ShapeError
from striate.models.catalog import build
from striate.models.cdbn import (
    CDBN,
    CRBM,
    Learning,
    contrast,
    sample_blocks,
    teach,
    unblocked,
    whitened,
)


def made(seed: int = 0, **settings) -> CDBN:
    net = build("cdbn", generator=torch.Generator().manual_seed(seed), **settings)
    assert isinstance(net, CDBN)
    return net


def machine(visible: int, groups: int, *, sigma: float | None) -> CRBM:
    """In float64, with weights large enough to matter."""
    layer = CRBM(visible, groups, sigma=sigma).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in layer.parameters():
        parameter.normal_(0, 0.3, generator=generator)
    return layer


def normal(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def orientation_index(kernels: Tensor) -> Tensor:
    """How much a kernel's spectrum lies along one line through zero [..., H, W] -> [...]: 1 for a grating, 0 for a blob.

    The length of the mean of exp(2i a) over all frequencies but zero, weighted by their power, where a
    is the direction of the frequency. An edge has one direction and noise has all.
    """
    spectrum = torch.fft.fft2(kernels - kernels.mean((-2, -1), keepdim=True), s=(32, 32))
    power = spectrum.abs().square()
    f = torch.fft.fftfreq(32, device=kernels.device)
    angle = torch.atan2(f[:, None], f[None])
    turned = (power * torch.exp(2j * angle)).sum((-2, -1)).abs()
    return turned / power.sum((-2, -1))


def test_the_sizes_are_those_of_section_4():
    # 24 groups of 10x10, then 100, pooled by 2: 64 -> 55 -> 27 -> 18 -> 9.
    net = made(init=False)
    assert sum(p.numel() for p in net.parameters()) == (24 * 100 + 24 + 1) + (
        100 * 24 * 100 + 100 + 24
    )
    maps = net.to("meta").features(torch.empty(1, 1, 64, 64, device="meta"))
    assert [tuple(m.shape[1:]) for m in maps] == [(24, 27, 27), (100, 9, 9)]
    macs = 55 * 55 * 24 * 100 + 18 * 18 * 100 * 24 * 100
    assert striate.measure("cdbn").totals.macs == macs


def energy(layer: CRBM, v: Tensor, h: Tensor) -> float:
    """Sec. 3.2, of one picture [C, H, W] and its units [K, H', W'], without what depends on v alone."""
    total = 0.0
    for k, i, j in itertools.product(*map(range, h.shape)):
        patch = v[:, i : i + 10, j : j + 10]
        drive = (layer.weight[k] * patch).sum() / (layer.sigma or 1) ** 2 + layer.bias[k]
        total -= (h[k, i, j] * drive).item()
    return total


@pytest.mark.parametrize("sigma", [None, 0.7])
def test_the_chances_of_a_block_are_those_of_the_energy(sigma):
    layer, v = machine(2, 2, sigma=sigma), 0.3 * normal(2, 11, 11).double()
    # Two groups of one block of 2x2: five states each, one unit on or none.
    states = [torch.zeros(2, 2, dtype=torch.float64) for _ in range(5)]
    for n, (i, j) in enumerate(itertools.product((0, 1), (0, 1))):
        states[n][i, j] = 1
    weights = {
        pair: math.exp(-energy(layer, v, torch.stack([states[n] for n in pair])))
        for pair in itertools.product(range(5), range(5))
    }
    whole = sum(weights.values())
    ours = layer.blocks(v[None])[0, :, 0, 0]
    for group, state in itertools.product((0, 1), range(5)):
        by_hand = sum(w for pair, w in weights.items() if pair[group] == state) / whole
        assert ours[group, state].item() == pytest.approx(by_hand)
    torch.testing.assert_close(layer(v[None])[0, :, 0, 0], 1 - ours[:, 4])


@pytest.mark.parametrize("sigma", [None, 0.7])
def test_what_is_imagined_is_the_sum_of_kernels_where_units_are_on(sigma):
    layer = machine(2, 3, sigma=sigma)
    h = torch.zeros(1, 3, 4, 6, dtype=torch.float64)
    h[0, 1, 2, 3], h[0, 2, 0, 5] = 1, 1
    by_hand = layer.visible_bias[:, None, None].repeat(1, 13, 15)
    by_hand[:, 2:12, 3:13] += layer.weight[1]
    by_hand[:, 0:10, 5:15] += layer.weight[2]
    by_hand = by_hand if sigma else 1 / (1 + torch.exp(-by_hand))
    torch.testing.assert_close(layer.imagined(h)[0], by_hand)


def test_one_unit_of_a_block_is_drawn_by_its_chances():
    chances = torch.tensor([0.1, 0.2, 0.0, 0.3, 0.4]).expand(2, 3, 50, 40, 5)
    drawn = sample_blocks(chances, torch.Generator().manual_seed(0))
    assert torch.equal(drawn.sum(-1), torch.ones(2, 3, 50, 40))
    torch.testing.assert_close(drawn.mean((0, 1, 2, 3)), chances[0, 0, 0, 0], atol=0.02, rtol=0)
    units = unblocked(drawn)
    assert units.shape == (2, 3, 100, 80)
    assert torch.equal(units[1, 2, 6:8, 10:12].flatten(), drawn[1, 2, 3, 5, :4])


def test_a_step_is_what_is_seen_less_what_is_imagined():
    layer, x = machine(2, 3, sigma=1.0), normal(2, 2, 13, 13).double()
    learning = Learning(start=0.01, rate=1, decay=0.1, pull=2.0, sparsity=0.05)
    kernel, bias, visible = contrast(layer, x, learning, torch.Generator().manual_seed(4))
    chances = layer.blocks(x)
    seen = unblocked(chances)
    imagined = layer.imagined(unblocked(sample_blocks(chances, torch.Generator().manual_seed(4))))
    dreamt = unblocked(layer.blocks(imagined))
    k, c, i, j = 1, 0, 3, 7
    by_hand = sum(
        (seen[n, k, y, z] * x[n, c, y + i, z + j]).item()
        - (dreamt[n, k, y, z] * imagined[n, c, y + i, z + j]).item()
        for n, y, z in itertools.product(range(2), range(4), range(4))
    )
    decayed = by_hand / 32 - 0.1 * layer.weight[k, c, i, j].item()
    assert kernel[k, c, i, j].item() == pytest.approx(decayed)
    on = seen.mean((0, 2, 3))
    torch.testing.assert_close(bias, on - dreamt.mean((0, 2, 3)) + 2 * (0.05 - on))
    torch.testing.assert_close(visible, (x - imagined).mean((0, 2, 3)))


def grating(direction: float) -> Tensor:
    y, x = torch.meshgrid(torch.arange(10.0), torch.arange(10.0), indexing="ij")
    along = x * math.cos(direction) + y * math.sin(direction)
    window = torch.exp(-((x - 4.5) ** 2 + (y - 4.5) ** 2) / 12)
    return window * torch.sin(1.6 * along)


def test_the_orientation_index_tells_edges_from_blobs_and_noise():
    edges = torch.stack([grating(turn) for turn in (0.0, 0.4, 0.8, 1.3)])
    assert orientation_index(edges).min() > 0.85
    across = torch.arange(10) - 4.5
    blob = torch.exp(-(across[:, None] ** 2 + across**2) / 4)
    assert orientation_index(blob) < 0.01
    assert 0.05 < orientation_index(normal(1000, 10, 10)).mean() < 0.15


def test_whitening_makes_frequencies_equally_strong():
    frequency = torch.hypot(torch.fft.fftfreq(128)[:, None], torch.fft.fftfreq(128)[None])
    noise = torch.fft.fft2(normal(8, 1, 128, 128))
    natural = torch.fft.ifft2(noise / frequency.clamp_min(1 / 128)).real
    before, after = (
        torch.fft.fft2(p).abs().square().mean((0, 1)) for p in (natural, whitened(natural))
    )
    low, high = (frequency > 0.03) & (frequency < 0.06), (frequency > 0.15) & (frequency < 0.2)
    assert before[low].mean() / before[high].mean() > 10
    assert after[low].mean() / after[high].mean() == pytest.approx(1, abs=0.2)
    torch.testing.assert_close(whitened(natural).std((1, 2, 3)), torch.ones(8))


def crops(count: int, side: int) -> Tensor:
    """Pieces of two photographs, a temple and a flower, grey and whitened."""
    generator = torch.Generator().manual_seed(5)
    photos = [
        torch.tensor(image).float().mean(2)[None, None] for image in load_sample_images().images
    ]
    white = torch.cat([whitened(photo) for photo in photos])
    tops = torch.randint(427 - side, (count,), generator=generator).tolist()
    lefts = torch.randint(640 - side, (count,), generator=generator).tolist()
    return torch.stack(
        [
            white[n % 2, :, t : t + side, s : s + side]
            for n, (t, s) in enumerate(zip(tops, lefts, strict=True))
        ]
    )


@pytest.mark.slow
def test_the_first_layer_finds_oriented_edges():
    net, pictures = made(), crops(400, 33)
    untrained = orientation_index(net.crbm1.weight[:, 0]).mean()
    teach(net.crbm1, pictures, net.learning[0], generator=torch.Generator(), passes=10)
    learned = orientation_index(net.crbm1.weight[:, 0])
    chance = orientation_index(normal(1000, 10, 10))
    assert untrained < 0.15
    assert learned.mean() > 3 * chance.mean()
    assert (learned > chance.quantile(0.95)).float().mean() > 0.7
    on = unblocked(net.crbm1.blocks(pictures[:100])).mean((0, 2, 3))
    assert ((on > 0.0025) & (on < 0.01)).all()


@pytest.mark.slow
def test_noise_has_no_edges_to_find():
    net = made()
    teach(net.crbm1, normal(400, 1, 33, 33), net.learning[0], generator=torch.Generator(), passes=3)
    assert orientation_index(net.crbm1.weight[:, 0]).mean() < 0.2


@pytest.mark.slow
def test_the_second_layer_explains_the_first_better_than_its_mean():
    net = made(num_classes=16)
    net.fit(crops(160, 51), generator=torch.Generator(), passes=8)
    first = net.crbm1(crops(40, 51))[:, :, :19, :19]  # what whole blocks read
    chances = unblocked(net.crbm2.blocks(first))
    assert chances.shape[2:] == (10, 10)
    error = (net.crbm2.imagined(chances) - first).square().mean()
    assert error < 0.9 * (first - first.mean((0, 2, 3), keepdim=True)).square().mean()
    pictures = net.templates()[1]
    assert pictures.shape == (16, 1, 28, 28)
    # Every group looks for something of its own.
    kernels = torch.nn.functional.normalize(net.crbm2.weight.flatten(1))
    alike = (kernels @ kernels.T - 2 * torch.eye(16)).amax(1)
    assert alike.median() < 0.6


def test_a_second_layer_picture_puts_first_kernels_where_its_own_has_them():
    net = made(num_classes=2)
    net.crbm2.weight.zero_()
    net.crbm2.weight[1, 5, 3, 8], net.crbm2.weight[1, 7, 0, 0] = 2, -1
    first, second = net.templates()
    assert first is net.crbm1.weight
    by_hand = torch.zeros(2, 1, 28, 28)
    by_hand[1, :, 6:16, 16:26] += 2 * first[5]
    by_hand[1, :, 0:10, 0:10] -= first[7]
    torch.testing.assert_close(second, by_hand)


def test_learning_repeats_and_is_kept():
    pictures, before = normal(8, 1, 33, 34), torch.get_rng_state()
    small = {"width": 0.2, "num_classes": 3, "size": (33, 34)}
    nets = [
        made(5, **small).fit(pictures, generator=torch.Generator().manual_seed(1), passes=1)
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    blank = made(6, **small)
    blank.load_state_dict(load(save(nets[0].state_dict())))
    answers = [net(pictures) for net in (*nets, blank)]
    assert all(torch.equal(answer, answers[0]) for answer in answers)
    assert not torch.equal(made(5, **small)(pictures), answers[0])


def test_a_picture_too_small_is_one_line():
    with pytest.raises(ShapeError) as error:
        build("cdbn", size=30)
    assert str(error.value) == (
        "cdbn: two layers of 10x10 kernels need pictures of at least 31x31; got 30x30; "
        "enlarge them with size=64"
    )
    assert made(size=31, num_classes=2)(torch.rand(1, 1, 31, 31)).shape == (1, 2, 1, 1)
