"""SqueezeNet against the paper: table 1, hand counts, names of weights, a plain reference."""

import pytest
import torch
from torch.nn import functional as F

import striate
from striate.errors import ShapeError
from striate.models.catalog import build, entry

# Places in `features` of the poolings and of the fire modules with what each squeezes to.
PLACES = {
    "squeezenet1_0": (2, {3: 16, 4: 16, 5: 32}, 6, {7: 32, 8: 48, 9: 48, 10: 64}, 11, {12: 64}),
    "squeezenet1_1": (2, {3: 16, 4: 16}, 5, {6: 32, 7: 32}, 8, {9: 48, 10: 48, 11: 64, 12: 64}),
}
ENTRY = {"squeezenet1_0": (96, 7), "squeezenet1_1": (64, 3)}


def meta(name, **settings):
    with torch.device("meta"):
        return build(name, init=False, **settings)


def test_the_sizes_and_counts_of_table_1():
    # Of version 1.0; the table reads pictures of 224x224 and prints 111x111 behind conv1, which a
    # 7x7 window two apart makes of 227 only: of 224 it makes 109.
    net = meta("squeezenet1_0", size=227)
    sides = {layer.path: layer.output for layer in striate.measure(net, (3, 227, 227)).layers}
    assert sides["features.0"] == (96, 111, 111)
    assert [sides[f"features.{i}"][1] for i in (2, 6, 11)] == [55, 27, 13]
    assert sides["classifier.1"] == (1000, 13, 13)
    # The column "#parameter before pruning".
    printed = {0: 14_208, 3: 11_920, 4: 12_432, 5: 45_344, 7: 49_440, 8: 104_880, 9: 111_024}
    printed |= {10: 188_992, 12: 197_184}
    for place, count in printed.items():
        layer = net.get_submodule(f"features.{place}")
        assert sum(p.numel() for p in layer.parameters()) == count
    assert sum(p.numel() for p in net.get_submodule("classifier").parameters()) == 513_000
    assert sum(printed.values()) + 513_000 == entry("squeezenet1_0").params


@pytest.mark.parametrize("name", PLACES)
def test_parameters_and_multiply_adds_by_hand(name):
    maps, kernel = ENTRY[name]
    side = (224 - kernel) // 2 + 1
    params, macs = maps * (3 * kernel**2 + 1), side**2 * maps * 3 * kernel**2
    for part in PLACES[name]:
        if isinstance(part, int):
            side = -(-(side - 3) // 2) + 1
            continue
        for squeezed in part.values():
            wide = 4 * squeezed
            params += squeezed * (maps + 1) + wide * (squeezed + 1) + wide * (9 * squeezed + 1)
            macs += side**2 * (squeezed * maps + wide * squeezed * 10)
            maps = 2 * wide
    params, macs = params + 1000 * (maps + 1), macs + side**2 * 1000 * maps
    assert (entry(name).params, entry(name).macs) == (params, macs)


@pytest.mark.parametrize("name", PLACES)
def test_weights_have_the_names_of_torchvision(name):
    modules = ["features.0"]
    for part in PLACES[name]:
        for place in () if isinstance(part, int) else part:
            modules += [
                f"features.{place}.{layer}" for layer in ("squeeze", "expand1x1", "expand3x3")
            ]
    modules += ["classifier.1"]
    expected = [f"{module}.{part}" for module in modules for part in ("weight", "bias")]
    assert list(meta(name).state_dict()) == expected
    assert list(meta(name, drop_rate=0.0).state_dict()) == expected


def reference(s, x, *, name):
    def conv(x, path, **how):
        return F.relu(F.conv2d(x, s[f"{path}.weight"], s[f"{path}.bias"], **how))

    x = conv(x, "features.0", stride=2)
    for part in PLACES[name]:
        if isinstance(part, int):
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            continue
        for place in part:
            x = conv(x, f"features.{place}.squeeze")
            x = torch.cat(
                [
                    conv(x, f"features.{place}.expand1x1"),
                    conv(x, f"features.{place}.expand3x3", padding=1),
                ],
                1,
            )
    return conv(x, "classifier.1").mean((2, 3))


@pytest.mark.parametrize("size", [(64, 64), (61, 47), (21, 22)])
@pytest.mark.parametrize("name", PLACES)
def test_it_computes_what_the_paper_says(name, size):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=size, width=0.25, generator=generator).double().eval()
    for tensor in net.state_dict().values():
        if tensor.ndim == 1:
            tensor.uniform_(-0.1, 0.1, generator=generator)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        assert net(x).any()
        torch.testing.assert_close(net(x), reference(net.state_dict(), x, name=name))


@pytest.mark.parametrize(("name", "least"), [("squeezenet1_0", 21), ("squeezenet1_1", 17)])
def test_the_least_picture_fits_and_the_next_smaller_is_refused(name, least):
    net = build(name, size=least, width=0.25).eval()
    assert net(torch.zeros(1, 3, least, least)).shape == (1, 1000)
    with pytest.raises(ShapeError) as error:
        build(name, size=(least - 1, 224))
    assert str(error.value) == (
        f"{name}: the third pooling needs pictures of at least {least}x{least}; "
        f"got {least - 1}x224; enlarge them with size={least}"
    )


def test_first_weights_are_those_of_torchvision():
    net = build("squeezenet1_1", generator=torch.Generator().manual_seed(0))
    for path, parameter in net.named_parameters():
        if path.endswith("bias"):
            assert not parameter.any(), path
        elif path.startswith("classifier"):
            assert abs(parameter.std().item() / 0.01 - 1) < 0.02
        else:
            bound = (6 / parameter[0].numel()) ** 0.5
            assert 0.98 * bound < parameter.abs().max().item() <= bound, path
            assert abs(parameter.std().item() / (bound / 3**0.5) - 1) < 0.05, path
