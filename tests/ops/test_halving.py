"""The short way of 2x2 maxima: values and gradients are those of PyTorch's kernel, in both layouts."""

import pytest
import torch
from torch.nn import functional as F

from striate.layers.pool import HalvingMaxPool2d
from striate.ops.pool.halving import halving_max, pays

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def numbers(*shape, dtype=torch.float64, layout=torch.contiguous_format):
    """Distinct numbers, so that no two cells are equal."""
    count = torch.Size(shape).numel()
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    x = (order - count / 2).to(dtype).view(shape).contiguous(memory_format=layout)
    return x.requires_grad_()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (torch.float64, (2, 3, 4, 6)),
        (torch.float32, (4, 6, 28, 28)),
        (torch.bfloat16, (1, 2, 8, 8)),
        (torch.float32, (1, 1, 2, 2)),
    ],
)
def test_values_and_gradients_are_those_of_the_kernel(dtype, shape, layout):
    x = numbers(*shape, dtype=dtype, layout=layout)
    ours, theirs = halving_max(x), F.max_pool2d(x, 2)
    assert torch.equal(ours, theirs)
    gradient = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    (mine,) = torch.autograd.grad(ours, x, gradient)
    (wanted,) = torch.autograd.grad(theirs, x, gradient)
    assert torch.equal(mine, wanted)
    assert mine.is_contiguous(memory_format=layout)


def test_equal_cells_give_one_of_them_the_whole_gradient():
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    halving_max(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(F.avg_pool2d(x.grad, 2), torch.full((1, 1, 2, 2), 0.25))
    assert set(x.grad.flatten().tolist()) == {0.0, 1.0}


def test_it_is_differentiated_twice():
    x = numbers(2, 2, 4, 4)
    assert torch.autograd.gradcheck(halving_max, x)
    assert torch.autograd.gradgradcheck(halving_max, x)


def test_no_number_goes_on():
    x = numbers(1, 1, 2, 2)
    with torch.no_grad():
        x[0, 0, 1, 0] = torch.nan
    assert halving_max(x).isnan().all()


@pytest.mark.parametrize(
    ("x", "short"),
    [
        (torch.zeros(2, 6, 28, 28, requires_grad=True), True),
        (torch.zeros(2, 6, 28, 28), False),
        (torch.zeros(2, 6, 27, 28, requires_grad=True), False),
        (torch.zeros(2, 64, 28, 28, requires_grad=True), False),
        (torch.zeros(2, 6, 28, 28, dtype=torch.float16, requires_grad=True), False),
    ],
)
def test_the_layer_takes_the_short_way_where_it_pays(x, short):
    assert pays(x) is short
    assert torch.equal(HalvingMaxPool2d()(x), F.max_pool2d(x, 2))
