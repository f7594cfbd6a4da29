"""Convolution: equal to its twin and to autograd, its laws, the numbers of the course, its messages."""

import re
from collections.abc import Callable
from functools import partial

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch.utils._python_dispatch import TorchDispatchMode

from striate.errors import ArgumentError, ShapeError
from striate.ops import conv as ops
from striate.ops import norm, pool
from striate.ops.padding import pad
from striate.ops.transposed import conv_transpose2d
from twins import conv as twins

FEW = settings(max_examples=25, deadline=None)


def drawn(data, kit):
    """A random legal call: input, weight, bias, window, arguments, groups, fill."""
    window, args = data.draw(kit.windows())
    groups, per, outs, items = (data.draw(st.integers(1, 2)) for _ in range(4))
    x = kit.rand(items, groups * per, *window.size, seed=1)
    weight = kit.rand(groups * outs, per, *args.pop("kernel_size"), seed=2)
    bias = kit.rand(groups * outs, seed=3)
    return x, weight, bias, window, args | {"groups": groups, "fill": data.draw(kit.fills(window))}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_equals_its_twin(kit, data):
    x, weight, bias, window, args = drawn(data, kit)
    y = ops.conv(x, weight, bias, **args)
    assert y.shape[2:] == window.out
    twin = twins.conv(
        x.numpy(), weight.numpy(), bias.numpy(), window, groups=args["groups"], fill=args["fill"]
    )
    kit.close(y, twin)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_gradients_by_hand_equal_autograd(kit, data):
    x, weight, bias, window, args = drawn(data, kit)
    inputs = [t.requires_grad_() for t in (x, weight, bias)]
    y = ops.conv(*inputs, **args)
    grad = kit.rand(*y.shape, seed=4)
    by_input, by_weight, by_bias = torch.autograd.grad(y, inputs, grad)
    shared = {"groups": args["groups"], "fill": args["fill"]}
    g, a, w = grad.numpy(), x.detach().numpy(), weight.detach().numpy()
    kit.close(by_input, twins.conv_input_grad(g, w, window, **shared))
    kit.close(by_weight, twins.conv_weight_grad(a, g, window, **shared))
    kit.close(by_bias, twins.conv_bias_grad(g))


@given(st.data())
@FEW
def test_true_convolution_equals_its_twin(kit, data):
    x, weight, bias, window, args = drawn(data, kit)
    args["fill"] = "zeros"
    twin = twins.true_conv(x.numpy(), weight.numpy(), bias.numpy(), window, groups=args["groups"])
    kit.close(ops.true_conv(x, weight, bias, **args), twin)


def test_true_convolution_is_numpys_convolve(kit):
    x, w = kit.rand(1, 1, 9), kit.rand(1, 1, 4, seed=1)
    kit.close(ops.true_conv(x, w, padding=3)[0, 0], np.convolve(x[0, 0], w[0, 0]))


@pytest.mark.parametrize("fill", ["zeros", "reflect", "replicate", "circular", 1.5])
def test_gradcheck(kit, fill):
    x, w, b = (kit.rand(*s).requires_grad_() for s in ((1, 2, 4, 3), (2, 1, 2, 3), (2,)))
    call = partial(
        ops.conv, stride=(2, 1), padding=((0, 1), (1, 0)), dilation=(2, 1), groups=2, fill=fill
    )
    assert torch.autograd.gradcheck(call, (x, w, b))
    assert torch.autograd.gradgradcheck(call, (x, w, b))


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_circular_padding_commutes_with_shifts(kit, rank):
    x, w = kit.rand(2, 3, *(5,) * rank), kit.rand(4, 3, *(3,) * rank)
    call = partial(ops.conv, padding="same", fill="circular")
    kit.close(call(x.roll(2, -1), w), call(x, w).roll(2, -1))


def test_convolution_is_linear_in_input_and_in_kernel(kit):
    x, z, w, v = (
        kit.rand(1, 2, 6),
        kit.rand(1, 2, 6, seed=1),
        kit.rand(3, 2, 3),
        kit.rand(3, 2, 3, seed=1),
    )
    call = partial(ops.conv1d, padding="same", fill="reflect")
    kit.close(call(2 * x - z, w), 2 * call(x, w) - call(z, w))
    kit.close(call(x, 2 * w - v), 2 * call(x, w) - call(x, v))


def test_turning_picture_and_kernel_turns_the_map(kit):
    x, w = kit.rand(1, 2, 5, 6), kit.rand(3, 2, 3, 3)
    kit.close(ops.conv2d(x.flip(2, 3), w.flip(2, 3)), ops.conv2d(x, w).flip(2, 3))


