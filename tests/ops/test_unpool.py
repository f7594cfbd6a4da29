"""Unpooling: equal to its twin, undoes pooling, its messages."""

import re
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from striate.errors import ArgumentError, ShapeError
from striate.ops import unpool as ops
from striate.ops.pool import avg_pool, max_pool, max_pool_with_indices
from twins import unpool as twins

FEW = settings(max_examples=250, deadline=None)


@given(st.data())
@FEW
def test_blocks_equal_their_twins_and_pool_back(kit, data):
    rank = data.draw(st.integers(1, 3))
    size, scale = (tuple(data.draw(st.integers(1, 3)) for _ in range(rank)) for _ in range(2))
    x = kit.rand(2, 2, *size)
    repeated, nails = ops.nearest_unpool(x, scale=scale), ops.nails_unpool(x, scale=scale)
    kit.close(repeated, twins.nearest_unpool(x.numpy(), scale))
    kit.close(nails, twins.nails_unpool(x.numpy(), scale))
    kit.close(avg_pool(repeated, kernel_size=scale), x)
    kit.close(max_pool(ops.nails_unpool(x.abs(), scale=scale), kernel_size=scale), x.abs())


@given(st.data())
@FEW
def test_max_unpool_equals_its_twin_and_pools_back(kit, data):
    window, args = data.draw(kit.windows(most_padding=0))
    x = kit.rand(2, 2, *window.size)
    kernel = tuple(min(k, n) for k, n in zip(args["kernel_size"], window.size, strict=True))
    values, places = max_pool_with_indices(x, kernel_size=kernel)
    back = ops.max_unpool(values, places, kernel_size=kernel, output_size=window.size)
    kit.close(back, twins.max_unpool(values.numpy(), places.numpy(), window.size))
    assert torch.equal(back[back != 0], x[back != 0])


def test_max_unpool_equals_pytorch(kit):
    values, places = torch.nn.functional.max_pool2d(kit.rand(1, 2, 6, 6), 2, return_indices=True)
    expected = torch.nn.functional.max_unpool2d(values, places, [2, 2])
    kit.close(ops.max_unpool(values, places, kernel_size=2), expected)


CALLS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "nearest": lambda x: ops.nearest_unpool(x, scale=(2, 1)),
    "nails": lambda x: ops.nails_unpool(x, scale=2),
    "max": lambda x: ops.max_unpool(
        x, torch.arange(6).view(1, 1, 2, 3).expand(x.shape) * 4, kernel_size=2
    ),
}


@pytest.mark.plain
@pytest.mark.parametrize("name", CALLS)
def test_gradients_compile_vmap_empty(kit, name):
    call = CALLS[name]
    x = kit.rand(1, 2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(call, x)
    assert torch.autograd.gradgradcheck(call, x)
    kit.close(kit.compiled(call)(x), call(x))
    stacked = torch.stack([x.detach(), 2 * x.detach()])
    kit.close(torch.vmap(call)(stacked), torch.stack([call(one) for one in stacked]))
    assert call(x[:0]).shape == (0, *call(x).shape[1:])
    assert call(x.half()).dtype == torch.float16


@pytest.mark.plain
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda x: ops.nails_unpool(x, scale=0),
            ArgumentError,
            "nails_unpool: scale=0 must be at least 1 on every axis",
        ),
        (
            lambda x: ops.nearest_unpool(x.long(), scale=2),
            ArgumentError,
            "nearest_unpool: got torch.int64, expected a floating type; convert with .float()",
        ),
        (
            lambda x: ops.max_unpool(x, x[:, :, :1].long(), kernel_size=2),
            ShapeError,
            "max_unpool: got values [1, 1, 2, 2] and places [1, 1, 1, 2], expected the same",
        ),
        (
            lambda x: ops.max_unpool(x, x.long() + 16, kernel_size=2),
            ArgumentError,
            (
                "max_unpool: places up to 16 do not fit in output_size=(4, 4); "
                "give the size of the input that was pooled"
            ),
        ),
        (
            lambda x: ops.max_unpool(x, x.long(), kernel_size=2, padding="same"),
            ArgumentError,
            (
                "max_unpool: padding='same' does not tell the size before; "
                "write the cells, or use output_size"
            ),
        ),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call(torch.zeros(1, 1, 2, 2))
