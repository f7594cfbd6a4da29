"""Densely connected networks: table 1, counts by hand, a plain functional reading, recomputation."""

import csv
import re
from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate.errors import ShapeError
from striate.models.catalog import CATALOG, build

# Table 1 and, for 161 (k=48), torchvision: layers of each block.
LAYERS = {
    "densenet121": (6, 12, 24, 16),
    "densenet161": (6, 12, 36, 24),
    "densenet169": (6, 12, 32, 32),
    "densenet201": (6, 12, 48, 32),
    "densenet264": (6, 12, 64, 48),
}
CIFAR = {"densenet40_cifar": (12, 12, 12), "densenet100bc_cifar": (16, 16, 16)}


def bare(name, **settings) -> Any:
    with torch.device("meta"):
        return build(name, init=False, **settings)


def table(shared, name):
    with (shared / "figures" / "architectures.csv").open(newline="") as file:
        return {row["layer"]: row for row in csv.DictReader(file) if row["table"] == name}


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "densenet161"])
def test_table_1_row_by_row(shared, name):
    rows = table(shared, "DenseNet Table 1")
    net = bare(name).eval()
    layers = dict(net.features.named_children())
    assert "x".join(map(str, layers["conv0"].weight.shape[2:])) == rows["Convolution"]["kernel"]
    assert layers["conv0"].out_channels == 2 * 32
    x = torch.empty(1, 3, 224, 224, device="meta")
    sizes = {}
    for at, layer in layers.items():
        x = layer(x)
        sizes[at] = "x".join(map(str, x.shape[2:]))
    assert sizes["conv0"] == rows["Convolution"]["output_size"]
    assert sizes["pool0"] == rows["Pooling"]["output_size"]
    for block, count in enumerate(LAYERS[name], start=1):
        row = rows[f"DenseNet-{name[8:]} dense block {block}"]
        assert f"x{len(layers[f'denseblock{block}'])}" == row["repeat"] == f"x{count}"
        assert sizes[f"denseblock{block}"] == row["output_size"]
        last = layers[f"denseblock{block}"][f"denselayer{count}"]
        assert (last.conv1.kernel_size, last.conv1.out_channels) == ((1, 1), 4 * 32)
        assert (last.conv2.kernel_size, last.conv2.out_channels) == ((3, 3), 32)
    for number in (1, 2, 3):
        transition = layers[f"transition{number}"]
        assert 2 * transition.conv.out_channels == transition.conv.in_channels
        change = f"{sizes[f'denseblock{number}']} -> {sizes[f'transition{number}']}"
        assert change == rows[f"Transition {number}"]["output_size"]


def test_the_rows_that_torchvision_adds(shared):
    for name, row in table(shared, "DenseNet torchvision").items():
        net = bare(name)
        blocks = [m for at, m in net.features.named_children() if "block" in at]
        assert " ".join(str(len(block)) for block in blocks) == row["repeat"]
        growth, first = (int(n) for n in re.findall(r"=(\d+)", row["detail"]))
        assert blocks[0].denselayer1.conv2.out_channels == growth
        assert net.features.conv0.out_channels == first == int(row["maps"])


def counted(layers, growth, first, *, size, stem, bottleneck, compression, classes):
    """Parameters and multiply-adds from the text of the paper alone."""
    maps, params, macs = first, stem[0] * first, stem[0] * first * stem[1] ** 2
    if stem[1] != size:
        params += 2 * first
    for block, count in enumerate(layers):
        for _ in range(count):
            if bottleneck:
                weights = maps * 4 * growth + 9 * 4 * growth * growth
                params += 2 * 4 * growth
            else:
                weights = 9 * maps * growth
            params += 2 * maps + weights
            macs += weights * size**2
            maps += growth
        params += 2 * maps
        if block < len(layers) - 1:
            outputs = int(maps * compression)
            params, macs = params + maps * outputs, macs + maps * outputs * size**2
            maps, size = outputs, size // 2
    return params + maps * classes + classes, macs + maps * classes


@pytest.mark.parametrize("name", LAYERS)
def test_imagenet_rows_counted_by_hand(name):
    k = 48 if name == "densenet161" else 32
    settings = {"stem": (3 * 49, 112), "bottleneck": True, "compression": 0.5, "classes": 1000}
    expected = counted(LAYERS[name], k, 2 * k, size=56, **settings)
    assert (CATALOG[name].params, CATALOG[name].macs) == expected


