"""ENet against table 1 of the paper: sizes, counts by hand, a functional reading, unpooling by places."""

import pytest
import torch
from torch.nn import functional as F

from striate.errors import ShapeError
from striate.models.catalog import CATALOG, build

# Table 1, for a picture of 512x512: name, kind, maps, size after it.
KINDS = (
    "regular",
    "dilated 2",
    "asymmetric 5",
    "dilated 4",
    "regular",
    "dilated 8",
    "asymmetric 5",
    "dilated 16",
)
TABLE = [
    ("initial", "initial", 16, 256),
    ("bottleneck1.0", "down", 64, 128),
    *((f"bottleneck1.{i}", "regular", 64, 128) for i in range(1, 5)),
    ("bottleneck2.0", "down", 128, 64),
    *((f"bottleneck2.{i}", kind, 128, 64) for i, kind in enumerate(KINDS, 1)),
    # The table repeats section 2 without its first row; we count section 3 from 0.
    *((f"bottleneck3.{i}", kind, 128, 64) for i, kind in enumerate(KINDS)),
    ("bottleneck4.0", "up", 64, 128),
    *((f"bottleneck4.{i}", "regular", 64, 128) for i in (1, 2)),
    ("bottleneck5.0", "up", 16, 256),
    ("bottleneck5.1", "regular", 16, 256),
    ("fullconv", "fullconv", 19, 512),
]


def bottleneck_by_hand(kind, inputs, maps, pixels):
    """Parameters, and multiply-adds where `pixels` come out; normalisation and slopes have 3 numbers a map."""
    inner = maps // 4
    area = {"down": 4}.get(kind, 1)
    params = inputs * inner * area + inner * maps + 3 * (2 * inner + maps) + inner
    cells = 10 if kind.startswith("asymmetric") else 9
    params += cells * inner * inner
    macs = pixels * (area * inputs * inner + cells * inner * inner + inner * maps)
    if kind == "up":
        # A quarter of the pixels goes in: through the projections, and spread by the full convolution.
        params += inputs * maps + 2 * maps
        coarse = pixels // 4
        macs = coarse * (inputs * inner + 9 * inner * inner + inputs * maps) + pixels * inner * maps
    return params, macs


def test_the_counts_are_those_of_the_table():
    params, macs, inputs = 0, 0, 3
    for _, kind, maps, size in TABLE:
        # At 512x1024 all sizes are twice as wide.
        pixels = 2 * size * size
        if kind == "initial":
            more = (9 * 3 * 13 + 13 + 3 * 16, pixels * 9 * 3 * 13)
        elif kind == "fullconv":
            more = (9 * 16 * 19 + 19, pixels // 4 * 9 * 16 * 19)
        else:
            more = bottleneck_by_hand(kind, inputs, maps, pixels)
        params, macs, inputs = params + more[0], macs + more[1], maps
    row = CATALOG["enet"]
    assert (params, macs) == (row.params, row.macs)
    # Table 3 prints 0.37M.
    assert f"{params / 1e6:.2f}" == "0.37"


def test_every_row_has_its_maps_and_size():
    sizes: dict[str, tuple[int, ...]] = {}
    net = build("enet", size=64).eval()  # an eighth of 512

    def keep(name):
        def hook(_, __, output):
            maps = output if isinstance(output, torch.Tensor) else output[0]
            sizes[name] = tuple(maps.shape[1:])

        return hook

    hooks = [net.get_submodule(name).register_forward_hook(keep(name)) for name, *_ in TABLE]
    with torch.no_grad():
        net(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    assert sizes == {name: (maps, size // 8, size // 8) for name, _, maps, size in TABLE}


def norm(s, x, at):
    mean, var = s[f"{at}.running_mean"], s[f"{at}.running_var"]
    return F.batch_norm(x, mean, var, s[f"{at}.weight"], s[f"{at}.bias"], eps=1e-3)


def conv(s, x, at, **how):
    return F.conv2d(x, s[f"{at}.weight"], s.get(f"{at}.bias"), **how)


def middle(s, x, kind, at):
    word, _, number = kind.partition(" ")
    if word == "asymmetric":
        return conv(s, conv(s, x, f"{at}.0", padding=(2, 0)), f"{at}.1", padding=(0, 2))
    if word == "up":
        return F.conv_transpose2d(x, s[f"{at}.weight"], s[f"{at}.bias"], 2, 1, 1)
    reach = int(number) if word == "dilated" else 1
    return conv(s, x, at, padding=reach, dilation=reach)


def extension(s, x, kind, at):
    y = conv(s, x, f"{at}.0", stride=2 if kind == "down" else 1)
    y = F.prelu(norm(s, y, f"{at}.1"), s[f"{at}.2.weight"])
    y = F.prelu(norm(s, middle(s, y, kind, f"{at}.3"), f"{at}.4"), s[f"{at}.5.weight"])
    return norm(s, conv(s, y, f"{at}.6"), f"{at}.7")


def reference(s, x):
    y = torch.cat((conv(s, x, "initial.conv", stride=2, padding=1), F.max_pool2d(x, 2)), 1)
    x = F.prelu(norm(s, y, "initial.norm"), s["initial.act.weight"])
    places = []
    for name, kind, _, _ in TABLE[1:-1]:
        y = extension(s, x, kind, f"{name}.extension")
        if kind == "down":
            x, where = F.max_pool2d(x, 2, return_indices=True)
            places.append(where)
            x = torch.cat((x, x.new_zeros(len(x), y.shape[1] - x.shape[1], *x.shape[2:])), 1)
        elif kind == "up":
            x = norm(s, conv(s, x, f"{name}.project.0"), f"{name}.project.1")
            spread = y.new_zeros(y.shape).flatten(2)
            x = spread.scatter(2, places.pop().flatten(2), x.flatten(2)).view(y.shape)
        x = F.prelu(x + y, s[f"{name}.act.weight"])
    return middle(s, x, "up", "fullconv")


def test_it_computes_what_the_table_says():
    generator = torch.Generator().manual_seed(2)
    net = (
        build("enet", size=(24, 40), width=0.5, num_classes=5, generator=generator).double().eval()
    )
    for name, tensor in net.state_dict().items():
        if tensor.ndim == 1 and tensor.is_floating_point() and not name.endswith("bias"):
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.rand(2, 3, 24, 40, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        y = net(x)
        assert y.shape == (2, 5, 24, 40)
        torch.testing.assert_close(y, reference(net.state_dict(), x), rtol=1e-10, atol=1e-12)


def test_dropout_is_a_tenth_before_the_second_section():
    net = build("enet", size=32, width=0.25)
    rates = {
        path.split(".extension")[0]: m.p
        for path, m in net.named_modules()
        if isinstance(m, torch.nn.Dropout2d)
    }
    expected = {
        name: 0.01 if name.startswith("bottleneck1") else 0.1
        for name, *_ in TABLE
        if name.startswith("bottleneck")
    }
    assert rates == pytest.approx(expected)


def test_a_side_that_does_not_fit_is_told():
    with pytest.raises(ShapeError) as error:
        build("enet", size=(36, 64))
    assert str(error.value) == (
        "enet: halves a picture three times, so sides are multiples of 8; got 36x64; pad or resize to 40x64"
    )
