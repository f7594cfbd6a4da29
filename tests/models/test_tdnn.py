"""The time-delay network against the paper's figure and a plain reading of it."""

import pytest
import torch

import striate
from striate.errors import ShapeError
from striate.models.catalog import build


def reference(s, x, *, power):
    """One window at a time, by matrix products."""

    def layer(x, name):
        w, b = s[f"{name}.weight"], s[f"{name}.bias"]
        frames = range(x.shape[-1] - w.shape[-1] + 1)
        windows = [x[:, :, t : t + w.shape[-1]].flatten(1) for t in frames]
        return torch.stack([1 / (1 + torch.exp(-(v @ w.flatten(1).T + b))) for v in windows], -1)

    return (layer(layer(x, "conv1"), "conv2") ** power).sum(-1)


@pytest.mark.parametrize(("evidence", "power"), [("squares", 2), ("sum", 1)])
@pytest.mark.parametrize("frames", [7, 15, 40])
def test_it_computes_what_the_paper_says(evidence, power, frames):
    net = build("tdnn", evidence=evidence, size=frames, num_classes=5).double()
    x = torch.randn(3, 16, frames, dtype=torch.float64, generator=torch.Generator())
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x, power=power))


def test_the_layers_are_those_of_figure_2():
    sheet = striate.measure("tdnn")
    sizes = {row.path: (row.output, row.params, row.connections, row.macs) for row in sheet.layers}
    # 8 units over 13 places read 3 frames of 16; 3 over 9 places read 5 frames of 8.
    assert sizes["conv1"] == ((8, 13), 16 * 3 * 8 + 8, 13 * 8 * 49, 13 * 8 * 48)
    assert sizes["conv2"] == ((3, 9), 8 * 5 * 3 + 3, 9 * 3 * 41, 9 * 3 * 40)
    assert sheet.totals.params == 515


def test_a_sound_counts_the_same_wherever_it_stands():
    net = build("tdnn", size=40, generator=torch.Generator().manual_seed(1)).double()
    sound = torch.randn(1, 16, 9, dtype=torch.float64, generator=torch.Generator())
    early, late = torch.zeros(2, 1, 16, 40, dtype=torch.float64)
    early[:, :, 6:15], late[:, :, 20:29] = sound, sound
    with torch.no_grad():
        torch.testing.assert_close(net(early), net(late))
        assert not torch.allclose(net(early), net(torch.zeros_like(early)), rtol=1e-3)


def test_it_learns_a_rise_from_a_fall():
    generator = torch.Generator().manual_seed(0)
    net = build("tdnn", num_classes=2, generator=generator)
    steps = torch.arange(6)

    def batch():
        x = 0.1 * torch.randn(64, 16, 15, generator=generator)
        falls = torch.randint(2, (64,), generator=generator)
        start = torch.randint(10, (64, 1), generator=generator)
        pitch = torch.where(falls[:, None] > 0, 10 - steps, 5 + steps)
        x[torch.arange(64)[:, None], pitch, start + steps] += 1
        return x, falls

    optimiser = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(150):
        x, target = batch()
        loss = net.objective(x, target, torch.nn.functional.cross_entropy)[1]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, target = batch()
    assert (net(x).argmax(1) == target).float().mean() > 0.95


def test_too_few_frames_is_one_line():
    with pytest.raises(ShapeError) as error:
        build("tdnn", size=6)
    assert str(error.value) == (
        "tdnn: windows of 3 and 5 frames need at least 7; got 6; use longer pieces, such as size=15"
    )


def test_it_is_measured_by_name_at_other_sizes():
    assert striate.measure("tdnn", (20, 100)).inputs == ((20, 100),)
    with pytest.raises(ShapeError) as error:
        striate.measure("tdnn", (1, 20, 100))
    assert str(error.value) == (
        "tdnn reads one series, such as 16x15 (channels, frames); got 1x20x100"
    )