@pytest.mark.parametrize(
    ("name", "first", "bottleneck", "compression", "printed"),
    [("densenet40_cifar", 16, False, 1, "1.0M"), ("densenet100bc_cifar", 24, True, 0.5, "0.8M")],
)
def test_cifar_rows_counted_by_hand(name, first, bottleneck, compression, printed):
    row = CATALOG[name]
    settings = {"stem": (3 * 9, 32), "bottleneck": bottleneck, "compression": compression}
    assert (row.params, row.macs) == counted(
        CIFAR[name], 12, first, size=32, classes=10, **settings
    )
    assert f"{row.params / 1e6:.1f}M" == printed == f"{(row.published.params or 0) / 1e6:.1f}M"
    # L counts the convolutions and the linear layer, as the paper does.
    weighted = [m for m in bare(name).modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert str(len(weighted)) == re.findall(r"\d+", name)[0]


def test_weights_have_the_names_of_torchvision():
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def norms(name):
        return [f"features.{name}.{part}" for part in norm]

    expected = ["features.conv0.weight", *norms("norm0")]
    for block, count in enumerate(LAYERS["densenet121"], start=1):
        for layer in range(1, count + 1):
            at = f"denseblock{block}.denselayer{layer}"
            expected += [*norms(f"{at}.norm1"), f"features.{at}.conv1.weight"]
            expected += [*norms(f"{at}.norm2"), f"features.{at}.conv2.weight"]
        if block < 4:
            expected += [
                *norms(f"transition{block}.norm"),
                f"features.transition{block}.conv.weight",
            ]
    expected += [*norms("norm5"), "classifier.weight", "classifier.bias"]
    assert list(bare("densenet121").state_dict()) == expected


def reference(s, x, layers):
    """Logits from a state dict, each layer reading the list of all maps before it."""

    def conv(x, name, *, stride=1):
        weight = s[f"features.{name}.weight"]
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2)

    def act(x, name):
        at = f"features.{name}"
        parts = (s[f"{at}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *parts))

    large = "features.norm0.weight" in s
    x = conv(x, "conv0", stride=2 if large else 1)
    x = F.max_pool2d(act(x, "norm0"), 3, 2, 1) if large else x
    for block, count in enumerate(layers, start=1):
        maps = [x]
        for layer in range(1, count + 1):
            at = f"denseblock{block}.denselayer{layer}"
            y = conv(act(torch.cat(maps, 1), f"{at}.norm1"), f"{at}.conv1")
            if f"features.{at}.norm2.weight" in s:
                y = conv(act(y, f"{at}.norm2"), f"{at}.conv2")
            maps.append(y)
        x = torch.cat(maps, 1)
        if block < len(layers):
            x = conv(act(x, f"transition{block}.norm"), f"transition{block}.conv")
            x = F.avg_pool2d(x, 2)
    x = act(x, f"norm{len(layers) + 1}").mean((2, 3))
    return F.linear(x, s["classifier.weight"], s["classifier.bias"])


@pytest.mark.parametrize(
    ("name", "size"),
    [("densenet121", (64, 83)), ("densenet40_cifar", 17), ("densenet100bc_cifar", 16)],
)
def test_it_computes_what_the_paper_says(name, size):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=size, width=0.34, generator=generator).double().eval()
    for key, tensor in net.state_dict().items():
        if ("running" in key or "norm" in key) and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.rand(2, *net.input_shape, dtype=torch.float64, generator=generator)
    layers = {**LAYERS, **CIFAR}[name]
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x, layers))


class Kept(TorchDispatchMode):
    """Remembers every tensor made inside, and tells how many bytes of them are still held."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                self.made[reference.cdata] = (reference, storage.nbytes())
        return result

    def bytes(self) -> int:
        return sum(size for reference, size in self.made.values() if not reference.expired())


@pytest.mark.parametrize("name", ["densenet121", "densenet40_cifar"])
def test_recomputing_gives_the_same_step_and_keeps_less(name):
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    steps: list[tuple[dict[str, Any], dict[str, Any], int]] = []
    for recompute in (False, True):
        net = build(name, size=32, width=0.34, num_classes=5, recompute=recompute).train()
        with Kept() as kept:
            loss = net(x).square().sum()
            held = kept.bytes()
        loss.backward()
        gradients = {path: p.grad for path, p in net.named_parameters()}
        steps.append((gradients, dict(net.named_buffers()), held))
    for plain, again in zip(steps[0][:2], steps[1][:2], strict=True):
        assert plain.keys() == again.keys()
        for path, tensor in plain.items():
            torch.testing.assert_close(again[path], tensor, msg=path)
    assert steps[1][2] < 0.5 * steps[0][2]


def test_a_picture_below_the_last_stride_is_refused():
    with pytest.raises(ShapeError) as error:
        build("densenet121", size=(32, 20))
    assert str(error.value) == (
        "densenet121: denseblock4 has stride 32 and needs pictures of at least 32x32; "
        "got 32x20; enlarge them with size=32"
    )
