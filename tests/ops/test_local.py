"""Locally connected and tabled layers: equal to their twins, and to convolution where they must be."""

import re
from collections.abc import Callable
from math import prod
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from striate import shapes
from striate.errors import ArgumentError, ShapeError
from striate.ops import local as ops
from striate.ops.conv import conv
from twins import local as twins

FEW = settings(max_examples=25, deadline=None)


@given(st.data(), st.booleans())
@FEW
def test_local_equals_its_twin(kit, data, biased):
    window, args = data.draw(kit.windows())
    fill, kernel = data.draw(kit.fills(window)), args.pop("kernel_size")
    x, weight = kit.rand(2, 3, *window.size), kit.rand(*window.out, 2, *kernel, 3, seed=1)
    bias = kit.rand(*window.out, 2, seed=2) if biased else None
    y = ops.local_conv(x, weight, bias, fill=fill, **args)
    arrays = (x.numpy(), weight.numpy(), None if bias is None else bias.numpy())
    kit.close(y, twins.local_conv(*arrays, window, fill=fill))
    cost = shapes.local_cost((3, *window.size), out_channels=2, kernel_size=kernel, **args)
    assert cost.output == y.shape[1:]
    assert cost.params == weight.numel() + weight[..., 0].numel() // prod(kernel)


@given(st.data(), st.booleans())
@FEW
def test_regional_equals_its_twin(kit, data, biased):
    window, args = data.draw(kit.windows())
    fill, kernel = data.draw(kit.fills(window)), args.pop("kernel_size")
    grid = tuple(data.draw(st.integers(1, min(3, m))) for m in window.out)
    x, weight = kit.rand(2, 3, *window.size), kit.rand(*grid, 2, 3, *kernel, seed=1)
    bias = kit.rand(*grid, 2, seed=2) if biased else None
    y = ops.regional_conv(x, weight, bias, fill=fill, **args)
    arrays = (x.numpy(), weight.numpy(), None if bias is None else bias.numpy())
    kit.close(y, twins.regional_conv(*arrays, window, fill=fill))


@given(st.data())
@FEW
def test_tabled_equals_its_twin(kit, data):
    window, args = data.draw(kit.windows())
    fill, kernel = data.draw(kit.fills(window)), args.pop("kernel_size")
    rows = st.lists(st.integers(0, 2), min_size=0, max_size=3, unique=True)
    table = data.draw(st.lists(rows, min_size=1, max_size=4))
    x, weight = kit.rand(2, 3, *window.size), kit.rand(sum(map(len, table)), *kernel, seed=1)
    bias = kit.rand(len(table), seed=2)
    y = ops.tabled_conv(x, weight, bias, table=table, fill=fill, **args)
    arrays = (x.numpy(), weight.numpy(), bias.numpy())
    kit.close(y, twins.tabled_conv(*arrays, window, table=table, fill=fill))
    cost = shapes.tabled_cost((3, *window.size), table=table, kernel_size=kernel, **args)
    assert (cost.output, cost.params) == (y.shape[1:], weight.numel() + bias.numel())


def test_the_same_kernel_everywhere_is_a_convolution(kit):
    x, w, b = kit.rand(2, 3, 7, 6), kit.rand(4, 3, 3, 2), kit.rand(4)
    y = conv(x, w, b, stride=2, padding=1)
    places = y.shape[2:]
    everywhere = w.permute(0, 2, 3, 1).expand(*places, 4, 3, 2, 3)
    kit.close(ops.local_conv(x, everywhere, b.expand(*places, 4), stride=2, padding=1), y)
    grid = w.expand(2, 3, *w.shape)
    kit.close(ops.regional_conv(x, grid, b.expand(2, 3, 4), stride=2, padding=1), y)
    full = ops.tabled_conv(x, w.flatten(0, 1), b, table=[range(3)] * 4, stride=2, padding=1)
    kit.close(full, y)


def test_lenet_table_has_60_connections():
    assert len(ops.LENET_TABLE) == 16
    assert sum(map(len, ops.LENET_TABLE)) == 60
    readers = [sum(i in maps for maps in ops.LENET_TABLE) for i in range(6)]
    assert readers == [10] * 6


def shaped(kit, weight, bias):
    w, b = kit.rand(*weight, seed=7), kit.rand(*bias, seed=8)
    return w.requires_grad_(), b.requires_grad_()


