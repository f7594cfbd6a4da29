"""The fully convolutional network for series against a plain reading of the paper's figure."""

import pytest
import torch
import torch.nn.functional as F

import striate
from striate.models.catalog import build


def reference(s, x):
    """Convolution by shifted copies, normalisation by its statistics, three times; then the mean."""
    for k, kernel in enumerate((8, 5, 3)):
        w = s[f"blocks.{k}.conv.weight"]
        wide = F.pad(x, ((kernel - 1) // 2, kernel // 2))
        steps = x.shape[-1]
        x = sum(
            torch.einsum("oc,bct->bot", w[:, :, j], wide[:, :, j : j + steps])
            for j in range(kernel)
        )
        mean, var, scale, shift = (
            s[f"blocks.{k}.norm.{name}"][:, None]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = torch.relu((x - mean) / torch.sqrt(var + 1e-5) * scale + shift)
    return x.mean(-1) @ s["fc.weight"].T + s["fc.bias"]


@pytest.mark.parametrize(("channels", "steps"), [(1, 40), (3, 17), (2, 1)])
def test_it_computes_what_the_figure_says(channels, steps):
    generator = torch.Generator().manual_seed(0)
    made = build("fcn1d", in_channels=channels, size=steps, num_classes=4, generator=generator)
    net = made.double().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    x = torch.randn(2, channels, steps, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x))


def test_its_layers_have_the_published_sizes():
    sheet = striate.measure("fcn1d")
    sizes = {row.path: (row.output, row.params, row.macs) for row in sheet.layers}
    assert sizes["blocks.0.conv"] == ((128, 128), 128 * 8, 128 * 128 * 8)
    assert sizes["blocks.1.conv"] == ((256, 128), 256 * 128 * 5, 128 * 256 * 128 * 5)
    assert sizes["blocks.2.conv"] == ((128, 128), 128 * 256 * 3, 128 * 128 * 256 * 3)
    assert sizes["fc"] == ((2,), 128 * 2 + 2, 256)


def test_any_length_is_read():
    net = build("fcn1d", size=20, num_classes=3, generator=torch.Generator()).eval()
    assert net(torch.zeros(1, 1, 300)).shape == (1, 3)
    assert [m.shape[1:] for m in net.features(torch.zeros(1, 1, 9))] == [
        (128, 9),
        (256, 9),
        (128, 9),
    ]
