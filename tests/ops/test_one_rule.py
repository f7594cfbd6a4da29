"""`shapes` and the operations refuse by one rule; a right call pays for no checks; a failure of PyTorch's own is not hidden."""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count, product
from typing import Any

import pytest
import torch

from striate import shapes
from striate.errors import ArgumentError
from striate.layers import conv as conv_layers
from striate.layers import norm as norm_layers
from striate.layers import pool as pool_layers
from striate.layers import unpool as unpool_layers
from striate.ops import conv, graph, local, pool, transposed, unpool

pytestmark = pytest.mark.plain


def outcome(call: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """What comes out of one channel along one axis of space, or that it is refused."""
    try:
        made = call(*args, **settings)
    except ArgumentError:
        return "refused"
    return (
        made
        if isinstance(made, int)
        else made.output[1]
        if isinstance(made, shapes.Cost)
        else made.shape[2]
    )


CASES = list(product((1, 2, 5), (1, 2, 3), (1, 2, 3), (-1, 0, 1, 2, 3, (0, 2)), (1, 2)))
IDS = map(str, count())  # of lambdas, which have no names


def test_windows_of_a_convolution():
    found: list[Any] = []
    for n, k, s, p, d in CASES:
        args: dict[str, Any] = {"stride": s, "padding": (p,), "dilation": d}
        made = outcome(conv.conv1d, torch.ones(1, 1, n), torch.ones(1, 1, k), **args)
        size = outcome(shapes.out_size, n, kernel=k, **{**args, "padding": p})
        cost = outcome(shapes.conv_cost, (1, n), out_channels=1, kernel_size=k, **args)
        assert made == size == cost, (n, k, args)
        found.append(made)
    assert 0 < found.count("refused") < len(found)


@pytest.mark.parametrize("op", [pool.max_pool, pool.avg_pool, pool.lp_pool])
def test_windows_of_a_pooling(op):
    for (n, k, s, p, d), ceil in product(CASES, (False, True)):
        args: dict[str, Any] = {"kernel_size": k, "stride": s, "padding": (p,), "dilation": d}
        args["ceil_mode"] = ceil
        made = outcome(op, torch.ones(1, 1, n), **args)
        assert made == outcome(shapes.pool_cost, (1, n), **args), (n, args)


def test_windows_of_a_transposed_convolution():
    found: list[Any] = []
    for (n, k, s, p, d), e in product(CASES, (0, 1, 2)):
        args: dict[str, Any] = {"stride": s, "padding": (p,), "dilation": d, "output_padding": e}
        x, w = torch.ones(1, 1, n), torch.ones(1, 1, k)
        made = outcome(transposed.conv_transpose1d, x, w, **args)
        size = outcome(shapes.transposed_size, n, kernel=k, **{**args, "padding": p})
        cost = outcome(shapes.conv_transpose_cost, (1, n), out_channels=1, kernel_size=k, **args)
        empty = outcome(transposed.conv_transpose1d, x[:0], w, **args)
        assert made == size == cost == empty, (n, k, args)
        found.append(made)
    assert 0 < found.count("refused") < len(found)


@pytest.mark.parametrize(
    "call",
    [
        lambda: shapes.transposed_size(5, kernel=3, stride=2, padding=1, output_padding=2),
        lambda: shapes.transposed_size(1, kernel=1, padding=1),
        lambda: shapes.transposed_size(5, kernel=3, padding=-1),
        lambda: shapes.out_size(-5, kernel=1),
        lambda: shapes.out_size(5, kernel=3, padding=(0, -1)),
        lambda: shapes.in_size(5, kernel=3, padding=-1),
        lambda: shapes.window((4, 4, 4, 4), kernel_size=1),
        lambda: shapes.conv_cost((4,), out_channels=1, kernel_size=1),
        lambda: shapes.pool_cost((1, 8), kernel_size=2, padding=2),
        lambda: shapes.local_cost((1, 5, 5), out_channels=1, kernel_size=3, grid=4),
        lambda: shapes.tabled_cost((1, 5, 5), table=[], kernel_size=3),
        lambda: conv.conv2d(torch.ones(1, 1, 4, 4, 4, 4), torch.ones(1, 1, 1, 1, 1, 1)),
        lambda: local.regional_conv(torch.ones(1, 1, 5, 5), torch.ones(4, 4, 1, 1, 3, 3)),
        lambda: local.tabled_conv(torch.ones(1, 1, 5, 5), torch.ones(0, 3, 3), table=[]),
        lambda: unpool.max_unpool(
            torch.ones(1, 1, 4), torch.zeros(1, 1, 4).long(), kernel_size=2, padding=2
        ),
        lambda: unpool.max_unpool(
            torch.ones(1, 1, 1), torch.zeros(1, 1, 1).long(), kernel_size=2, stride=1, padding=1
        ),
    ],
    ids=IDS,
)
def test_both_refuse(call):
    with pytest.raises(ArgumentError, match=r"^.{10,200}$"):
        call()


def test_the_least_input_is_one_cell():
    assert shapes.in_size(1, kernel=2, stride=2, padding=1) == 1
    assert shapes.out_size(1, kernel=2, stride=2, padding=1) == 1
    assert shapes.in_size(1, kernel=3, padding=100) == 1


# --- a bias, and what PyTorch would take in silence -----------------------------------------------

X = torch.rand(2, 4, 5, 5)
RING = graph.laplacian(torch.eye(5).roll(1, 0) + torch.eye(5).roll(-1, 0))
BIASED: dict[str, tuple[Callable[..., torch.Tensor], tuple[int, ...]]] = {
    "conv": (partial(conv.conv, X, torch.rand(6, 4, 3, 3)), (6,)),
    "conv2d": (partial(conv.conv2d, X, torch.rand(6, 4, 3, 3)), (6,)),
    "conv, filled": (partial(conv.conv, X, torch.rand(6, 4, 3, 3), padding=1, fill=1.0), (6,)),
    "true_conv": (partial(conv.true_conv, X, torch.rand(6, 4, 3, 3)), (6,)),
    "conv_transpose": (partial(transposed.conv_transpose, X, torch.rand(4, 6, 3, 3)), (6,)),
    "conv_transpose, cut": (
        partial(transposed.conv_transpose, X, torch.rand(4, 6, 3, 3), padding=((0, 1), 0)),
        (6,),
    ),
    "local_conv": (partial(local.local_conv, X, torch.rand(3, 3, 2, 3, 3, 4)), (3, 3, 2)),
    "regional_conv": (partial(local.regional_conv, X, torch.rand(1, 2, 3, 4, 3, 3)), (1, 2, 3)),
    "tabled_conv": (partial(local.tabled_conv, X, torch.rand(2, 3, 3), table=[[0], [1]]), (2,)),
    "spectral_conv": (partial(graph.spectral_conv, X[0], torch.rand(3, 5, 5), RING), (3,)),
    "chebyshev_conv": (partial(graph.chebyshev_conv, X[0], torch.rand(3, 5, 2), RING), (3,)),
}


@pytest.mark.parametrize("name", BIASED)
@pytest.mark.parametrize("other", [torch.float64, torch.int64, torch.complex64, "meta"])
def test_a_bias_of_another_type_or_elsewhere_is_refused(name, other):
    call, size = BIASED[name]
    call(bias=torch.ones(size))
    with pytest.raises(ArgumentError, match=r"convert (one )?with \.(to|float)\(\)$"):
        call(bias=torch.ones(size).to(other))
    for wrong in ((1,), (*size, 1)):
        with pytest.raises(ArgumentError, match=r"got a bias"):
            call(bias=torch.ones(wrong))


@pytest.mark.parametrize(
    "value", [True, 1.0, (1,), (1, True), (1, 1.0), [1, 1, 1], "1", -1, None, 10**20]
)
@pytest.mark.parametrize("setting", ["stride", "padding", "dilation", "kernel_size"])
@pytest.mark.parametrize("items", [0, 2])
def test_what_pytorch_might_take_is_refused(items, setting, value):
    x, w, back = X[:items], torch.rand(6, 4, 3, 3), torch.rand(4, 6, 3, 3)
    calls: list[partial[Any]] = [
        partial(pool.avg_pool2d, x),
        partial(pool.max_pool2d, x),
        partial(pool.avg_pool, x),
        partial(pool.max_pool, x),
    ]
    args: dict[str, Any] = {"kernel_size": 2} | {setting: value}
    if setting != "kernel_size":
        calls += [partial(conv.conv2d, x, w), partial(transposed.conv_transpose2d, x, back)]
    for call in calls:
        if setting == "stride" and value is None and "pool" in call.func.__name__:
            continue
        if "conv" in call.func.__name__:
            args.pop("kernel_size", None)
        with pytest.raises(ArgumentError, match=f"{setting}[= ]"):
            call(**args)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_an_input_without_items_axis_is_refused(rank):
    x = torch.rand(3, *(5,) * rank)
    w = torch.rand(3, 3, *(3,) * rank)
    names = [f"{name}{rank}d" for name in ("conv", "conv_transpose", "avg_pool", "max_pool")]
    conv_op, back, mean, most = (
        getattr(module, name)
        for module, name in zip((conv, transposed, pool, pool), names, strict=True)
    )
    for name, call in zip(
        names,
        (
            lambda: conv_op(x, w),
            lambda: back(x, w),
            lambda: mean(x, kernel_size=2),
            lambda: most(x, kernel_size=2),
        ),
        strict=True,
    ):
        with pytest.raises(
            ArgumentError, match=rf"^{name}: got .* add the missing one with x\[None\]$"
        ):
            call()


# --- adaptive pooling: None is an axis that stays -------------------------------------------------


@pytest.mark.parametrize("op", [pool.adaptive_avg_pool, pool.adaptive_max_pool])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_an_axis_with_none_stays(op, rank):
    x = torch.rand(2, 3, *(4, 5, 6)[:rank])
    grid = (None, 2, None)[:rank]
    plain = [n if m is None else m for m, n in zip(grid, x.shape[2:], strict=True)]
    torch.testing.assert_close(op(x, output_size=grid), op(x, output_size=plain))
    layer = {"adaptive_avg_pool": pool_layers.AdaptiveAvgPool}.get(
        op.__name__, pool_layers.AdaptiveMaxPool
    )
    torch.testing.assert_close(layer(grid)(x), op(x, output_size=plain))
    for wrong in (None, (None,) * (rank + 1), (0,) * rank, (True,) * rank):
        with pytest.raises(ArgumentError, match=r"adaptive_\w+: output_size="):
            op(x, output_size=wrong)


# --- when a layer is made, and when it is called --------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: conv_layers.Conv2d(3, 4, 0),
        lambda: conv_layers.Conv1d(3, 4, 3, padding=-1),
        lambda: conv_layers.ConvTranspose2d(3, 4, 3, stride=2, output_padding=2),
        lambda: conv_layers.DepthwiseSeparableConv2d(3, 4, 3, multiplier=0),
        lambda: pool_layers.MaxPool2d(2, padding=2),
        lambda: pool_layers.AvgPool2d(2, ceil_mode=1),  # pyright: ignore[reportArgumentType]
        lambda: pool_layers.AvgPool2d(2, count_include_pad=None),  # pyright: ignore[reportArgumentType]
        lambda: pool_layers.LpPool(2, norm_type=0.5),
        lambda: pool_layers.WeightedAvgPool(2, sigma=0),
        lambda: pool_layers.StochasticPool(2, generator=3),  # pyright: ignore[reportArgumentType]
        lambda: pool_layers.KMaxPool(0),
        lambda: pool_layers.PyramidPool((2, 0)),
        lambda: pool_layers.PyramidPool(kind="mean"),  # pyright: ignore[reportArgumentType]
        lambda: pool_layers.AdaptiveAvgPool((1, 0)),
        lambda: pool_layers.GlobalLpPool(0.5),
        lambda: unpool_layers.NearestUnpool(0),
        lambda: unpool_layers.NailsUnpool((1, True)),
        lambda: unpool_layers.MaxUnpool(2, stride=0),
        lambda: norm_layers.BatchNorm(3, momentum=1.5),
        lambda: norm_layers.BatchNorm(3, eps=0),
        lambda: norm_layers.LocalResponseNorm(0),
        lambda: norm_layers.LocalResponseNorm(window="max"),  # pyright: ignore[reportArgumentType]
        lambda: norm_layers.Dropout(generator=3),  # pyright: ignore[reportArgumentType]
    ],
    ids=IDS,
)
def test_a_layer_is_checked_when_it_is_made(make):
    with pytest.raises(ArgumentError, match=r"^[A-Z]\w+: .{5,200}$"):
        make()