def calls(kit) -> dict[str, tuple[Callable[..., torch.Tensor], torch.Tensor, torch.Tensor]]:
    local = shaped(kit, (2, 3, 2, 2, 3, 2), (2, 3, 2))
    region = shaped(kit, (2, 1, 2, 2, 2, 3), (2, 1, 2))
    tabled = shaped(kit, (3, 2, 3), (2,))
    args: dict[str, Any] = {"stride": (2, 1), "padding": ((1, 0), 0)}
    return {
        "local": (lambda x, w, b: ops.local_conv(x, w, b, **args), *local),
        "regional": (lambda x, w, b: ops.regional_conv(x, w, b, **args), *region),
        "tabled": (
            lambda x, w, b: ops.tabled_conv(x, w, b, table=[[0], [1, 0]], fill=0.5, **args),
            *tabled,
        ),
    }


@pytest.mark.parametrize("name", ["local", "regional", "tabled"])
def test_gradcheck(kit, name):
    call, weight, bias = calls(kit)[name]
    x = kit.rand(2, 2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(call, (x, weight, bias))
    assert torch.autograd.gradgradcheck(call, (x, weight, bias))


@pytest.mark.plain
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # PyTorch's compiler itself does
@pytest.mark.parametrize("name", ["local", "regional", "tabled"])
def test_kinds_of_tensors(kit, name):
    call, weight, bias = calls(kit)[name]
    x, w, b = kit.rand(3, 2, 4, 5), weight.detach(), bias.detach()
    y = call(x, w, b)
    kit.close(call(x.to(memory_format=torch.channels_last), w, b), y)
    kit.close(call(x.transpose(2, 3).contiguous().transpose(2, 3), w, b), y)
    assert call(x[:0], w, b).shape == (0, *y.shape[1:])
    for dtype in (torch.float16, torch.bfloat16):
        narrow = call(x.to(dtype), w.to(dtype), b.to(dtype))
        assert narrow.dtype == dtype
        torch.testing.assert_close(narrow.double(), y, rtol=5e-2, atol=5e-2)
    stacked = torch.stack([x, 2 * x])
    kit.close(
        torch.vmap(call, (0, None, None))(stacked, w, b),
        torch.stack([call(one, w, b) for one in stacked]),
    )
    compiled = kit.compiled(call)
    kit.close(compiled(x, weight, bias), y)
    grads = [
        torch.autograd.grad(f(x, weight, bias).square().sum(), weight)[0] for f in (call, compiled)
    ]
    kit.close(*grads)

    class Net(torch.nn.Module):
        def forward(self, x):
            return call(x, w, b)

    kit.close(torch.export.export(Net(), (x,)).module()(x), y)


@pytest.mark.plain
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda x: ops.local_conv(x, torch.zeros(3, 3, 2, 3, 3)),
            ShapeError,
            (
                "local_conv: got a weight [3, 3, 2, 3, 3] for 2 channels and 2 axes of space, "
                "expected [*out, outputs, *kernel, channels]"
            ),
        ),
        (
            lambda x: ops.local_conv(x, torch.zeros(4, 3, 2, 3, 3, 2)),
            ShapeError,
            (
                "local_conv: got kernels for [4, 3] places, expected [3, 3]; "
                "the layer fits one size of input"
            ),
        ),
        (
            lambda x: ops.local_conv(x, torch.zeros(3, 3, 2, 3, 3, 2), torch.zeros(2)),
            ShapeError,
            "local_conv: got a bias [2], expected [3, 3, 2]",
        ),
        (
            lambda x: ops.regional_conv(x, torch.zeros(3, 3, 2, 3, 3)),
            ShapeError,
            (
                "regional_conv: got a weight [3, 3, 2, 3, 3] for 2 axes of space, "
                "expected [*grid, outputs, channels, *kernel]"
            ),
        ),
        (
            lambda x: ops.regional_conv(x, torch.zeros(4, 1, 2, 2, 3, 3)),
            ShapeError,
            "regional_conv: 3 cells cannot be cut into 4 regions; take 1 to 3",
        ),
        (
            lambda x: ops.regional_conv(x, torch.zeros(1, 1, 2, 2, 3, 3), torch.zeros(2)),
            ShapeError,
            "regional_conv: got a bias [2], expected [1, 1, 2]",
        ),
        (
            lambda x: ops.tabled_conv(x, torch.zeros(2, 3, 3), table=[[0], [2]]),
            ArgumentError,
            "tabled_conv: row 1 of the table is [2], expected different maps of 0 to 1",
        ),
        (
            lambda x: ops.tabled_conv(x, torch.zeros(2, 3, 3), table=[[0, 0]]),
            ArgumentError,
            "tabled_conv: row 0 of the table is [0, 0], expected different maps of 0 to 1",
        ),
        (
            lambda x: ops.tabled_conv(x, torch.zeros(3, 3, 3), table=[[0], [1]]),
            ShapeError,
            (
                "tabled_conv: got a weight [3, 3, 3] for a table of 2 connections and 2 axes of space, "
                "expected [connections, *kernel]"
            ),
        ),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call(torch.zeros(1, 2, 5, 5))
