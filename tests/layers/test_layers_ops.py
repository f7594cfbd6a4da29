"""Every layer: runs, trains, copies its state, is the operation it names, keeps its argument checks."""

import copy
import re
from collections.abc import Callable

import pytest
import torch
import torch._dynamo
from torch import nn

from striate import shapes
from striate.errors import ArgumentError, ShapeError
from striate.layers import conv, local, norm, pool, unpool
from striate.ops import conv as conv_ops
from striate.ops.graph import laplacian, spectrum
from striate.ops.local import LENET_TABLE, tabled_conv

RING = torch.eye(6).roll(1, 0) + torch.eye(6).roll(-1, 0)
MATRIX = laplacian(RING)

# name: how it is made, the input it takes, the output it gives
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]] = {
    "conv1d": (lambda: conv.Conv1d(4, 6, 3, padding="same", stride=2), (2, 4, 9), (2, 6, 5)),
    "conv2d": (
        lambda: conv.Conv2d(4, 6, 3, padding=((0, 1), 2), groups=2, fill="reflect"),
        (2, 4, 9, 8),
        (2, 6, 8, 10),
    ),
    "conv3d": (lambda: conv.Conv3d(2, 3, 2, bias=False), (2, 2, 4, 4, 4), (2, 3, 3, 3, 3)),
    "true1d": (lambda: conv.TrueConv1d(2, 3, 2), (2, 2, 5), (2, 3, 4)),
    "true2d": (lambda: conv.TrueConv2d(2, 3, (2, 1)), (2, 2, 5, 4), (2, 3, 4, 4)),
    "true3d": (lambda: conv.TrueConv3d(2, 3, 2), (2, 2, 3, 3, 3), (2, 3, 2, 2, 2)),
    "transpose1d": (lambda: conv.ConvTranspose1d(4, 6, 3, groups=2), (2, 4, 5), (2, 6, 7)),
    "transpose2d": (
        lambda: conv.ConvTranspose2d(4, 6, 4, stride=2, padding="same"),
        (2, 4, 5, 3),
        (2, 6, 10, 6),
    ),
    "transpose3d": (
        lambda: conv.ConvTranspose3d(2, 3, 2, stride=2, output_padding=1),
        (2, 2, 2, 2, 2),
        (2, 3, 5, 5, 5),
    ),
    "depthwise separable 1d": (
        lambda: conv.DepthwiseSeparableConv1d(4, 6, 3),
        (2, 4, 7),
        (2, 6, 7),
    ),
    "depthwise separable": (
        lambda: conv.DepthwiseSeparableConv2d(4, 6, 3, multiplier=2, stride=2),
        (2, 4, 7, 7),
        (2, 6, 4, 4),
    ),
    "depthwise separable 3d": (
        lambda: conv.DepthwiseSeparableConv3d(2, 3, 2, padding="valid"),
        (2, 2, 3, 3, 3),
        (2, 3, 2, 2, 2),
    ),
    "spatially separable": (
        lambda: conv.SpatiallySeparableConv2d(4, 6, 7),
        (2, 4, 9, 9),
        (2, 6, 9, 9),
    ),
    "spatially separable 3d": (
        lambda: conv.SpatiallySeparableConv3d(2, 3, 3),
        (2, 2, 4, 3, 3),
        (2, 3, 4, 3, 3),
    ),
    "local": (lambda: local.LocalConv(3, 4, 3, size=(6, 5), padding=1), (2, 3, 6, 5), (2, 4, 6, 5)),
    "regional": (
        lambda: local.LocalConv(3, 4, 3, size=(6, 5), grid=2),
        (2, 3, 6, 5),
        (2, 4, 4, 3),
    ),
    "tabled": (lambda: local.TabledConv(6, LENET_TABLE, (5, 5)), (2, 6, 14, 14), (2, 16, 10, 10)),
    "spectral": (lambda: local.SpectralConv(3, 4, spectrum(MATRIX).vectors), (2, 3, 6), (2, 4, 6)),
    "chebyshev": (lambda: local.ChebyshevConv(3, 4, 3, matrix=MATRIX), (2, 3, 6), (2, 4, 6)),
    "max1d": (lambda: pool.MaxPool1d(2), (2, 3, 6), (2, 3, 3)),
    "max2d": (lambda: pool.MaxPool2d(3, stride=2, padding="same"), (2, 3, 6, 5), (2, 3, 3, 3)),
    "max3d": (lambda: pool.MaxPool3d(2), (2, 3, 4, 4, 4), (2, 3, 2, 2, 2)),
    "avg1d": (lambda: pool.AvgPool1d(2, ceil_mode=True), (2, 3, 5), (2, 3, 3)),
    "avg2d": (
        lambda: pool.AvgPool2d(3, padding=1, count_include_pad=False),
        (2, 3, 6, 6),
        (2, 3, 2, 2),
    ),
    "avg3d": (lambda: pool.AvgPool3d(2), (2, 3, 4, 4, 4), (2, 3, 2, 2, 2)),
    "lp": (lambda: pool.LpPool(2, norm_type=3.0), (2, 3, 6, 6), (2, 3, 3, 3)),
    "weighted": (lambda: pool.WeightedAvgPool(3, sigma=1.0), (2, 3, 6, 6), (2, 3, 2, 2)),
    "stochastic": (lambda: pool.StochasticPool(2), (2, 3, 6, 6), (2, 3, 3, 3)),
    "k-max": (lambda: pool.KMaxPool(3), (2, 3, 6), (2, 3, 3)),
    "pyramid": (pool.PyramidPool, (2, 3, 6, 5), (2, 63)),
    "adaptive max": (lambda: pool.AdaptiveMaxPool((2, 3)), (2, 3, 6, 5), (2, 3, 2, 3)),
    "adaptive avg": (lambda: pool.AdaptiveAvgPool(1), (2, 3, 6, 5), (2, 3, 1, 1)),
    "global max": (pool.GlobalMaxPool, (2, 3, 6, 5), (2, 3, 1, 1)),
    "global avg": (pool.GlobalAvgPool, (2, 3, 6, 5), (2, 3, 1, 1)),
    "global lp": (pool.GlobalLpPool, (2, 3, 6, 5), (2, 3, 1, 1)),
    "nearest": (lambda: unpool.NearestUnpool(2), (2, 3, 2, 2), (2, 3, 4, 4)),
    "nails": (lambda: unpool.NailsUnpool((2, 1)), (2, 3, 2, 2), (2, 3, 4, 2)),
    "batch norm": (lambda: norm.BatchNorm(3), (4, 3, 5), (4, 3, 5)),
    "batch norm decay": (lambda: norm.BatchNorm(3, decay=0.9, affine=False), (4, 3), (4, 3)),
    "lrn": (lambda: norm.LocalResponseNorm(3), (2, 5, 4), (2, 5, 4)),
    "dropout": (norm.Dropout, (2, 5), (2, 5)),
    "spatial dropout": (norm.SpatialDropout, (2, 5, 4), (2, 5, 4)),
    "relu": (norm.ReLU, (2, 5), (2, 5)),
    "sigmoid": (norm.Sigmoid, (2, 5), (2, 5)),
    "tanh": (norm.Tanh, (2, 5), (2, 5)),
    "scaled tanh": (norm.ScaledTanh, (2, 5), (2, 5)),
    "glu": (norm.GLU, (2, 6, 3), (2, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_runs_trains_and_copies_its_state(name):
    make, size, out = LAYERS[name]
    layer = make()
    x = torch.rand(size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = layer(x)
    assert y.shape == out
    y.square().sum().backward()
    assert x.grad is not None
    for parameter, weight in layer.named_parameters():
        assert weight.grad is not None, parameter
        assert weight.grad.isfinite().all(), parameter
    layer.eval()
    other = make().eval()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), other(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    assert repr(layer)


def seeded(name: str) -> tuple[nn.Module, torch.Tensor]:
    """The layer as it evaluates, and an input that is no block of memory of its own."""
    make, size, _ = LAYERS[name]
    x = torch.rand(*size[:-1], 2 * size[-1], generator=torch.Generator().manual_seed(0))
    return make().eval(), x[..., ::2]


@pytest.mark.parametrize("name", LAYERS)
def test_layouts_types_and_no_items(name):
    layer, x = seeded(name)
    y = layer(x)
    torch.testing.assert_close(layer(x.contiguous()), y)
    if x.ndim == 4:
        torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), y)
    assert layer(x[:0]).shape == (0, *y.shape[1:])
    for dtype, tolerance in (
        (torch.float64, 1e-4),
        (torch.float16, 5e-3),
        (torch.bfloat16, 4e-2),
    ):
        other = copy.deepcopy(layer).to(dtype)
        narrow = x.to(dtype).requires_grad_()
        found = other(narrow)
        assert found.dtype is dtype
        torch.testing.assert_close(found.to(y.dtype), y, rtol=tolerance, atol=tolerance)
        found.sum().backward()
        assert narrow.grad is not None
        assert narrow.grad.isfinite().all()


@pytest.mark.slow
@pytest.mark.plain  # the hook is not to be compiled
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # PyTorch's compiler itself does
@pytest.mark.parametrize("name", LAYERS)
def test_compiles_to_one_graph_with_its_gradients(name):
    layer, x = seeded(name)
    torch._dynamo.reset()
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x.requires_grad_()
    slopes = [
        torch.autograd.grad(call(x).square().sum(), [x, *layer.parameters()])
        for call in (layer, whole)
    ]
    torch.testing.assert_close(whole(x), layer(x))
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_exports_with_any_number_of_items(name):
    layer, x = seeded(name)
    free = {0: torch.export.Dim("items", min=2)}
    net = torch.export.export(layer, (x.repeat(2, *[1] * (x.ndim - 1)),), dynamic_shapes=(free,))
    torch.testing.assert_close(net.module()(x), layer(x))


@pytest.mark.parametrize(
    "name", [n for n, (make, _, _) in LAYERS.items() if hasattr(make(), "reset")]
)
def test_reset_is_a_function_of_its_generator(name):
    layer = LAYERS[name][0]()
    layer.get_submodule("").reset(torch.Generator().manual_seed(5))  # pyright: ignore[reportCallIssue]
    first = copy.deepcopy(layer.state_dict())
    layer.get_submodule("").reset(torch.Generator().manual_seed(5))  # pyright: ignore[reportCallIssue]
    assert all(torch.equal(first[k], v) for k, v in layer.state_dict().items())


COSTS: dict[str, Callable[[tuple[int, ...]], shapes.Cost]] = {
    "conv1d": lambda size: shapes.conv_cost(
        size, out_channels=6, kernel_size=3, padding="same", stride=2
    ),
    "conv2d": lambda size: shapes.conv_cost(
        size, out_channels=6, kernel_size=3, padding=((0, 1), 2), groups=2
    ),
    "conv3d": lambda size: shapes.conv_cost(size, out_channels=3, kernel_size=2, bias=False),
    "transpose2d": lambda size: shapes.conv_transpose_cost(
        size, out_channels=6, kernel_size=4, stride=2, padding="same"
    ),
    "local": lambda size: shapes.local_cost(size, out_channels=4, kernel_size=3, padding=1),
    "regional": lambda size: shapes.local_cost(size, out_channels=4, kernel_size=3, grid=2),
    "tabled": lambda size: shapes.tabled_cost(size, table=LENET_TABLE, kernel_size=5),
}


@pytest.mark.parametrize("name", COSTS)
def test_parameters_are_those_of_the_arithmetic(name):
    make, size, out = LAYERS[name]
    cost = COSTS[name](size[1:])
    assert cost.output == out[1:]
    assert cost.params == sum(p.numel() for p in make().parameters())


def test_layers_are_their_operations():
    layer, x = conv.TrueConv2d(2, 3, (2, 3), padding=1), torch.rand(1, 2, 4, 4)
    torch.testing.assert_close(layer(x), conv_ops.true_conv(x, layer.weight, layer.bias, padding=1))
    tabled, maps = local.TabledConv(6, LENET_TABLE, (5, 5)), torch.rand(2, 6, 14, 14)
    expected = tabled_conv(maps, tabled.weight, tabled.bias, table=LENET_TABLE)
    torch.testing.assert_close(tabled(maps), expected)
    up = conv.ConvTranspose2d(2, 3, 3, stride=2)
    assert up(x, output_size=(10, 9)).shape == (1, 3, 10, 9)
    values, places = pool.MaxPoolWithIndices(2)(x)
    back = unpool.MaxUnpool(2)(values, places)
    assert torch.equal(pool.MaxPool2d(2)(back), values)
    assert unpool.MaxUnpool(2)(values, places, output_size=(5, 4)).shape == (1, 2, 5, 4)


def test_stochastic_pool_expects_in_evaluation():
    layer, x = pool.StochasticPool(2), torch.rand(1, 1, 2, 2)
    assert layer(x) in x
    torch.testing.assert_close(layer.eval()(x)[0, 0, 0, 0], x.square().sum() / x.sum())


@pytest.mark.parametrize(
    ("args", "kept"), [({"momentum": 0.25}, 0.25), ({"decay": 0.75}, 0.25), ({}, 0.1)]
)
def test_batch_norm_remembers_by_either_convention(args, kept):
    layer, x = norm.BatchNorm(2, **args), torch.rand(8, 2)
    layer(x)
    torch.testing.assert_close(layer.running_mean, kept * x.mean(0))


@pytest.mark.plain
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: conv.Conv2d(6, 8, 3, groups=4),
            ArgumentError,
            (
                "Conv2d: groups=4 does not divide 6 input and 8 output channels; "
                "their common divisors are 1, 2"
            ),
        ),
        (
            lambda: conv.Conv2d(3, 8, 3, stride=0),
            ArgumentError,
            "Conv2d: stride=0 must be at least 1 on every axis",
        ),
        (
            lambda: conv.Conv2d(3, 8, 3)(torch.zeros(3, 8, 8)),
            ShapeError,
            (
                "Conv2d: got 3 axes [3, 8, 8], expected 4: items, channels and 2 of space; "
                "add the missing one with x[None]"
            ),
        ),
        (
            lambda: local.LocalConv(1, 1, 5, size=(4, 4)),
            ShapeError,
            (
                "LocalConv: a kernel that spreads over 5 cells does not fit in 4 padded by 0 + 0; "
                "pad more or take a smaller kernel or dilation"
            ),
        ),
        (
            lambda: norm.BatchNorm(2, momentum=0.1, decay=0.9),
            ArgumentError,
            "BatchNorm: got momentum=0.1 and decay=0.9, expected one of them",
        ),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call()
