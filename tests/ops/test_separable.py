"""Separable convolutions: equal to the dense convolution with the product kernel."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from striate.errors import ShapeError
from striate.ops import separable as ops
from striate.ops.conv import conv
from twins import conv as twins


def test_factor_finds_the_product_and_its_residual(kit):
    column, row = kit.rand(3), kit.rand(4, seed=1)
    fit = ops.factor(torch.outer(column, row))
    kit.close(torch.outer(fit.column, fit.row), torch.outer(column, row))
    assert fit.residual < 1e-7
    kernel = torch.tensor([[3.0, 0], [0, 4.0]])
    assert ops.factor(kernel).residual == pytest.approx(3 / 5)
    assert ops.factor(torch.zeros(2, 2)).residual == 0


def test_factor_takes_stacks(kit):
    fit = ops.factor(kit.rand(2, 5, 3, 4))
    assert (fit.column.shape, fit.row.shape, fit.residual.shape) == ((2, 5, 3), (2, 5, 4), (2, 5))


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_separable_equals_the_outer_product(kit, data):
    window, args = data.draw(kit.windows())
    fill = data.draw(kit.fills(window))
    factors = [kit.rand(k, seed=i) for i, k in enumerate(args.pop("kernel_size"))]
    kernel = factors[0]
    for more in factors[1:]:
        kernel = kernel.unsqueeze(-1) * more
    x = kit.rand(2, 3, *window.size, seed=9)
    weight = kernel.expand(3, 1, *kernel.shape)
    y = ops.separable_conv(x, factors, fill=fill, **args)
    twin = twins.conv(x.numpy(), weight.numpy(), None, window, groups=3, fill=fill)
    kit.close(y, twin)


def test_depthwise_separable_equals_one_dense_convolution(kit):
    x, depth, point = kit.rand(2, 3, 5, 5), kit.rand(6, 1, 3, 3), kit.rand(4, 6, 1, 1)
    grouped = torch.zeros(6, 3, 3, 3, dtype=torch.float64)
    for o in range(6):
        grouped[o, o // 2] = depth[o, 0]
    dense = torch.einsum("om,mchw->ochw", point[..., 0, 0], grouped)
    y = ops.depthwise_separable_conv(x, depth, point, kit.rand(4), padding="same", fill="circular")
    kit.close(y, conv(x, dense, kit.rand(4), padding="same", fill="circular"))


def test_gradcheck(kit):
    inputs = [kit.rand(*s).requires_grad_() for s in ((1, 2, 4, 4), (2,), (3,))]

    def call(x, a, b):
        return ops.separable_conv(x, (a, b), padding=1, fill="reflect", stride=2)

    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


@pytest.mark.plain
def test_messages():
    with pytest.raises(ShapeError, match=r"^factor: got a kernel \[3\], expected \[..., h, w\]$"):
        ops.factor(torch.zeros(3))
    with pytest.raises(
        ShapeError, match=r"^separable_conv: got 1 factors, expected 2: one an axis$"
    ):
        ops.separable_conv(torch.zeros(1, 1, 3, 3), [torch.ones(2)])
