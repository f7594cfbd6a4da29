"""One kit, every net of the catalogue."""

import pytest
import torch
from safetensors.torch import load, save
from torch.nn import functional as F

from striate.models.backbone import Backbone
from striate.models.catalog import CATALOG, build, entry

# Small enough for a step to be quick; None is what the catalogue says.
SMALL = {"resnet18": 64}
NARROW = {"resnet18": 0.25}
NAMES = sorted(CATALOG)


def small(name: str, *, seed: int = 0, num_classes: int = 7) -> Backbone:
    generator = torch.Generator().manual_seed(seed)
    return build(
        name,
        size=SMALL.get(name),
        num_classes=num_classes,
        width=NARROW.get(name, 1.0),
        generator=generator,
    )


def pictures(net: Backbone, count: int) -> torch.Tensor:
    return torch.rand((count, *net.input_shape), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_gives_every_parameter_a_gradient(name):
    net = small(name)
    loss = F.cross_entropy(net(pictures(net, 4)), torch.tensor([0, 1, 2, 6]))
    loss.backward()
    for path, parameter in net.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.abs().sum() > 0, path


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_is_repeatable_and_takes_batches_of_one_and_two(name):
    net = small(name).eval()
    x = pictures(net, 2)
    with torch.no_grad():
        once, twice, alone = net(x), net(x), net(x[:1])
    assert once.shape == (2, 7)
    assert torch.equal(once, twice)
    torch.testing.assert_close(alone, once[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_both_memory_layouts_give_the_same(name):
    net = small(name).eval().double()
    x = pictures(net, 2).double()
    with torch.no_grad():
        plain = net(x)
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        turned = net(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(turned, plain)


@pytest.mark.parametrize("name", NAMES)
def test_weights_go_into_a_net_built_without_any(name):
    net = small(name).eval()
    size, width = SMALL.get(name), NARROW.get(name, 1.0)
    bare = build(name, size=size, num_classes=7, width=width, init=False).eval()
    bare.load_state_dict(load(save(net.state_dict())))
    x = pictures(net, 2)
    with torch.no_grad():
        assert torch.equal(bare(x), net(x))


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_the_weights(name):
    before = torch.get_rng_state()
    first, again, other = small(name, seed=3), small(name, seed=3), small(name, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    weights, same, different = (list(net.parameters()) for net in (first, again, other))
    assert all(torch.equal(a, b) for a, b in zip(weights, same, strict=True))
    assert not torch.equal(weights[0], different[0])
    unsaid = [next(build("linear").parameters()) for _ in range(2)]
    assert torch.equal(*unsaid)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_what_widths_and_strides_say(name):
    net = small(name).eval()
    x = pictures(net, 2)
    maps = net.features(x)
    assert len(maps) == len(net.widths) == len(net.strides)
    for feature, width, stride in zip(maps, net.widths, net.strides, strict=True):
        assert feature.shape[:2] == (2, width)
        side = -(-x.shape[-1] // stride)
        # Valid convolutions lose a border of less than two values a side.
        assert side - 2 <= feature.shape[-1] <= side


@pytest.mark.parametrize("name", ["linear", "lenet5", "resnet18"])
def test_strides_are_the_pixels_between_neighbouring_values(name):
    net = small(name).eval()
    channels = net.input_shape[0]
    near, far = (net.features(torch.zeros(1, channels, side, side)) for side in (64, 128))
    for a, b, stride in zip(near, far, net.strides, strict=True):
        assert (b.shape[-1] - a.shape[-1]) * stride == 64


@pytest.mark.parametrize("name", NAMES)
def test_the_ends_are_where_the_net_says(name):
    net = small(name)
    weight = net.get_submodule(net.stem).weight
    assert weight is next(iter(net.parameters()))
    before = [p for path, p in net.named_parameters() if not path.startswith(f"{net.head}.")]
    net.reset_head(3, generator=torch.Generator().manual_seed(5))
    after = [p for path, p in net.named_parameters() if not path.startswith(f"{net.head}.")]
    assert all(a is b for a, b in zip(before, after, strict=True))
    assert net.eval()(pictures(net, 2)).shape == (2, 3)
    head = net.get_parameter(f"{net.head}.weight")
    net.reset_head(3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(net.get_parameter(f"{net.head}.weight"), head)


@pytest.mark.parametrize("name", NAMES)
def test_channels_classes_and_width_are_free(name):
    size = SMALL.get(name)
    net = build(name, in_channels=4, num_classes=1, size=size, width=0.3).eval()
    assert net.input_shape[0] == 4
    assert net(pictures(net, 2)).shape == (2, 1)
    full = build(name, in_channels=4, num_classes=1, size=size, init=False)
    counts = [sum(p.numel() for p in each.parameters()) for each in (net, full)]
    assert counts[0] == counts[1] if name == "linear" else counts[0] < counts[1] / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_export_computes_the_same(name):
    net = small(name).eval()
    x = pictures(net, 2)
    program = torch.export.export(net, (x,))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(x), net(x))


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_counts_the_parameters_of_the_built_net(name):
    row = entry(name)
    net = build(name, init=False)
    assert sum(p.numel() for p in net.parameters()) == row.params == row.params_train
    assert net.input_shape == row.input
    assert row.published.params in (None, row.params)
