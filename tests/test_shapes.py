"""Integer arithmetic against brute counting, PyTorch's own sizes and the numbers of the course."""

import re
import subprocess
import sys
from contextlib import nullcontext
from itertools import product
from math import prod
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from striate import shapes
from striate.errors import ArgumentError, ShapeError

CASES = list(product(range(1, 8), range(1, 4), range(1, 4), [(0, 0), (1, 0), (1, 2)], (1, 2)))


def starts(n, k, s, pads, d):
    """First cells of all windows that fit in the padded input, counted one by one."""
    padded = n + sum(pads)
    return [i for i in range(0, padded, s) if i + (k - 1) * d < padded]


def test_output_size_is_the_number_of_windows_that_fit():
    for n, k, s, pads, d in CASES:
        fit = starts(n, k, s, pads, d)
        with nullcontext() if fit else pytest.raises(ShapeError, match="does not fit"):
            assert shapes.out_size(n, kernel=k, stride=s, padding=pads, dilation=d) == len(fit)


def test_ceil_mode_never_starts_a_window_in_the_end_padding():
    for n, k, s, pads, d in CASES:
        if starts(n, k, s, pads, d):
            reach = n + sum(pads) - (k - 1) * d - 1
            begun = [i for i in range(0, n + pads[0], s) if i == 0 or i - s < reach]
            args: dict[str, Any] = {"kernel": k, "stride": s, "padding": pads, "dilation": d}
            assert shapes.out_size(n, **args, ceil_mode=True) == len(begun)


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_input_size_is_the_least_that_gives_the_output(m, k, s, d):
    n = shapes.in_size(m, kernel=k, stride=s, dilation=d)
    assert shapes.out_size(n, kernel=k, stride=s, dilation=d) == m
    if m > 1:
        assert shapes.out_size(n - 1, kernel=k, stride=s, dilation=d) == m - 1


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_same_padding_gives_the_ceiling_and_splits_evenly(n, k, s, d):
    upper = shapes.padding_needed(n, -(-n // s), kernel=k, stride=s, dilation=d)
    lower = shapes.padding_needed(n, -(-n // s), kernel=k, stride=s, dilation=d, lower=True)
    assert shapes.out_size(n, kernel=k, stride=s, padding=upper, dilation=d) == -(-n // s)
    assert lower == upper[::-1]
    assert 0 <= upper[1] - upper[0] <= 1


def test_padding_needed_refuses_what_padding_cannot_give():
    with pytest.raises(
        ShapeError, match=r"^9 cells give more than 2 even without padding; take a "
    ):
        shapes.padding_needed(9, 2, kernel=3)


@pytest.mark.parametrize("op", [0, 1])
@pytest.mark.parametrize(
    ("n", "k", "s", "p", "d"), [(3, 3, 2, 1, 1), (4, 2, 2, 0, 2), (1, 3, 3, 1, 2)]
)
def test_transposed_size_is_that_of_pytorch(n, k, s, p, d, op):
    y = torch.nn.functional.conv_transpose1d(
        torch.zeros(1, 1, n), torch.zeros(1, 1, k), None, s, p, op, 1, d
    )
    ours = shapes.transposed_size(n, kernel=k, stride=s, padding=p, dilation=d, output_padding=op)
    assert ours == y.shape[2]


@pytest.mark.parametrize(
    ("padding", "sides"),
    [
        (2, ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        (((0, 1), 2), ((0, 1), (2, 2))),
        ([[0, 1], [2, 3]], ((0, 1), (2, 3))),
        ("valid", ((0, 0), (0, 0))),
        ("same", ((0, 1), (1, 1))),
        ("same_upper", ((0, 1), (1, 1))),
        ("same_lower", ((1, 0), (1, 1))),
    ],
)
def test_every_way_to_write_padding(padding, sides):
    w = shapes.window((6, 5), kernel_size=3, stride=2, padding=padding)
    assert w.sides == sides


def test_regions_cover_every_cell_once():
    for n, g in product(range(1, 12), range(1, 5)):
        if g <= n:
            cells = [c for start, stop in shapes.regions(n, g) for c in range(start, stop)]
            assert cells == list(range(n))
    with pytest.raises(ShapeError, match=r"^2 cells cannot be cut into 3 regions; take 1 to 2$"):
        shapes.regions(2, 3)


# --- costs: figures that are printed somewhere ---------------------------------------------------


def test_lenet5_parameters_and_connections_as_in_lecun_1998():
    table = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5]]
    table += [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5]]
    table += [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]]
    c1 = shapes.conv_cost((1, 32, 32), out_channels=6, kernel_size=5)
    s2 = shapes.pool_cost(c1.output, kernel_size=2, trained=True)
    c3 = shapes.tabled_cost(s2.output, table=table, kernel_size=5)
    s4 = shapes.pool_cost(c3.output, kernel_size=2, trained=True)
    c5 = shapes.conv_cost(s4.output, out_channels=120, kernel_size=5)
    f6 = shapes.dense_cost(c5.output, (84,))
    assert [c.params for c in (c1, s2, c3, s4, c5, f6)] == [156, 12, 1516, 32, 48120, 10164]
    assert [c.connections for c in (c1, s2, c3, s4, c5)] == [122304, 5880, 151600, 2000, 48120]


def test_1x1_bottleneck_saves_a_factor_of_21():
    wide = shapes.conv_cost(
        (480, 14, 14), out_channels=48, kernel_size=5, padding="same", bias=False
    )
    assert (wide.macs, wide.params) == (112_896_000, 576_000)
    first = shapes.conv_cost((480, 14, 14), out_channels=16, kernel_size=1, bias=False)
    second = shapes.conv_cost(
        first.output, out_channels=48, kernel_size=5, padding="same", bias=False
    )
    assert first.macs + second.macs == 5_268_480
    assert first.params + second.params == 26_880


def test_global_average_pooling_against_a_fully_connected_layer():
    assert shapes.dense_cost((1024, 7, 7), (1024,), bias=False).params == 51_380_224
    assert shapes.pool_cost((1024, 7, 7), kernel_size=7).params == 0


@pytest.mark.parametrize("n", [2, 5, 320])
def test_edge_detector_as_convolution_and_as_full_matrix(n):
    """Operations: all multiplications, and one addition an output value."""
    edges = shapes.conv_cost(
        (1, n, n), out_channels=1, kernel_size=(1, 2), padding="same", bias=False
    )
    full = shapes.dense_cost((1, n, n), edges.output, bias=False)
    assert (edges.params, edges.macs + prod(edges.output)) == (2, 3 * n**2)
    assert (full.params, full.macs + prod(full.output)) == (n**4, n**2 * (n**2 + 1))


def test_local_costs_count_kernels_by_place_and_by_region():
    place = shapes.local_cost((3, 6, 6), out_channels=4, kernel_size=3)
    region = shapes.local_cost((3, 6, 6), out_channels=4, kernel_size=3, grid=2)
    assert place.params == 16 * 4 * 28
    assert region.params == 4 * 4 * 28
    assert place.macs == region.macs == 16 * 4 * 27
    assert place.connections == 16 * 4 * 28


@pytest.mark.parametrize(("s", "p", "op", "g"), [(1, 0, 0, 1), (2, 1, 1, 2), (3, (1, 0), 0, 2)])
def test_transposed_costs_are_those_of_pytorch(s, p, op, g):
    net = torch.nn.ConvTranspose2d(4, 6, 3, s, p, op, g)
    cost = shapes.conv_transpose_cost(
        (4, 5, 6),
        out_channels=6,
        kernel_size=3,
        stride=s,
        padding=p,
        output_padding=op,
        groups=g,
    )
    assert cost.output == tuple(net(torch.zeros(1, 4, 5, 6)).shape[1:])
    assert cost.params == sum(w.numel() for w in net.parameters())
    assert cost.macs == 4 * 5 * 6 * (6 // g) * 9
    assert cost.connections == cost.macs + prod(cost.output)


@pytest.mark.parametrize(("s", "p", "d", "g"), [(1, 0, 1, 1), (2, 1, 2, 2), ((1, 2), (2, 0), 1, 4)])
def test_conv_costs_are_those_of_pytorch(s, p, d, g):
    net = torch.nn.Conv2d(4, 8, 3, s, p, d, g)
    cost = shapes.conv_cost(
        (4, 9, 8), out_channels=8, kernel_size=3, stride=s, padding=p, dilation=d, groups=g
    )
    assert cost.output == tuple(net(torch.zeros(1, 4, 9, 8)).shape[1:])
    assert cost.params == sum(w.numel() for w in net.parameters())
    assert cost.macs == prod(cost.output) * 9 * (4 // g)


# --- whole messages ------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize(
    ("kind", "args", "message"),
    [
        (
            ArgumentError,
            {"padding": "vaild"},
            "unknown padding 'vaild'; did you mean valid? There are: same, same_lower, same_upper, valid",
        ),
        (
            ArgumentError,
            {"padding": (1, 2, 3)},
            "padding=(1, 2, 3) has 3 entries, expected 2: one integer or one pair (before, after) an axis",
        ),
        (ArgumentError, {"padding": -1}, "padding=-1 must be at least 0 on every axis"),
        (
            ArgumentError,
            {"padding": ((1, -1), 0)},
            "padding=((1, -1), 0) must hold integers or pairs of at least 0",
        ),
        (ArgumentError, {"stride": 0}, "stride=0 must be at least 1 on every axis"),
        (
            ArgumentError,
            {"dilation": (1, 1, 1)},
            "dilation=(1, 1, 1) has 3 entries, expected one integer or 2",
        ),
        (
            ShapeError,
            {"dilation": 4},
            (
                "a kernel that spreads over 9 cells does not fit in 6 padded by 0 + 0; "
                "pad more or take a smaller kernel or dilation"
            ),
        ),
        (
            ShapeError,
            {"size": (6, 0)},
            "got an input of (6, 0) cells, expected at least one an axis",
        ),
    ],
)
def test_messages_of_a_window(kind, args, message):
    args = {"size": (6, 5), "kernel_size": 3} | args
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        shapes.window(args.pop("size"), **args)


def test_message_of_groups_names_what_would_divide():
    message = (
        "groups=4 does not divide 6 input and 8 output channels; their common divisors are 1, 2"
    )
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        shapes.conv_cost((6, 4, 4), out_channels=8, kernel_size=1, groups=4)


def test_message_of_fans():
    with pytest.raises(ShapeError, match=r"^got a weight of shape \(3,\), expected \[outputs, "):
        shapes.fans((3,))


def test_arithmetic_needs_no_torch():
    code = "import sys, striate.shapes; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