# --- the numbers of the course -------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "expected"), [(1, [-2, 2, 1, 2, 1]), (2, [-2, 1, 1])])
def test_derivative_kernel(stride, expected):
    x = torch.tensor([[[1.0, 2, -1, 1, -3]]])
    w = torch.tensor([[[1.0, 0, -1]]])
    assert ops.conv1d(x, w, padding=1, stride=stride).flatten().tolist() == expected


def test_worked_picture():
    x = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
    w = [[0, 1, 2], [2, 2, 0], [0, 1, 2]]
    y = ops.conv2d(torch.tensor([[x]]).float(), torch.tensor([[w]]).float())
    assert y[0, 0].tolist() == [[12, 12, 17], [10, 17, 19], [9, 6, 14]]


# --- kinds of tensors ----------------------------------------------------------------------------

CALLS = [
    partial(ops.conv2d, padding=1),
    partial(ops.conv2d, padding="same", stride=2),
    partial(ops.conv2d, padding=((0, 1), (2, 1)), fill="reflect"),
    partial(ops.conv2d, padding=1, fill="circular", dilation=2),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_narrow_types(kit, call, dtype):
    x, w = kit.rand(2, 3, 6, 7), kit.rand(4, 3, 3, 3)
    y = call(x.to(dtype), w.to(dtype))
    assert y.dtype == dtype
    tolerance = {torch.float16: 2e-2, torch.bfloat16: 1e-1, torch.float32: 1e-5}[dtype]
    torch.testing.assert_close(y.double(), call(x, w), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("call", CALLS)
def test_layouts_and_empty_batches(kit, call):
    x, w = kit.rand(2, 3, 6, 7), kit.rand(4, 3, 3, 3)
    y = call(x, w)
    kit.close(call(x.to(memory_format=torch.channels_last), w), y)
    kit.close(call(x.transpose(2, 3).contiguous().transpose(2, 3), w), y)
    assert call(x[:0], w).shape == (0, *y.shape[1:])


@pytest.mark.parametrize("call", CALLS)
def test_vmap_and_export(kit, call):
    x, w = kit.rand(2, 3, 6, 7), kit.rand(4, 3, 3, 3)
    weights = torch.stack([w, 2 * w])
    kit.close(torch.vmap(call, (None, 0))(x, weights)[1], 2 * call(x, w))
    kit.close(torch.vmap(lambda one: call(one[None], w)[0])(x), call(x, w))

    class Net(torch.nn.Module):
        def forward(self, x):
            return call(x, w)

    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Net(), (x,), dynamic_shapes={"x": {0: batch}})
    kit.close(program.module()(x.repeat(3, 1, 1, 1)), call(x.repeat(3, 1, 1, 1), w))


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.parametrize("call", CALLS)
def test_compiles_to_one_graph(kit, call):
    x, w = kit.rand(2, 3, 6, 7).requires_grad_(), kit.rand(4, 3, 3, 3)
    compiled = kit.compiled(call)
    kit.close(compiled(x, w), call(x, w))
    kit.close(
        torch.autograd.grad(compiled(x, w).sum(), x)[0], torch.autograd.grad(call(x, w).sum(), x)[0]
    )


# --- how far from PyTorch ------------------------------------------------------------------------


class Count(TorchDispatchMode):
    """Counts what reaches ATen."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


PAIRS: dict[str, tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]] = {
    "conv": (partial(ops.conv2d, padding=1), partial(F.conv2d, padding=1)),
    "conv reflect": (
        partial(ops.conv2d, padding=1, fill="reflect"),
        lambda x, w: F.conv2d(F.pad(x, [1] * 4, mode="reflect"), w),
    ),
    "conv same": (
        partial(ops.conv2d, padding="same", stride=2),
        lambda x, w: F.conv2d(F.pad(x, [1, 1, 0, 1]), w, stride=2),
    ),
    "transposed": (
        lambda x, w: conv_transpose2d(x, w.transpose(0, 1), stride=2),
        lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), stride=2),
    ),
    "max": (
        lambda x, _: pool.max_pool2d(x, kernel_size=3, stride=2, padding=1),
        lambda x, _: F.max_pool2d(x, 3, 2, 1),
    ),
    "average": (
        lambda x, _: pool.avg_pool2d(x, kernel_size=3, stride=2, padding=1),
        lambda x, _: F.avg_pool2d(x, 3, 2, 1),
    ),
    "batch norm": (
        lambda x, _: norm.batch_norm(x, None, None, training=True),
        lambda x, _: F.batch_norm(x, None, None, training=True),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_adds_no_more_than_two_aten_calls(kit, name):
    x, w = kit.rand(2, 3, 6, 7), kit.rand(4, 3, 3, 3)
    counts: list[int] = []
    for call in PAIRS[name]:
        with Count() as count:
            y = call(x, w)
        counts.append(count.calls)
        kit.close(y, PAIRS[name][1](x, w))
    assert counts[0] <= counts[1] + 2


@given(st.data())
@FEW
def test_single_precision_is_within_its_tolerance_of_the_twin(kit, data):
    x, weight, bias, window, args = drawn(data, kit)
    twin = twins.conv(
        x.numpy(), weight.numpy(), bias.numpy(), window, groups=args["groups"], fill=args["fill"]
    )
    y = ops.conv(x.float(), weight.float(), bias.float(), **args)
    torch.testing.assert_close(y, torch.from_numpy(twin).float(), rtol=1.3e-6, atol=1e-5)


# --- whole messages ------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize(
    ("shape", "weight", "args", "message"),
    [
        (
            (3, 8, 8),
            (4, 3, 3, 3),
            {},
            (
                "conv2d: got 3 axes [3, 8, 8], expected 4: items, channels and 2 of space; "
                "add the missing one with x[None]"
            ),
        ),
        (
            (1, 3, 8, 8),
            (4, 3, 3),
            {},
            "conv2d: got a weight of 3 axes [4, 3, 3], expected 4: outputs, inputs and 2 of the kernel",
        ),
        (
            (1, 4, 8, 8),
            (4, 3, 3, 3),
            {},
            "conv2d: got 4 channels in 1 groups, the weight [4, 3, 3, 3] reads 3 a group; expected 4",
        ),
        (
            (1, 3, 8, 8),
            (4, 3, 3, 3),
            {"groups": 2},
            (
                "conv2d: groups=2 does not divide 3 input and 4 output channels; "
                "their common divisors are 1"
            ),
        ),
        (
            (1, 3, 2, 8),
            (4, 3, 3, 3),
            {},
            (
                "conv2d: a kernel that spreads over 3 cells does not fit in 2 padded by 0 + 0; "
                "pad more or take a smaller kernel or dilation"
            ),
        ),
        (
            (1, 3, 3, 8),
            (4, 3, 3, 3),
            {"padding": 3, "fill": "reflect"},
            (
                "conv2d: reflect padding of 3 + 3 around 3 cells reaches past the other end; "
                'pad at most 2, or fill with "replicate"'
            ),
        ),
        (
            (1, 3, 3, 8),
            (4, 3, 3, 3),
            {"padding": "vaild"},
            (
                "conv2d: unknown padding 'vaild'; did you mean valid? "
                "There are: same, same_lower, same_upper, valid"
            ),
        ),
        (
            (1, 3, 3, 8),
            (4, 3, 3, 3),
            {"fill": "zero"},
            (
                "conv2d: unknown fill 'zero'; a number, or did you mean zeros? "
                "There are: circular, reflect, replicate, zeros"
            ),
        ),
        (
            (1, 3, 0, 8),
            (4, 3, 3, 3),
            {},
            "conv2d: got an input [1, 3, 0, 8], expected at least one of all but items",
        ),
        (
            (1, 3, 8, 8),
            (4, 3, 3, 3),
            {"stride": -1},
            "conv2d: stride=-1 must be at least 1 on every axis",
        ),
    ],
)
def test_messages(shape, weight, args, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        ops.conv2d(torch.zeros(shape), torch.zeros(weight), **args)


@pytest.mark.plain
def test_messages_of_types_and_bias():
    x, w = torch.zeros(1, 3, 8, 8), torch.zeros(4, 3, 3, 3)
    integers = "^conv2d: got torch.int64, expected a floating type; convert with .float\\(\\)$"
    with pytest.raises(ArgumentError, match=integers):
        ops.conv2d(x.long(), w)
    with pytest.raises(ShapeError, match=r"^conv2d: got a bias \[3\], expected \[4\]$"):
        ops.conv2d(x, w, torch.zeros(3))


@pytest.mark.parametrize("fill", ["reflect", "replicate", "circular", 2.0])
def test_pad_equals_its_twin(kit, fill):
    x = kit.rand(1, 2, 4, 3)
    sides = ((1, 2), (0, 2))
    kit.close(pad(x, sides, fill=fill), twins.pad(x.numpy(), sides, fill))
