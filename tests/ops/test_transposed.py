"""Transposed convolution and the matrices C and C^T: adjoint, equal to the twin, sizes and messages."""

import re
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from striate import shapes
from striate.errors import ArgumentError, ShapeError
from striate.ops import conv as conv_ops
from striate.ops import transposed as ops
from striate.ops.conv_matrix import conv_matrix
from twins import conv as twins

FEW = settings(max_examples=25, deadline=None)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_equals_its_twin_and_undoes_the_size_of_a_convolution(kit, data):
    window, args = data.draw(kit.windows())
    groups, per, outs = (data.draw(st.integers(1, 2)) for _ in range(3))
    weight = kit.rand(groups * outs, per, *args.pop("kernel_size"), seed=2)
    y = kit.rand(2, groups * outs, *window.out)
    args |= {"groups": groups, "padding": window.sides}
    x = ops.conv_transpose_to(y, weight, output_size=window.size, **args)
    kit.close(x, twins.conv_transpose(y.numpy(), weight.numpy(), None, window, groups=groups))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_matrix_gives_convolution_transpose_and_gradient(kit, data):
    window, args = data.draw(kit.windows())
    groups, per, outs = (data.draw(st.integers(1, 2)) for _ in range(3))
    weight = kit.rand(groups * outs, per, *args.pop("kernel_size"), seed=2)
    fill = data.draw(st.sampled_from(["zeros", "replicate"]))
    x = kit.rand(1, groups * per, *window.size).requires_grad_()
    y = conv_ops.conv(x, weight, groups=groups, fill=fill, **args)
    matrix = conv_matrix(weight, window.size, groups=groups, fill=fill, **args)
    kit.close(y.flatten(), matrix @ x.flatten())
    grad = kit.rand(*y.shape, seed=5)
    back = (matrix.t() @ grad.flatten()).view(x.shape)
    kit.close(torch.autograd.grad(y, x, grad)[0], back)
    if fill == "zeros":
        args["padding"] = window.sides
        size = window.size
        kit.close(
            ops.conv_transpose_to(grad, weight, output_size=size, groups=groups, **args), back
        )


def test_3x3_on_4x4_is_4_rows_of_16(kit):
    weight = torch.arange(1.0, 10).view(1, 1, 3, 3)
    matrix = conv_matrix(weight, (4, 4)).to_dense()
    assert matrix.shape == (4, 16)
    assert matrix[0].tolist() == [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0, 0]
    assert matrix[3].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_cropping_equals_pytorch_where_it_has_one_and_a_cut_elsewhere(kit, data):
    n, k, s, d = (data.draw(st.integers(1, 4)) for _ in range(4))
    before, after = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))
    extra = data.draw(st.integers(0, max(s, d) - 1))
    x, w, b = kit.rand(2, 3, n), kit.rand(3, 2, k), kit.rand(2)
    full = torch.conv_transpose1d(x, w, b, s, 0, max(0, extra), 1, d)
    args: dict[str, Any] = {
        "stride": s,
        "padding": ((before, after),),
        "output_padding": extra,
        "dilation": d,
    }
    sizes: dict[str, Any] = {"kernel": k, "stride": s, "padding": (before, after), "dilation": d}
    if full.shape[2] - before - after < 1:
        with pytest.raises(ShapeError, match="pad less"):
            shapes.transposed_size(n, **sizes, output_padding=extra)
        with pytest.raises(ShapeError, match="pad less"):
            ops.conv_transpose(x, w, b, **args)
        return
    size = shapes.transposed_size(n, **sizes, output_padding=extra)
    kit.close(ops.conv_transpose(x, w, b, **args), full[..., before : before + size])


@pytest.mark.parametrize("word", ["same", "same_upper", "same_lower"])
@pytest.mark.parametrize(("k", "s", "d"), [(3, 1, 1), (3, 2, 1), (2, 3, 1), (4, 2, 1), (2, 2, 3)])
def test_same_multiplies_the_size_and_is_adjoint_to_same(kit, word, k, s, d):
    y, w, x = kit.rand(1, 2, 5), kit.rand(2, 3, k), kit.rand(1, 3, 5 * s, seed=1)
    back = ops.conv_transpose1d(y, w, stride=s, padding=word, dilation=d)
    assert back.shape == (1, 3, 5 * s)
    forth = conv_ops.conv1d(x, w, stride=s, padding=word, dilation=d)
    kit.close((forth * y).sum(), (x * back).sum())
    cost = shapes.conv_transpose_cost(
        (2, 5), out_channels=3, kernel_size=k, stride=s, padding=word, dilation=d
    )
    assert cost.output == (3, 5 * s)


def test_gradcheck(kit):
    x, w, b = (kit.rand(*s).requires_grad_() for s in ((1, 2, 2, 3), (2, 1, 2, 3), (2,)))

    def call(x, w, b):
        return ops.conv_transpose(
            x, w, b, stride=(2, 1), padding=((0, 1), (1, 0)), output_padding=(1, 0), groups=2
        )

    assert torch.autograd.gradcheck(call, (x, w, b))
    assert torch.autograd.gradgradcheck(call, (x, w, b))


@pytest.mark.plain
@pytest.mark.parametrize(
    ("x", "weight", "args", "message"),
    [
        (
            (1, 2, 4, 4),
            (3, 2, 2, 2),
            {},
            "conv_transpose2d: got 2 channels, the weight [3, 2, 2, 2] reads 3",
        ),
        (
            (1, 3, 4, 4),
            (3, 2, 2, 2),
            {"output_padding": 2, "stride": 2},
            "conv_transpose2d: output_padding=2 must be less than 2, the larger of stride 2 and dilation 1",
        ),
        (
            (1, 3, 1, 4),
            (3, 2, 2, 2),
            {"padding": 1},
            "conv_transpose2d: padding=1 leaves 0 of 1 cells; pad less",
        ),
        (
            (1, 3, 1, 4),
            (3, 2, 2, 2),
            {"groups": 2},
            (
                "conv_transpose2d: groups=2 does not divide 3 input and 4 output channels; "
                "their common divisors are 1"
            ),
        ),
        (
            (1, 3, 1, 4),
            (3, 2, 2, 2),
            {"padding": "sane"},
            (
                "conv_transpose2d: unknown padding 'sane'; did you mean same? "
                "There are: same, same_lower, same_upper, valid"
            ),
        ),
    ],
)
def test_messages(x, weight, args, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        ops.conv_transpose2d(torch.zeros(x), torch.zeros(weight), **args)


@pytest.mark.plain
def test_messages_of_sizes_and_of_fills():
    x, w = torch.zeros(1, 3, 4), torch.zeros(3, 2, 3)
    message = "conv_transpose1d: output_size=13: 13 cells cannot come out, expected 9 to 10"
    with pytest.raises(ShapeError, match=f"^{message}$"):
        ops.conv_transpose_to(x, w, output_size=13, stride=2)
    message = "conv_matrix: fill=2 adds a constant, which no matrix does; take fill=0"
    with pytest.raises(ArgumentError, match=f"^{message}$"):
        conv_matrix(w, (5,), fill=2)