def python_calls(call: Callable[[], object]) -> int:
    """Python functions that run for one call, its own frame not counted."""
    call()
    count = 0

    def count_one(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(count_one)
    try:
        call()
    finally:
        sys.setprofile(before)
    return count - 1


@pytest.mark.parametrize(
    ("call", "most"),
    [
        (lambda: conv.conv2d(X, torch.ones(6, 4, 3, 3), torch.ones(6)), 2),
        (lambda: conv.conv(X, torch.ones(6, 4, 3, 3), stride=(2, 1), padding=[1, 0]), 2),
        (lambda: transposed.conv_transpose2d(X, torch.ones(4, 6, 3, 3), stride=2, padding=1), 2),
        (lambda: pool.avg_pool2d(X, kernel_size=(2, 2)), 1),
        (lambda: pool.avg_pool2d(X, kernel_size=3, stride=2, padding=1), 2),
        (lambda: pool.max_pool2d(X, kernel_size=2), 1),
        (partial(conv_layers.Conv2d(4, 6, 3, padding=1), X), 6),
        (partial(conv_layers.Conv2d(4, 6, 3, padding="same"), X), 6),
        (partial(conv_layers.ConvTranspose2d(4, 6, 3, padding="same"), X), 6),
        (partial(pool_layers.AvgPool2d(2), X), 4),
        (partial(pool_layers.MaxPool2d(2), X), 4),
    ],
    ids=IDS,
)
def test_a_right_call_runs_no_checks(call, most):
    assert python_calls(call) <= most


def test_a_failure_that_no_check_explains_is_pytorchs_own(monkeypatch):
    def fails(*args: object) -> torch.Tensor:
        calls.append(args)
        raise RuntimeError(message)

    monkeypatch.setitem(conv.KERNELS, 4, fails)
    broken = conv.conv_over("broken", 2)
    for message, times in (("no kernel", 2), ("DefaultCPUAllocator: can't allocate memory", 1)):
        calls: list[Any] = []
        with suppress(ArgumentError), pytest.raises(RuntimeError, match=message):
            broken(X, torch.ones(6, 4, 3, 3))
        assert len(calls) == times  # memory that ran out is not asked for again
